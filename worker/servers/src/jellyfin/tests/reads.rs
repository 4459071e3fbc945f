use super::*;

#[tokio::test]
async fn libraries_are_told_by_what_they_hold() {
    let server = MockServer::start().await;
    let view_of = |id: &str, collection: Value, kind: &str| json!({"Id": id, "Name": id, "CollectionType": collection, "Type": kind});
    let views = json!([
        view_of("1", json!("movies"), "CollectionFolder"),
        view_of("2", json!("tvshows"), "CollectionFolder"),
        view_of("3", Value::Null, "CollectionFolder"),
        view_of("4", Value::Null, "Folder"),
        view_of("5", json!("homevideos"), "CollectionFolder"),
        view_of("6", Value::Null, "ManualPlaylistsFolder"),
        json!({"Id": "7", "Name": "7", "Type": "UserView"}),
    ]);
    answers(&server, "GET", "/UserViews", json!({"Items": views, "TotalRecordCount": 7})).await;
    let libraries = view(KIND, &server, "u1").await.libraries().await.unwrap();
    let found: Vec<_> = libraries.into_iter().map(|library| library.content).collect();
    let other = |name: &str| Content::Other(name.to_owned());
    assert_eq!(
        found,
        [
            Content::Movies,
            Content::Shows,
            Content::Mixed,
            Content::Mixed,
            other("homevideos"),
            other("ManualPlaylistsFolder"),
            Content::Mixed
        ]
    );
    assert_eq!(asked(&server).await, ["GET /UserViews?userId=u1"]);
}

#[tokio::test]
async fn counts_are_asked_for_without_items() {
    let server = MockServer::start().await;
    let route = || Mock::given(path("/Items")).and(query_param("limit", "0"));
    let counted = |total: usize| ResponseTemplate::new(200).set_body_json(page(&[], total));
    route().and(query_param("isPlayed", "true")).respond_with(counted(2)).with_priority(1).mount(&server).await;
    route().and(query_param("filters", "IsResumable")).respond_with(counted(1)).with_priority(1).mount(&server).await;
    route().respond_with(counted(9)).mount(&server).await;
    let counts = view(KIND, &server, "u1").await.counts(&library(Content::Movies)).await.unwrap();
    assert_eq!(counts, Counts { total: 9, played: 2, resumable: 1 });
    let asked = asked(&server).await;
    assert_eq!(asked[0], format!("{LIST}&includeItemTypes=Movie,Episode&startIndex=0&limit=0"));
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn a_library_costs_one_request_a_page() {
    let server = MockServer::start().await;
    Mock::given(path("/Items")).respond_with(films(25)).mount(&server).await;
    let mut connection = connection(KIND, &server);
    connection.limits.page_size = 10;
    let view = connect(connection).unwrap().open(&account("u1", true), "server-1").await.unwrap();
    let pages = all(&*view, &library(Content::Movies), Selection::All).await.unwrap();
    let sizes: Vec<_> = pages.iter().map(|page| (page.items.len(), page.received, page.total)).collect();
    assert_eq!(sizes, [(10, 10, 25), (10, 10, 25), (5, 5, 25)]);
    let asked = asked(&server).await;
    assert_eq!(asked.len(), 3);
    assert_eq!(
        asked[2],
        format!(
            "{LIST}&fields=ProviderIds,DateCreated,Path&startIndex=20&limit=10&includeItemTypes=Movie,Episode&sortBy=DateCreated,SortName&sortOrder=Ascending"
        )
    );
}

#[tokio::test]
async fn a_page_is_fetched_ahead_and_no_more_than_one() {
    let server = MockServer::start().await;
    Mock::given(path("/Items")).respond_with(films(100)).mount(&server).await;
    let mut connection = connection(KIND, &server);
    connection.limits.page_size = 10;
    let view = connect(connection).unwrap().open(&account("u1", true), "server-1").await.unwrap();
    let library = library(Content::Movies);
    let mut pages = view.items(&library, Selection::All);
    futures::StreamExt::next(&mut pages).await.unwrap().unwrap();
    // Bounded by the test's own patience: the second request comes without being asked for.
    while asked(&server).await.len() < 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(asked(&server).await.len(), 2);
}

#[tokio::test]
async fn a_library_that_changes_under_the_reading_is_an_error() {
    let server = MockServer::start().await;
    let growing = |request: &Received| {
        let late = request.url.query().unwrap().contains("startIndex=2");
        let (items, total) = if late { (vec![movie(3)], 5) } else { (vec![movie(1), movie(2)], 4) };
        ResponseTemplate::new(200).set_body_json(page(&items, total))
    };
    Mock::given(path("/Items")).respond_with(growing).mount(&server).await;
    let view = view(KIND, &server, "u1").await;
    let error = all(&*view, &library(Content::Movies), Selection::All).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadAnswer);
    assert!(error.is_retryable());
}

#[tokio::test]
async fn films_and_episodes_are_read_with_ids_numbers_and_state() {
    let server = MockServer::start().await;
    let film = json!({"Id": "0a", "Type": "Movie", "Name": "The Matrix", "ProductionYear": 1999,
        "DateCreated": "2020-09-13T12:26:40.0000000Z", "Path": "/films/matrix.mkv", "RunTimeTicks": 81_600_000_000_u64,
        "ProviderIds": {"Imdb": "tt0133093", "Tmdb": "603", "TmdbCollection": "2344", "Tvdb": "n/a", "Official": null},
        "UserData": {"Played": true, "PlayCount": 2, "PlaybackPositionTicks": 120_000_000, "LastPlayedDate": "2023-11-14T22:13:20.0000000Z",
            "IsFavorite": true, "Key": "603"}, "IsFolder": false, "MediaType": "Video"});
    let episode = json!({"Id": "0b", "Type": "Episode", "Name": "Two in one", "SeriesName": "Thrones", "SeriesId": "5e", "SeasonId": "5a",
        "ParentIndexNumber": 0, "IndexNumber": 3, "IndexNumberEnd": 4, "ProductionYear": 2012, "ProviderIds": {},
        "UserData": {"Played": false, "PlayCount": 0, "PlaybackPositionTicks": 0}});
    let odd = json!({"Id": "0c", "Type": "Movie", "Name": null, "ProductionYear": "long ago", "DateCreated": "0001-01-01T00:00:00.0000000Z",
        "RunTimeTicks": -1, "ProviderIds": null, "UserData": {"Played": null, "PlayCount": -1, "LastPlayedDate": ""}});
    let video = json!({"Id": "0d", "Type": "Video", "Name": "Holidays"});
    answers(&server, "GET", "/Items", page(&[film, episode, odd, video], 4)).await;
    let view = view(KIND, &server, "u1").await;
    let pages = all(&*view, &library(Content::Mixed), Selection::All).await.unwrap();
    assert_eq!(pages[0].received, 4);
    let [film, episode, odd] = &pages[0].items[..] else { panic!("three items") };
    assert_eq!(film.ids.to_string(), "imdb:tt0133093 tmdb:603");
    assert_eq!((film.junk_ids, film.year, film.runtime_ms), (1, Some(1999), Some(8_160_000)));
    assert_eq!((film.added_at, film.path.as_deref()), (Some(at(1_600_000_000)), Some("/films/matrix.mkv")));
    let state = ItemState { played: true, plays: 2, last_played_at: Some(at(1_700_000_000)), position_ms: 12_000 };
    assert_eq!(film.state, state);
    let numbers = (episode.season, episode.episode, episode.episode_end, episode.year);
    assert_eq!((episode.kind, numbers), (Kind::Episode, (Some(0), Some(3), Some(4), None)));
    let show = episode.show.as_ref().unwrap();
    assert_eq!((show.remote_id.as_deref(), show.title.as_str()), (Some("5e"), "Thrones"));
    assert_eq!((odd.title.as_str(), odd.year, odd.added_at, odd.runtime_ms), ("", None, None, None));
    assert_eq!(odd.state, ItemState::default());
}

#[tokio::test]
async fn items_without_states_are_no_unplayed_items() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/Items", page(&[json!({"Id": "1", "Type": "Movie", "Name": "Film"})], 1)).await;
    let view = view(KIND, &server, "u1").await;
    let error = all(&*view, &library(Content::Movies), Selection::All).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadAnswer);
}

#[tokio::test]
async fn incremental_reading_asks_for_activity_changes_and_shows() {
    let server = MockServer::start().await;
    let series = json!({"Id": "5e", "Type": "Series", "Name": "Thrones", "ProductionYear": 2011, "ProviderIds": {"Tvdb": "121361"}});
    answers(&server, "GET", "/Items", page(&[series], 1)).await;
    let view = view(KIND, &server, "u1").await;
    let (shows, films) = (library(Content::Shows), library(Content::Movies));
    let found = all(&*view, &shows, Selection::Shows).await.unwrap();
    assert_eq!((found[0].items[0].kind, found[0].items[0].year), (Kind::Show, Some(2011)));
    assert_eq!(all(&*view, &films, Selection::Shows).await.unwrap(), []);
    all(&*view, &films, Selection::ActiveSince(at(1_700_000_000))).await.unwrap();
    all(&*view, &films, Selection::ChangedSince(at(1_700_000_000))).await.unwrap();
    let ends: Vec<String> = asked(&server).await.iter().map(|asked| asked[LIST.len()..].to_owned()).collect();
    let fields = "&fields=ProviderIds,DateCreated,Path&startIndex=0";
    assert_eq!(
        ends,
        [
            format!("{fields}&limit=1000&includeItemTypes=Series&sortBy=DateCreated,SortName&sortOrder=Ascending"),
            format!(
                "{fields}&limit=100&includeItemTypes=Movie,Episode&sortBy=DatePlayed,SortName&sortOrder=Descending"
            ),
            format!(
                "{fields}&limit=1000&includeItemTypes=Movie,Episode,Series&sortBy=DateCreated,SortName&sortOrder=Ascending&minDateLastSaved=2023-11-14T22:13:20Z"
            ),
        ]
    );
}

#[tokio::test]
async fn recent_activity_ends_at_the_stamp_without_another_page() {
    let server = MockServer::start().await;
    let played = |id: usize, date: &str| {
        let mut movie = movie(id);
        movie["UserData"] = json!({"Played": true, "PlayCount": 1, "LastPlayedDate": date});
        movie
    };
    let mut items = vec![played(1, "2025-06-02T00:00:00Z"), played(2, "2025-06-01T00:00:00Z")];
    items.extend((3..=90).map(|id| played(id, "2025-01-01T00:00:00Z")));
    items.extend((91..=100).map(movie));
    answers(&server, "GET", "/Items", page(&items, 5000)).await;
    let view = view(KIND, &server, "u1").await;
    let since: Timestamp = "2025-06-01T00:00:00Z".parse().unwrap();
    let pages = all(&*view, &library(Content::Movies), Selection::ActiveSince(since)).await.unwrap();
    assert_eq!((pages.len(), pages[0].items.len()), (1, 2));
    assert_eq!(asked(&server).await.len(), 1);
}

#[tokio::test]
async fn single_items_are_read_together() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/Items", page(&[movie(2)], 1)).await;
    let view = view(KIND, &server, "u1").await;
    let found = view.items_by_id(&["1".to_owned(), "2".to_owned()]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        asked(&server).await,
        [
            "GET /Items?userId=u1&ids=1,2&fields=ProviderIds,DateCreated,Path&enableImages=false&enableUserData=true&enableTotalRecordCount=true&startIndex=0&limit=2"
        ]
    );
}

#[tokio::test]
async fn what_the_account_plays_alone_or_along_is_found() {
    let server = MockServer::start().await;
    let session = |user: &str, item: Value, others: Value| json!({"Id": "s", "UserId": user, "UserName": "x", "NowPlayingItem": item, "AdditionalUsers": others});
    let sessions = json!([
        session("u1", json!({"Id": "1", "Name": "Film", "Type": "Movie"}), json!([])),
        session("u1", Value::Null, Value::Null),
        session("u2", json!({"Id": "2"}), json!([{"UserId": "u1", "UserName": "Anna"}])),
        session("u2", json!({"Id": "3"}), json!([])),
        json!({"Id": "s4"}),
    ]);
    answers(&server, "GET", "/Sessions", sessions).await;
    let view = view(KIND, &server, "u1").await;
    assert_eq!(view.playing().await.unwrap(), ["1", "2"]);
    server.reset().await;
    refuses(&server, "GET", "/Sessions", 403).await;
    assert_eq!(view.playing().await.unwrap(), Vec::<String>::new());
}
