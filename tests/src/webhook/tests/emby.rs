//! What Emby tells.

use super::*;

fn embys() -> [Flavor; 2] {
    [Flavor::Emby48, Flavor::Emby49]
}

#[tokio::test]
async fn watching_to_the_end_is_a_completed_stop_and_no_mark() {
    for flavor in embys() {
        let setup = setup(flavor).await;
        setup.world.play_to_end("anna", &setup.film).unwrap();
        assert_eq!(setup.events().await, ["playback.start", "playback.stop"], "{flavor:?}");
        let stop = setup.body("playback.stop").await;
        assert_eq!(stop["PlaybackInfo"]["PlayedToCompletion"], json!(true));
        assert_eq!(stop["PlaybackInfo"]["PositionTicks"], json!(60_000_000_000_u64));
        assert_eq!(stop["Session"]["PlayState"]["PositionTicks"], json!(0), "the player has gone on");
        let item = &stop["Item"];
        assert_eq!((&item["Id"], &item["Type"]), (&json!(setup.film), &json!("Movie")));
        assert_eq!(item["ProviderIds"], json!({ "Imdb": "tt0113277", "Tmdb": "949" }));
        assert_eq!(item["Path"], json!("/media/movies/Heat (1995)/Heat (1995).mkv"));
        assert_eq!((&item["UserData"]["Played"], &item["UserData"]["PlayCount"]), (&json!(true), &json!(1)));
        let server = json!({ "Name": "Home", "Id": "0123456789abcdef0123456789abcdef", "Version": flavor.version() });
        assert_eq!(stop["Server"], server);
        let anna = setup.world.read(|model| model.user("anna").unwrap().id.clone());
        assert_eq!(stop["User"], json!({ "Name": "anna", "Id": anna }));
        assert_eq!((&stop["Event"], &stop["Date"]), (&json!("playback.stop"), &json!("2026-03-01T20:00:00.0000000Z")));
    }
}

#[tokio::test]
async fn pausing_and_stopping_half_way_tell_the_position_and_progress_nothing() {
    let setup = setup(Flavor::Emby49).await;
    setup.world.start_playback("anna", &setup.film).unwrap();
    setup.world.progress("anna", &setup.film, 30 * MINUTE).unwrap();
    setup.world.pause("anna", &setup.film, 40 * MINUTE).unwrap();
    setup.world.progress("anna", &setup.film, 40 * MINUTE).unwrap();
    setup.world.stop_playback("anna", &setup.film, 50 * MINUTE).unwrap();
    assert_eq!(setup.events().await, ["playback.start", "playback.pause", "playback.unpause", "playback.stop"]);
    let pause = setup.body("playback.pause").await;
    assert_eq!(pause["PlaybackInfo"]["PositionTicks"], json!(24_000_000_000_u64));
    assert_eq!(pause["PlaybackInfo"].get("PlayedToCompletion"), None);
    assert_eq!(pause["Session"]["PlayState"]["IsPaused"], json!(true));
    let stop = setup.body("playback.stop").await;
    assert_eq!(stop["PlaybackInfo"]["PositionTicks"], json!(30_000_000_000_u64));
    assert_eq!(stop["PlaybackInfo"]["PlayedToCompletion"], json!(false));
}

#[tokio::test]
async fn the_start_of_a_rewatch_clears_played() {
    let setup = setup(Flavor::Emby49).await;
    setup.world.mark_played("anna", &setup.film, None).unwrap();
    setup.world.start_playback("anna", &setup.film).unwrap();
    let start = setup.body("playback.start").await;
    let data = &start["Item"]["UserData"];
    assert_eq!((&data["Played"], &data["PlayCount"]), (&json!(false), &json!(1)));
}

#[tokio::test]
async fn marks_by_hand_and_by_programs_are_told_alike_and_fields_that_are_set_are_not() {
    let setup = setup(Flavor::Emby48).await;
    setup.world.mark_played("anna", &setup.film, None).unwrap();
    setup.world.mark_unplayed("anna", &setup.film).unwrap();
    setup.world.write("anna", &setup.film, &Write::Played { date: None }).unwrap();
    setup.world.write("anna", &setup.film, &Write::Unplayed).unwrap();
    setup.world.write("anna", &setup.film, &Write::Position { position_ms: 50 * MINUTE }).unwrap();
    let expected = ["item.markplayed", "item.markunplayed", "item.markplayed", "item.markunplayed"];
    assert_eq!(setup.events().await, expected);
    let unplayed = setup.body("item.markunplayed").await;
    assert_eq!(unplayed["Item"]["UserData"]["Played"], json!(false));
    assert!(unplayed.get("Session").is_none() && unplayed.get("PlaybackInfo").is_none());
}

#[tokio::test]
async fn the_mark_of_a_season_is_told_episode_by_episode() {
    let setup = setup(Flavor::Emby49).await;
    setup.world.mark_played("ben", &setup.season, None).unwrap();
    let sent = setup.hooks.settle().await;
    let numbers: Vec<_> = sent.iter().map(|sent| sent.body["Item"]["IndexNumber"].clone()).collect();
    assert_eq!(numbers, [json!(1), json!(2)]);
    assert!(sent.iter().all(|sent| sent.event == "item.markplayed"));
    assert_eq!(sent[0].body["Item"]["SeriesName"], json!("The Wire"));
}

#[tokio::test]
async fn ratings_and_new_items_are_told() {
    let setup = setup(Flavor::Emby49).await;
    setup.world.write("anna", &setup.film, &Write::Favorite(true)).unwrap();
    setup.world.add_movie(&NewMovie::new("Ronin", 1998));
    assert_eq!(setup.events().await, ["item.rate", "library.new"]);
    assert_eq!(setup.body("item.rate").await["Item"]["UserData"]["IsFavorite"], json!(true));
    let new = setup.body("library.new").await;
    assert!(new.get("User").is_none() && new["Item"].get("UserData").is_none());
    assert_eq!(new["Item"]["Name"], json!("Ronin"));
}

#[tokio::test]
async fn items_can_come_without_the_users_state() {
    let setup = setup_with(Flavor::Emby49, |target| Target { without_user_data: true, ..target }).await;
    setup.world.mark_played("anna", &setup.film, None).unwrap();
    assert!(setup.body("item.markplayed").await["Item"].get("UserData").is_none());
}

#[tokio::test]
async fn the_json_stands_in_a_part_in_a_field_or_alone() {
    for flavor in embys() {
        let shapes = [None, Some(Shape::EmbyMultipart), Some(Shape::EmbyForm), Some(Shape::EmbyJson)];
        for shape in shapes {
            let setup = setup_with(flavor, |target| Target { shape, ..target }).await;
            setup.world.mark_played("anna", &setup.film, None).unwrap();
            let call = setup.calls().await.remove(0);
            assert!(call.header("user-agent").unwrap().starts_with("Emby Server/4."));
            let content_type = call.header("content-type").unwrap();
            let json = match setup.hooks.shape() {
                Shape::EmbyMultipart => {
                    assert!(content_type.starts_with("multipart/form-data; boundary=\""), "{content_type}");
                    let [(head, json)] = parts(&call).try_into().unwrap();
                    assert!(head.contains("form-data; name=data"), "{head}");
                    String::from_utf8(json).unwrap()
                }
                Shape::EmbyForm => {
                    assert_eq!(content_type, "application/x-www-form-urlencoded");
                    let (name, json) = url::form_urlencoded::parse(&call.body).into_owned().next().unwrap();
                    assert_eq!(name, "data");
                    json
                }
                _ => {
                    assert_eq!(content_type, "application/json; charset=utf-8");
                    text(&call)
                }
            };
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), setup.hooks.sent()[0].body);
        }
    }
    assert_eq!(Shape::usual(Flavor::Emby48), Shape::EmbyMultipart);
    assert_eq!(Shape::usual(Flavor::Emby49), Shape::EmbyJson);
}
