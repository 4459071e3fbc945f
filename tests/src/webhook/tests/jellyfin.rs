//! What Jellyfin's webhook plugin tells.

use super::*;

const SAVED_BY_HAND: &str = "UserDataSaved TogglePlayed";
const SAVED_AT_END: &str = "UserDataSaved PlaybackFinished";

fn jellyfins() -> impl Iterator<Item = Flavor> {
    Flavor::ALL.into_iter().filter(|flavor| flavor.is_jellyfin())
}

#[tokio::test]
async fn watching_to_the_end_saves_the_record_at_each_step() {
    for flavor in jellyfins() {
        let setup = setup(flavor).await;
        setup.world.play_to_end("anna", &setup.film).unwrap();
        let expected = [
            "UserDataSaved PlaybackStart",
            "PlaybackStart",
            "UserDataSaved PlaybackProgress",
            "PlaybackProgress",
            SAVED_AT_END,
            "PlaybackStop",
        ];
        assert_eq!(setup.events().await, expected, "{flavor:?}");
        let stop = setup.body("PlaybackStop").await;
        assert_eq!(stop["PlayedToCompletion"], json!(true));
        assert_eq!(stop["PlaybackPositionTicks"], json!(60_000_000_000_u64));
        assert_eq!((stop.get("Played"), stop.get("PlayCount")), (None, None));
        let saved = setup.body(SAVED_AT_END).await;
        assert_eq!((&saved["Played"], &saved["PlayCount"]), (&json!(true), &json!(1)));
        assert_eq!(saved["PlaybackPositionTicks"], json!(0));
        assert_eq!(saved["LastPlayedDate"], json!("2026-03-01T20:00:00.0000000Z"));
        assert_eq!(
            (&saved["SaveReason"], &saved["NotificationType"]),
            (&json!("PlaybackFinished"), &json!("UserDataSaved"))
        );
        assert_eq!(saved["NotificationUsername"], json!("anna"));
        let anna = setup.world.read(|model| model.user("anna").unwrap().id.clone());
        assert_eq!((&saved["UserId"], &saved["ItemId"]), (&json!(anna), &json!(setup.film)));
        assert_eq!((&saved["Provider_imdb"], &saved["Provider_tmdb"]), (&json!("tt0113277"), &json!("949")));
        assert_eq!((&saved["ItemType"], &saved["Year"]), (&json!("Movie"), &json!(1995)));
        assert_eq!(
            (&saved["RunTime"], &saved["UtcTimestamp"]),
            (&json!("01:40:00"), &json!("2026-03-01T20:00:00.0000000Z"))
        );
        assert!(saved.get("Path").is_none());
    }
}

#[tokio::test]
async fn pausing_and_stopping_half_way_tell_the_position() {
    let setup = setup(Flavor::Jellyfin1011).await;
    setup.world.start_playback("anna", &setup.film).unwrap();
    setup.world.pause("anna", &setup.film, 40 * MINUTE).unwrap();
    let paused = setup.body("PlaybackProgress").await;
    assert_eq!((&paused["IsPaused"], &paused["PlaybackPosition"]), (&json!(true), &json!("00:40:00")));
    setup.world.stop_playback("anna", &setup.film, 50 * MINUTE).unwrap();
    let stop = setup.body("PlaybackStop").await;
    assert_eq!((&stop["PlayedToCompletion"], &stop["PlaybackPosition"]), (&json!(false), &json!("00:50:00")));
    let saved = setup.body(SAVED_AT_END).await;
    assert_eq!((&saved["Played"], &saved["PlaybackPositionTicks"]), (&json!(false), &json!(30_000_000_000_u64)));
    assert_eq!(setup.hooks.sent().len(), 6);
}

#[tokio::test]
async fn the_start_of_a_rewatch_clears_played_up_to_10_11_and_counts_in_all_versions() {
    for flavor in jellyfins() {
        let setup = setup(flavor).await;
        setup.world.mark_played("anna", &setup.film, Some("2020-01-01T00:00:00Z".parse().unwrap())).unwrap();
        setup.world.start_playback("anna", &setup.film).unwrap();
        let saved = setup.body("UserDataSaved PlaybackStart").await;
        let expected = (json!(flavor == Flavor::Jellyfin12), json!(2), json!("2026-03-01T20:00:00.0000000Z"));
        assert_eq!(
            (&saved["Played"], &saved["PlayCount"], &saved["LastPlayedDate"]),
            (&expected.0, &expected.1, &expected.2)
        );
    }
}

#[tokio::test]
async fn marks_by_hand_and_by_programs_are_told_alike() {
    let setup = setup(Flavor::Jellyfin12).await;
    let past = "2020-01-01T00:00:00.25Z".parse().unwrap();
    setup.world.mark_played("anna", &setup.film, None).unwrap();
    setup.world.write("anna", &setup.film, &Write::Played { date: Some(past) }).unwrap();
    assert_eq!(setup.events().await, [SAVED_BY_HAND; 2]);
    let played = setup.body(SAVED_BY_HAND).await;
    assert_eq!((&played["Played"], &played["LastPlayedDate"]), (&json!(true), &json!("2020-01-01T00:00:00.25Z")));
    setup.world.write("anna", &setup.film, &Write::Unplayed).unwrap();
    let unplayed = setup.body(SAVED_BY_HAND).await;
    assert_eq!((&unplayed["Played"], &unplayed["PlayCount"]), (&json!(false), &json!(0)));
    assert_eq!(unplayed.get("LastPlayedDate"), None);
}

#[tokio::test]
async fn the_mark_of_a_season_is_told_episode_by_episode() {
    let setup = setup(Flavor::Jellyfin1010).await;
    setup.world.mark_played("ben", &setup.season, None).unwrap();
    let sent = setup.hooks.settle().await;
    let numbers: Vec<_> = sent.iter().map(|sent| sent.body["EpisodeNumber"].clone()).collect();
    assert_eq!(numbers, [json!(1), json!(2)]);
    let first = &sent[0].body;
    assert_eq!((&first["SeriesName"], &first["Year"]), (&json!("The Wire"), &json!(2002)));
    assert_eq!((&first["SeasonNumber00"], &first["EpisodeNumber000"]), (&json!("01"), &json!("001")));
    assert_eq!(first["Provider_tvdb"], json!("300001"), "its own, not that of the show");
}

#[tokio::test]
async fn fields_set_by_programs_and_favourites_are_saved_for_their_own_reasons() {
    let setup = setup(Flavor::Jellyfin1011).await;
    let token = setup.world.add_api_key("sync");
    let anna = setup.world.read(|model| model.user("anna").unwrap().id.clone());
    let film = &setup.film;
    let set = Call::post(&format!("/UserItems/{film}/UserData?userId={anna}&ApiKey={token}"));
    let set = set.with_json(&json!({ "PlaybackPositionTicks": 18_000_000_000_u64, "Played": false }));
    assert_eq!(setup.world.answer(&set).status, StatusCode::OK);
    setup.world.write("anna", &setup.film, &Write::Favorite(true)).unwrap();
    assert_eq!(setup.events().await, ["UserDataSaved UpdateUserData", "UserDataSaved UpdateUserRating"]);
    let rated = setup.body("UserDataSaved UpdateUserRating").await;
    assert_eq!((&rated["Favorite"], &rated["PlaybackPosition"]), (&json!(true), &json!("00:30:00")));
}

#[tokio::test]
async fn a_new_item_is_nobodys_and_its_title_is_escaped_twice() {
    let setup = setup(Flavor::Jellyfin1011).await;
    setup.world.add_movie(&NewMovie::new("Amélie & \"Co\"", 2001));
    assert_eq!(setup.events().await, ["ItemAdded"]);
    let added = setup.body("ItemAdded").await;
    assert_eq!(added.get("UserId"), None);
    assert_eq!(added["Name"], json!("Amélie & \\\"Co\\\""));
    let call = setup.calls().await.remove(0);
    assert!(text(&call).contains(r#""Name":"Am\u00E9lie \u0026 \\\u0022Co\\\u0022""#), "{}", text(&call));
    assert_eq!(serde_json::from_slice::<Value>(&call.body).unwrap(), added);
}

#[tokio::test]
async fn json_calls_itself_plain_text_unless_a_header_says_otherwise() {
    for (shape, content_type) in
        [(None, "text/plain; charset=utf-8"), (Some(Shape::JellyfinJson), "application/json; charset=utf-8")]
    {
        let setup = setup_with(Flavor::Jellyfin1011, |target| Target { shape, ..target }).await;
        setup.world.mark_played("anna", &setup.film, None).unwrap();
        let call = setup.calls().await.remove(0);
        assert_eq!(call.header("content-type"), Some(content_type));
        assert_eq!(call.header("user-agent"), Some("Jellyfin-Server/10.11.2"));
        assert!(text(&call).starts_with('{'));
    }
}

#[tokio::test]
async fn forms_and_templates_hold_texts() {
    let form = setup_with(Flavor::Jellyfin1011, |target| Target { shape: Some(Shape::JellyfinForm), ..target }).await;
    form.world.mark_played("anna", &form.film, None).unwrap();
    let call = form.calls().await.remove(0);
    assert_eq!(call.header("content-type"), Some("application/x-www-form-urlencoded"));
    let fields: std::collections::BTreeMap<String, String> =
        url::form_urlencoded::parse(&call.body).into_owned().collect();
    assert_eq!((fields["Played"].as_str(), fields["PlayCount"].as_str()), ("True", "1"));
    assert_eq!(fields["ItemId"].len(), 36);

    let wanted = ["NotificationType", "ItemId", "Played"].map(str::to_owned).to_vec();
    let shape = Some(Shape::JellyfinTemplate(wanted));
    let own = setup_with(Flavor::Jellyfin1011, |target| Target { shape, ..target }).await;
    own.world.mark_played("anna", &own.film, None).unwrap();
    let call = own.calls().await.remove(0);
    assert_eq!(call.header("content-type"), Some("text/plain; charset=utf-8"));
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 3);
    assert_eq!((&body["NotificationType"], &body["Played"]), (&json!("UserDataSaved"), &json!("True")));
}
