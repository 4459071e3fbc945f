//! What Plex, and Tautulli beside it, tell.

use super::*;

#[tokio::test]
async fn watching_to_the_end_scrobbles_before_it_stops() {
    let setup = setup(Flavor::Plex).await;
    setup.world.play_to_end("anna", &setup.film).unwrap();
    assert_eq!(setup.events().await, ["media.play", "media.scrobble", "media.stop"]);
    let scrobble = setup.body("media.scrobble").await;
    let metadata = &scrobble["Metadata"];
    assert_eq!(metadata["ratingKey"], json!(setup.film));
    assert_eq!(metadata["Guid"], json!([{ "id": "imdb://tt0113277" }, { "id": "tmdb://949" }]));
    assert_eq!((&metadata["librarySectionID"], &metadata["librarySectionType"]), (&json!(1), &json!("movie")));
    assert_eq!((&metadata["viewCount"], &metadata["duration"]), (&json!(1), &json!(100 * MINUTE)));
    assert_eq!(metadata["lastViewedAt"], json!(NOW.parse::<Timestamp>().unwrap().as_second()));
    assert!(metadata.get("Media").is_none(), "no file is told");
    assert_eq!(scrobble["Server"], json!({ "title": "Home", "uuid": "0123456789abcdef0123456789abcdef" }));
    assert_eq!((&scrobble["user"], &scrobble["owner"]), (&json!(true), &json!(true)));
    assert_eq!(scrobble["Player"]["local"], json!(true));
}

#[tokio::test]
async fn a_stop_past_the_end_without_a_report_before_scrobbles_too() {
    let setup = setup(Flavor::Plex).await;
    setup.world.start_playback("anna", &setup.film).unwrap();
    setup.world.stop_playback("anna", &setup.film, 95 * MINUTE).unwrap();
    assert_eq!(setup.events().await, ["media.play", "media.scrobble", "media.stop"]);
}

#[tokio::test]
async fn pausing_and_stopping_half_way_tell_the_position() {
    let setup = setup(Flavor::Plex).await;
    setup.world.start_playback("anna", &setup.film).unwrap();
    setup.world.pause("anna", &setup.film, 40 * MINUTE).unwrap();
    setup.world.progress("anna", &setup.film, 40 * MINUTE).unwrap();
    setup.world.progress("anna", &setup.film, 45 * MINUTE).unwrap();
    setup.world.stop_playback("anna", &setup.film, 50 * MINUTE).unwrap();
    assert_eq!(setup.events().await, ["media.play", "media.pause", "media.resume", "media.stop"]);
    for (event, minute) in [("media.pause", 40), ("media.stop", 50)] {
        assert_eq!(setup.body(event).await["Metadata"]["viewOffset"], json!(minute * MINUTE), "{event}");
    }
}

#[tokio::test]
async fn marks_by_hand_and_by_programs_are_told_to_nobody() {
    let setup = setup(Flavor::Plex).await;
    setup.world.mark_played("anna", &setup.film, None).unwrap();
    setup.world.mark_unplayed("anna", &setup.season).unwrap();
    setup.world.write("anna", &setup.film, &Write::Played { date: None }).unwrap();
    setup.world.write("anna", &setup.film, &Write::Unplayed).unwrap();
    assert_eq!(setup.events().await, [""; 0]);
}

#[tokio::test]
async fn a_position_told_without_a_playback_is_no_playback() {
    let setup = setup(Flavor::Plex).await;
    for minute in [50, 99] {
        let token = setup.world.read(|model| model.user("anna").unwrap().tokens[0].clone());
        let (film, time) = (&setup.film, minute * MINUTE);
        let told = format!("/:/timeline?ratingKey={film}&time={time}&state=stopped&X-Plex-Token={token}");
        assert_eq!(setup.world.answer(&Call::get(&told)).status, StatusCode::OK);
    }
    assert_eq!(setup.world.state("anna", &setup.film).plays, 1);
    assert_eq!(setup.events().await, [""; 0]);
}

#[tokio::test]
async fn a_player_that_reports_by_http_opens_its_session_with_the_first_report() {
    let setup = setup(Flavor::Plex).await;
    let token = setup.world.read(|model| model.user("ben").unwrap().tokens[0].clone());
    for (minute, state) in [(1, "playing"), (2, "playing"), (3, "paused"), (3, "stopped")] {
        let (film, time) = (&setup.film, minute * MINUTE);
        let told = format!("/:/timeline?ratingKey={film}&time={time}&state={state}&X-Plex-Token={token}");
        setup.world.answer(&Call::get(&told));
    }
    assert_eq!(setup.events().await, ["media.play", "media.pause", "media.stop"]);
}

#[tokio::test]
async fn items_are_described_as_their_owner_sees_them_whoever_plays() {
    let setup = setup(Flavor::Plex).await;
    setup.world.mark_played("anna", &setup.film, None).unwrap();
    setup.world.clock().time().advance(SignedDuration::from_hours(1));
    setup.world.play_to_end("ben", &setup.film).unwrap();
    let stop = setup.body("media.stop").await;
    let ben = setup.world.read(|model| model.user("ben").unwrap().id.parse::<i64>().unwrap());
    assert_eq!((&stop["Account"]["id"], &stop["Account"]["title"]), (&json!(ben), &json!("ben")));
    assert_eq!(stop["user"], json!(false));
    assert_eq!(stop["Metadata"]["viewCount"], json!(1));
    assert_eq!(stop["Metadata"]["lastViewedAt"], json!(NOW.parse::<Timestamp>().unwrap().as_second()));
}

#[tokio::test]
async fn the_owner_is_account_1_on_some_servers_and_the_account_at_plex_tv_on_others() {
    for by_account in [false, true] {
        let setup = setup_with(Flavor::Plex, |target| Target { owner_by_account: by_account, ..target }).await;
        setup.world.start_playback("anna", &setup.film).unwrap();
        let anna = setup.world.read(|model| model.user("anna").unwrap().id.parse::<i64>().unwrap());
        let expected = if by_account { anna } else { 1 };
        assert_eq!(setup.body("media.play").await["Account"]["id"], json!(expected));
    }
}

#[tokio::test]
async fn ratings_and_new_items_are_told() {
    let setup = setup(Flavor::Plex).await;
    let token = setup.world.read(|model| model.user("anna").unwrap().tokens[0].clone());
    let film = &setup.film;
    let rated = format!("/:/rate?key={film}&identifier=com.plexapp.plugins.library&rating=8&X-Plex-Token={token}");
    setup.world.answer(&Call::get(&rated));
    setup.world.add_episode(&wire(3));
    assert_eq!(setup.events().await, ["media.rate", "library.new"]);
    assert_eq!(setup.body("media.rate").await["Metadata"]["userRating"], json!(8.0));
    let new = setup.body("library.new").await;
    assert!(new.get("Player").is_none());
    let metadata = &new["Metadata"];
    assert_eq!((&metadata["type"], &metadata["grandparentTitle"]), (&json!("episode"), &json!("The Wire")));
    assert_eq!((&metadata["parentIndex"], &metadata["index"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn requests_are_multipart_and_some_have_a_picture() {
    let setup = setup(Flavor::Plex).await;
    setup.world.play_to("anna", &setup.film, 50 * MINUTE).unwrap();
    let calls = setup.calls().await;
    let [play, stop] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(play.method, http::Method::POST);
    assert!(play.header("user-agent").unwrap().starts_with("PlexMediaServer/1.41"));
    assert!(play.header("content-type").unwrap().starts_with("multipart/form-data; boundary=-----"));
    let sent = setup.hooks.sent();
    let [payload, thumb] = parts(play).try_into().unwrap();
    assert!(payload.0.contains("name=\"payload\"") && payload.0.contains("application/json"), "{}", payload.0);
    assert_eq!(serde_json::from_slice::<Value>(&payload.1).unwrap(), sent[0].body);
    assert!(thumb.0.contains("name=\"thumb\"; filename=\"thumb.jpg\"") && thumb.0.contains("image/jpeg"));
    assert!(thumb.1.len() > 30_000 && thumb.1.starts_with(b"\xFF\xD8\xFF"));
    assert_eq!(parts(stop).len(), 1);
}

#[tokio::test]
async fn tautulli_tells_the_same_in_text() {
    let setup = setup_with(Flavor::Plex, |target| Target { shape: Some(Shape::Tautulli), ..target }).await;
    setup.world.play_to_end("anna", &setup.film).unwrap();
    let id = setup.world.add_episode(&wire(3));
    assert_eq!(setup.events().await, ["tautulli.start", "tautulli.watched", "tautulli.stop", "tautulli.created"]);
    let call = setup.calls().await.remove(2);
    assert!(call.header("user-agent").unwrap().starts_with("Tautulli/2"));
    assert_eq!(call.header("content-type"), Some("application/json"));
    let stop: Value = serde_json::from_slice(&call.body).unwrap();
    let metadata = &stop["Metadata"];
    assert_eq!((&metadata["viewOffset"], &metadata["year"]), (&json!("6000000"), &json!("1995")));
    assert_eq!(metadata["Guids"], json!({ "imdb": "tt0113277", "tmdb": "949", "tvdb": "" }));
    assert_eq!(metadata["addedAt"], json!("2026-03-01 20:00:00"));
    assert_eq!((&stop["Player"]["local"], &stop["Account"]["title"]), (&json!("1"), &json!("anna")));
    let created = setup.body("tautulli.created").await;
    assert_eq!((&created["Account"]["id"], &created["Metadata"]["ratingKey"]), (&json!(""), &json!(id)));
    assert_eq!((&created["Metadata"]["parentIndex"], &created["Metadata"]["index"]), (&json!("1"), &json!("3")));
}
