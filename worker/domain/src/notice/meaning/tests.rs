use super::*;
use crate::item::ServerKind;
use crate::merge::Expected;
use crate::policy::ProgressPolicy;

const NOW: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn context(now: i64) -> Context {
    Context {
        now: at(now),
        offset: ClockOffset(0),
        kind: ServerKind::Jellyfin,
        unplayed: Unplayed::Follow,
        progress: ProgressPolicy::default(),
    }
}

fn record(played: bool, plays: u32, last: Option<i64>, position_ms: u64) -> ItemState {
    ItemState { played, plays, last_played_at: last.map(at), position_ms }
}

fn base(state: ItemState) -> Base {
    let finished_plays = if state.position_ms == 0 { state.plays } else { 0 };
    let observation = Observation {
        state,
        finished_plays,
        added_at: Some(at(1)),
        true_at: at(NOW - 3_600),
        expected: None,
        finish_told: None,
    };
    Base { observation, told_at: None }
}

fn unplayed() -> Base {
    base(ItemState::default())
}

fn watched() -> Base {
    base(record(true, 1, Some(NOW - 90_000), 0))
}

fn tell(what: What, base: Option<&Base>) -> Meaning {
    meaning(what, Some(at(NOW)), base, Some(6_000_000), &context(NOW))
}

fn events(meaning: Meaning) -> Vec<Event> {
    match meaning {
        Meaning::Happened(happened) => happened.events,
        other => panic!("{other:?}"),
    }
}

fn rule(meaning: &Meaning) -> Option<Rule> {
    match meaning {
        Meaning::Happened(happened) => happened.rule,
        other => panic!("{other:?}"),
    }
}

const STOPPED: Cause = Cause::Stopped;

#[test]
fn a_finish_is_a_playback_at_the_time_it_was_told_and_its_record_is_no_second_one() {
    let expected = Event::Played { order: at(NOW), stamp: Some(at(NOW)), source: Source::Playback };
    for known in [None, Some(unplayed()), Some(watched())] {
        let told = tell(What::Finished, known.as_ref());
        let Meaning::Happened(happened) = &told else { panic!("{told:?}") };
        assert_eq!((happened.finish_told, happened.observation), (Some(at(NOW)), None));
        assert_eq!(events(told), [expected], "{known:?}");
    }
    assert_eq!(rule(&tell(What::Finished, Some(&watched()))), Some(Rule::PlayedAgain));

    // The next reading bears the stamp of its start, of its end, or none; one of a later viewing is another play.
    for (before, plays) in [(unplayed(), 1), (watched(), 2)] {
        let base = Observation { finish_told: Some(at(NOW)), ..before.observation };
        for (stamp, rule) in [
            (Some(NOW - 6_000), Rule::ToldBefore),
            (Some(NOW + 3), Rule::ToldBefore),
            (None, Rule::ToldBefore),
            (Some(NOW + 9_000), if plays == 1 { Rule::NewlyPlayed } else { Rule::PlayedAgain }),
        ] {
            let reading = Reading { state: record(true, plays, stamp, 0), added_at: Some(at(1)) };
            let merged = three_way(&reading, Some(&base), &context(NOW + 10_000));
            assert_eq!((merged.rule, merged.observation.finish_told), (rule, None), "{stamp:?}");
        }
    }
}

#[test]
fn a_finish_that_comes_after_its_record_was_read_is_the_same_viewing() {
    let mut read = base(record(true, 1, Some(NOW - 6_000), 0));
    read.observation.true_at = at(NOW + 60);
    for kind in [ServerKind::Plex, ServerKind::Jellyfin, ServerKind::Emby] {
        let told = meaning(What::Finished, None, Some(&read), None, &Context { kind, ..context(NOW) });
        let [Event::Played { order, stamp, .. }] = events(told)[..] else { panic!("a play") };
        assert_eq!((order, stamp), (at(NOW), Some(at(NOW - 6_000))), "{kind}");
    }
}

#[test]
fn a_finish_that_the_record_has_just_told_is_the_same_viewing() {
    let mut told = base(record(true, 1, Some(NOW - 6_000), 0));
    told.observation.true_at = at(NOW - 1);
    let Meaning::Happened(happened) = tell(What::Finished, Some(&told)) else { panic!("a play") };
    let [Event::Played { stamp, .. }] = happened.events[..] else { panic!("a play") };
    assert_eq!((stamp, happened.finish_told), (Some(at(NOW - 6_000)), None));
    // Of a re-watch the record tells nothing but that it began.
    told.observation.state.plays = 2;
    assert_eq!(rule(&tell(What::Finished, Some(&told))), Some(Rule::PlayedAgain));
}

#[test]
fn a_record_that_stays_played_is_no_play_by_itself() {
    // Jellyfin 12 keeps the mark when a re-watch starts, and counts; a viewing that is given up at once leaves no position.
    let state = record(true, 2, Some(NOW), 0);
    for cause in [Cause::Started, Cause::Progress, Cause::Stopped] {
        let told = tell(What::Saved { state, cause }, Some(&watched()));
        let Meaning::Happened(happened) = &told else { panic!("{told:?}") };
        assert_eq!((happened.rule, happened.events.len()), (Some(Rule::RewatchUnderWay), 0), "{cause:?}");
        assert_eq!(happened.observation, None, "an import that finds it finished tells so");
    }
    assert_eq!(rule(&tell(What::Saved { state, cause: Cause::Set }, Some(&watched()))), Some(Rule::PlayedAgain));
    let begins = What::Saved { state, cause: Cause::Started };
    assert_eq!(tell(begins, Some(&unplayed())), Meaning::Nothing(Reason::Begins), "it was played before that");
    let ends =
        tell(What::Saved { state: record(true, 1, Some(NOW - 6_000), 0), cause: Cause::Progress }, Some(&unplayed()));
    assert_eq!(rule(&ends), Some(Rule::NewlyPlayed), "90 % are passed while it plays");
}

#[test]
fn a_saved_record_of_a_finish_is_a_reading_whose_stamp_comes_from_a_playback() {
    let state = record(true, 1, Some(NOW - 5_400), 0);
    let Meaning::Happened(happened) = tell(What::Saved { state, cause: STOPPED }, Some(&unplayed())) else {
        panic!("it happened")
    };
    let Some(Event::Played { stamp, source, .. }) = happened.events.first() else { panic!("{happened:?}") };
    assert_eq!((*stamp, *source), (Some(at(NOW - 5_400)), Source::Playback));
    assert_eq!(happened.observation.unwrap().state, state);
}

#[test]
fn a_re_watch_that_begins_un_watches_nobody() {
    // Jellyfin 10.11 clears the mark, counts and stamps when a playback starts.
    let state = record(false, 2, Some(NOW), 0);
    let told = tell(What::Saved { state, cause: Cause::Started }, Some(&watched()));
    assert_eq!((rule(&told), events(told)), (Some(Rule::RewatchUnderWay), Vec::new()));
    // Whatever a server does to a record when a playback starts, nobody un-marked anything.
    let emptied = tell(What::Saved { state: ItemState::default(), cause: Cause::Started }, Some(&watched()));
    assert_eq!(emptied, Meaning::Nothing(Reason::NothingLeft));
}

#[test]
fn an_un_mark_stands_at_the_time_it_was_told() {
    let expected = vec![Event::Unplayed { order: at(NOW) }];
    for what in [What::Saved { state: ItemState::default(), cause: Cause::Marked }, What::MarkedUnplayed] {
        let told = tell(what, Some(&watched()));
        let Meaning::Happened(happened) = &told else { panic!("{told:?}") };
        assert_eq!(happened.observation.unwrap().state, ItemState::default(), "{what:?}");
        assert_eq!(events(told), expected, "{what:?}");
    }
}

#[test]
fn a_play_that_was_only_told_can_be_un_marked_before_it_is_read() {
    let mut told = unplayed();
    told.observation.finish_told = Some(at(NOW - 30));
    for what in [What::Saved { state: ItemState::default(), cause: Cause::Marked }, What::MarkedUnplayed] {
        let meant = tell(what, Some(&told));
        let Meaning::Happened(happened) = &meant else { panic!("{meant:?}") };
        assert_eq!(happened.observation.unwrap().finish_told, None, "and a mark after that is another play");
        assert_eq!(events(meant), [Event::Unplayed { order: at(NOW) }], "{what:?}");
    }
}

#[test]
fn an_un_mark_of_what_was_not_known_to_be_played_there_un_watches_nothing() {
    let saved = What::Saved { state: ItemState::default(), cause: Cause::Marked };
    assert_eq!(tell(What::MarkedUnplayed, Some(&unplayed())), Meaning::Nothing(Reason::AsKnown));
    assert_eq!(events(tell(saved, Some(&unplayed()))), []);
    for what in [saved, What::MarkedUnplayed] {
        assert_eq!(tell(what, None), Meaning::Look(Reason::NotKnown), "{what:?}");
    }
}

#[test]
fn an_un_mark_is_only_noted_where_un_plays_are_ignored() {
    let context = Context { unplayed: Unplayed::Ignore, ..context(NOW) };
    for what in [What::Saved { state: ItemState::default(), cause: Cause::Marked }, What::MarkedUnplayed] {
        let told = meaning(what, Some(at(NOW)), Some(&watched()), None, &context);
        assert_eq!((rule(&told), events(told)), (Some(Rule::UnplayedIgnored), Vec::new()), "{what:?}");
    }
}

#[test]
fn an_un_mark_that_was_overtaken_un_watches_nothing() {
    let mut read_since = watched();
    read_since.observation.true_at = at(NOW + 60);
    let mut told_since = watched();
    told_since.told_at = Some(at(NOW + 1));
    for known in [read_since, told_since] {
        for what in [What::Saved { state: ItemState::default(), cause: Cause::Marked }, What::MarkedUnplayed] {
            assert_eq!(tell(what, Some(&known)), Meaning::Nothing(Reason::Late), "{what:?}");
        }
    }
}

#[test]
fn a_mark_that_arrives_behind_its_own_un_mark_ends_un_marked_and_overrules_nothing_later() {
    let mut known = unplayed();
    known.told_at = Some(at(NOW + 5));
    let state = record(true, 1, Some(NOW), 0);
    for what in [What::Saved { state, cause: Cause::Marked }, What::MarkedPlayed] {
        let told = events(tell(what, Some(&known)));
        let [Event::Played { order, .. }, Event::Unplayed { order: withdrawn }] = told[..] else {
            panic!("{what:?}: {told:?}")
        };
        assert!(withdrawn > order && withdrawn < at(NOW + 1), "{what:?}");
    }
}

#[test]
fn events_that_arrive_a_moment_apart_stand_in_the_order_of_their_servers_stamps() {
    // The stop was merged first, though the mark had arrived before it.
    let mut known = unplayed();
    known.told_at = Some(at(NOW));
    known.observation.true_at = at(NOW + 2);
    let state = record(true, 1, Some(NOW), 0);
    let marked = What::Saved { state, cause: Cause::Marked };
    let told = meaning(marked, Some(at(NOW + 1)), Some(&known), None, &context(NOW + 1));
    assert!(matches!(events(told)[..], [Event::Played { .. }]));
    let read_since = Base { observation: Observation { true_at: at(NOW + 60), ..known.observation }, ..known };
    let told = meaning(marked, Some(at(NOW + 1)), Some(&read_since), None, &context(NOW + 1));
    assert!(matches!(events(told)[..], [Event::Played { .. }, Event::Unplayed { .. }]));
}

#[test]
fn a_late_play_is_a_play_all_the_same() {
    let mut known = watched();
    known.observation.true_at = at(NOW + 60);
    let state = record(true, 2, Some(NOW - 10), 0);
    for what in [What::Finished, What::Saved { state, cause: STOPPED }] {
        let told = tell(what, Some(&known));
        assert!(matches!(events(told.clone())[..], [Event::Played { .. }]), "{what:?} {told:?}");
        let Meaning::Happened(happened) = told else { panic!("{what:?}") };
        assert_eq!(happened.observation, None, "what is newer stays");
    }
    // A bare finish is no proof of a mark that was taken back: the play is kept and nothing un-played.
    let mut emptied = unplayed();
    emptied.told_at = Some(at(NOW + 5));
    assert!(matches!(events(tell(What::Finished, Some(&emptied)))[..], [Event::Played { .. }]));
}

#[test]
fn our_own_writes_come_back_as_nothing_new() {
    let expected = |played, stamp: Option<i64>| Expected { played, at: at(NOW - 1), stamp: stamp.map(at) };
    let mut marking = unplayed();
    marking.observation.expected = Some(expected(true, Some(NOW - 500_000)));
    let state = record(true, 1, Some(NOW - 500_000), 0);
    let told = tell(What::Saved { state, cause: Cause::Marked }, Some(&marking));
    assert_eq!((rule(&told), events(told)), (Some(Rule::Echo), Vec::new()));
    assert_eq!(tell(What::MarkedPlayed, Some(&marking)), Meaning::Nothing(Reason::Echo));

    let mut unmarking = watched();
    unmarking.observation.expected = Some(expected(false, None));
    let told = tell(What::Saved { state: ItemState::default(), cause: Cause::Marked }, Some(&unmarking));
    assert_eq!((rule(&told), events(told)), (Some(Rule::Echo), Vec::new()));
    assert_eq!(tell(What::MarkedUnplayed, Some(&unmarking)), Meaning::Nothing(Reason::Echo));

    // Once the write was recorded, its echo is what is known.
    assert_eq!(tell(What::MarkedPlayed, Some(&watched())), Meaning::Nothing(Reason::AsKnown));
    assert_eq!(tell(What::MarkedUnplayed, Some(&unplayed())), Meaning::Nothing(Reason::AsKnown));
}

#[test]
fn positions_travel_between_the_minimum_and_the_end_of_what_is_not_played() {
    let position = |position_ms| What::Position { position_ms };
    let moved = vec![Event::Position { position_ms: 1_200_000, at: at(NOW) }];
    for known in [None, Some(unplayed())] {
        assert_eq!(events(tell(position(1_200_000), known.as_ref())), moved);
    }
    let half = base(record(false, 1, Some(NOW - 100), 1_195_000));
    let cases = [
        (59_999, unplayed(), Reason::BelowMinimum),
        (0, unplayed(), Reason::BelowMinimum),
        (5_400_000, unplayed(), Reason::NearTheEnd),
        (u64::MAX, unplayed(), Reason::NearTheEnd),
        (1_200_000, watched(), Reason::PlayedHere),
        (1_200_000, half, Reason::AsKnown),
    ];
    for (position_ms, known, reason) in cases {
        assert_eq!(tell(position(position_ms), Some(&known)), Meaning::Nothing(reason), "{position_ms}");
    }
    let off = Context { progress: ProgressPolicy { enabled: false, minimum_ms: 60_000 }, ..context(NOW) };
    assert_eq!(meaning(position(1_200_000), None, None, None, &off), Meaning::Nothing(Reason::ProgressOff));
}

#[test]
fn what_has_no_bearing_is_put_aside_with_a_reason() {
    let cases = [
        (What::Started, Meaning::Nothing(Reason::Begins)),
        (What::Rated, Meaning::Nothing(Reason::Rated)),
        (What::Test, Meaning::Nothing(Reason::Test)),
        (What::Other, Meaning::Nothing(Reason::NoBearing)),
        (What::Added, Meaning::Look(Reason::New)),
    ];
    for (what, expected) in cases {
        assert_eq!(tell(what, Some(&unplayed())), expected);
    }
    let mut words: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Reason::ALL.len());
}

#[test]
fn an_event_that_came_directly_happened_when_it_arrived_and_one_that_was_kept_back_when_it_was_sent() {
    let received = at(NOW);
    let cases = [
        (None, 0, NOW),
        (Some(NOW - 3), 0, NOW),
        (Some(NOW + 3), 0, NOW),
        (Some(NOW - 600), 0, NOW - 600),
        // An hour ahead by its own clock.
        (Some(NOW + 3_600), 3_600_000, NOW),
        (Some(NOW + 3_000), 3_600_000, NOW - 600),
        // A stamp from the future is a stamp of now.
        (Some(NOW + 600), 0, NOW),
    ];
    for (sent, offset, expected) in cases {
        assert_eq!(happened_at(sent.map(at), received, ClockOffset(offset)), at(expected), "{sent:?}");
    }
}
