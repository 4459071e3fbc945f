//! The agreed truth and the history, case by case; their laws stand in `tests/laws`.

use super::*;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + minute * 60).unwrap()
}

fn played(order: i64) -> Event {
    Event::Played { order: at(order), stamp: Some(at(order)), source: Source::Mark }
}

fn unplayed(order: i64) -> Event {
    Event::Unplayed { order: at(order) }
}

fn position(minutes: u64, when: i64) -> Event {
    Event::Position { position_ms: minutes * 60_000, at: at(when) }
}

fn watch(events: &[Event]) -> Watch {
    let mut watch = Watch::default();
    for event in events {
        watch.apply(event);
    }
    watch
}

#[test]
fn the_latest_mark_wins_and_of_two_at_one_moment_the_play() {
    let cases = [
        (vec![], false),
        (vec![played(10)], true),
        (vec![played(10), unplayed(11)], false),
        (vec![unplayed(11), played(10)], false),
        (vec![unplayed(11), played(12)], true),
        (vec![played(10), unplayed(10)], true),
        (vec![unplayed(10), played(10)], true),
    ];
    for (events, expected) in cases {
        assert_eq!(watch(&events).played(), expected, "{events:?}");
    }
}

#[test]
fn a_position_counts_until_a_later_mark_or_a_later_nought() {
    let cases = [
        (vec![position(30, 10)], Some(30)),
        (vec![position(30, 10), position(20, 11)], Some(20)),
        (vec![position(20, 11), position(30, 10)], Some(20)),
        (vec![position(30, 10), position(0, 11)], None),
        (vec![position(30, 10), played(11)], None),
        (vec![played(11), position(30, 10)], None),
        (vec![position(30, 10), unplayed(11)], None),
        (vec![played(9), position(30, 10)], Some(30)),
        (vec![played(10), position(30, 10)], None),
    ];
    for (events, expected) in cases {
        let minutes = watch(&events).position().map(|position| position.position_ms / 60_000);
        assert_eq!(minutes, expected, "{events:?}");
    }
}

#[test]
fn applying_says_whether_anything_changed() {
    let mut watch = Watch::default();
    assert!(watch.apply(&played(10)));
    assert!(!watch.apply(&played(10)));
    assert!(!watch.apply(&unplayed(9)));
    assert!(watch.apply(&position(30, 20)));
    assert_eq!(watch, Watch::from_parts(watch.mark(), watch.told_position()));
    assert_eq!(watch.changed_at(), Some(at(10)));
}

#[test]
fn a_play_told_twice_is_one_and_a_playback_dates_it_better_than_a_mark() {
    let runtime = Some(100 * 60_000);
    let mut history = History::default();
    assert!(history.tell(Viewing::told(at(100), Source::Mark, "plex"), runtime));
    assert!(!history.tell(Viewing::told(at(100), Source::Mark, "plex"), runtime));
    assert!(!history.tell(Viewing::told(at(140), Source::Playback, "jellyfin"), runtime));
    let [viewing] = history.viewings() else { panic!("one viewing, not {history:?}") };
    assert_eq!((viewing.played_at, viewing.via.as_str(), viewing.first), (at(140), "jellyfin", at(100)));
    assert!(
        history.tell(Viewing::told(at(190), Source::Mark, "plex"), runtime),
        "50 minutes are no longer the same viewing"
    );
    assert_eq!(history.last_played_at(), Some(at(190)));
}

#[test]
fn half_the_running_time_parts_two_viewings_and_half_an_hour_where_it_is_unknown() {
    let cases =
        [(None, 29, 1), (None, 30, 2), (Some(0), 30, 2), (Some(40 * 60_000), 19, 1), (Some(40 * 60_000), 20, 2)];
    for (runtime, apart, expected) in cases {
        let told = [0, apart].map(|minute| Viewing::told(at(minute), Source::Mark, "plex"));
        assert_eq!(History::new(told.to_vec(), runtime).viewings().len(), expected, "{runtime:?} {apart}");
    }
}

#[test]
fn a_record_of_a_start_belongs_to_the_end_that_the_same_server_told() {
    let told = |minute, source, via| Viewing::told(at(minute), source, via);
    let end = told(1_000, Source::Playback, "emby");
    let cases = [
        (vec![end.clone()], 900, true),
        (vec![end.clone()], 1_001, false),
        (vec![end.clone()], 1_000 - 12 * 60, false),
        (vec![told(1_000, Source::Mark, "emby")], 900, false),
        (vec![told(1_000, Source::Playback, "jellyfin")], 900, false),
        (vec![told(950, Source::Mark, "plex"), end.clone()], 900, false),
        (vec![told(500, Source::Mark, "plex"), end], 900, true),
        (vec![], 900, false),
    ];
    for (viewings, start, expected) in cases {
        let history = History::new(viewings, None);
        assert_eq!(history.ends(at(start), "emby"), expected, "{start} {history:?}");
    }
}

#[test]
fn a_telling_between_two_viewings_makes_them_one() {
    let told = [0, 40, 20].map(|minute| Viewing::told(at(minute), Source::Mark, "plex"));
    let mut history = History::new(told[..2].to_vec(), None);
    assert_eq!(history.viewings().len(), 2);
    assert!(!history.tell(told[2].clone(), None));
    assert_eq!(history, History::new(told.to_vec(), None));
    assert_eq!(history.viewings().len(), 1);
}
