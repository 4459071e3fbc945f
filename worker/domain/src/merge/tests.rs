//! Every rule of the three-way merge, as a table: base, reading, and what follows.

#![expect(clippy::unnecessary_wraps, reason = "the tables hold events that may be missing")]

use super::*;

/// Minutes after some day.
fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + minute * 60).unwrap()
}

const MIN: u64 = 60_000;

/// When the base was read, and when the reading is.
const THEN: i64 = 1_000;
const NOW: i64 = 2_000;

fn state(played: bool, plays: u32, date: Option<i64>, position_minutes: u64) -> ItemState {
    ItemState { played, plays, last_played_at: date.map(at), position_ms: position_minutes * MIN }
}

fn reading(state: ItemState) -> Reading {
    Reading { state, added_at: Some(at(0)) }
}

/// A base in which no viewing is under way, or one of which `finished` plays were known to be finished.
fn base(state: ItemState, finished: u32) -> Observation {
    Observation {
        state,
        finished_plays: finished,
        added_at: Some(at(0)),
        true_at: at(THEN),
        expected: None,
        finish_told: None,
    }
}

fn context(kind: ServerKind) -> Context {
    Context {
        now: at(NOW),
        offset: ClockOffset(0),
        kind,
        unplayed: Unplayed::Follow,
        progress: ProgressPolicy::default(),
    }
}

fn played(order: i64, stamp: i64) -> Option<Event> {
    Some(Event::Played { order: at(order), stamp: Some(at(stamp)), source: Source::Mark })
}

fn unplayed() -> Option<Event> {
    Some(Event::Unplayed { order: at(THEN) + MOMENT })
}

fn position(minutes: u64, when: i64) -> Option<Event> {
    Some(Event::Position { position_ms: minutes * MIN, at: at(when) })
}

const ALL: [ServerKind; 3] = [ServerKind::Plex, ServerKind::Jellyfin, ServerKind::Emby];
const AT_START: [ServerKind; 2] = [ServerKind::Jellyfin, ServerKind::Emby];
const PLEX: [ServerKind; 1] = [ServerKind::Plex];

struct Case {
    what: &'static str,
    kinds: &'static [ServerKind],
    base: Option<Observation>,
    reading: Reading,
    mark: Option<Event>,
    position: Option<Event>,
    rule: Rule,
}

fn case(
    what: &'static str,
    kinds: &'static [ServerKind],
    base: Option<Observation>,
    now: ItemState,
    (mark, position, rule): (Option<Event>, Option<Event>, Rule),
) -> Case {
    Case { what, kinds, base, reading: reading(now), mark, position, rule }
}

fn check(cases: &[Case]) {
    for case in cases {
        for kind in case.kinds {
            let merged = three_way(&case.reading, case.base.as_ref(), &context(*kind));
            assert_eq!(
                (merged.mark, merged.position, merged.rule),
                (case.mark, case.position, case.rule),
                "{kind}: {}",
                case.what
            );
            assert_eq!(merged.observation.state, case.reading.state, "{kind}: {}", case.what);
            assert_eq!(merged.observation.true_at, at(NOW), "{kind}: {}", case.what);
            assert_eq!(merged.observation.expected, None, "{kind}: {}", case.what);
            let again = three_way(&case.reading, Some(&merged.observation), &context(*kind));
            assert_eq!(
                (again.mark, again.position, again.rule),
                (None, None, Rule::Unchanged),
                "{kind}, again: {}",
                case.what
            );
        }
    }
}

#[test]
fn first_sight_adopts_plays_and_positions_and_concludes_nothing_from_their_absence() {
    let epoch = Some(Event::Played { order: Timestamp::UNIX_EPOCH, stamp: None, source: Source::Mark });
    check(&[
        case("a play", &ALL, None, state(true, 1, Some(500), 0), (played(500, 500), None, Rule::FirstSightPlayed)),
        case(
            "a play from the future is one of now",
            &ALL,
            None,
            state(true, 1, Some(9_000), 0),
            (played(NOW, NOW), None, Rule::FirstSightPlayed),
        ),
        case(
            "a play without a date is older than all",
            &ALL,
            None,
            state(true, 1, None, 0),
            (epoch, None, Rule::FirstSightPlayed),
        ),
        case(
            "Emby's mark with count 0",
            &ALL,
            None,
            state(true, 0, Some(500), 0),
            (played(500, 500), None, Rule::FirstSightPlayed),
        ),
        case("nothing", &ALL, None, state(false, 0, None, 0), (None, None, Rule::FirstSightUnplayed)),
        case(
            "a re-watch that has cleared the mark",
            &AT_START,
            None,
            state(false, 2, Some(500), 0),
            (None, None, Rule::FirstSightUnplayed),
        ),
        case(
            "a position",
            &ALL,
            None,
            state(false, 0, Some(500), 20),
            (None, position(20, 500), Rule::FirstSightUnplayed),
        ),
        case(
            "a position without a date",
            &ALL,
            None,
            state(false, 0, None, 20),
            (None, None, Rule::FirstSightUnplayed),
        ),
        case(
            "a position of a played title",
            &ALL,
            None,
            state(true, 1, Some(500), 20),
            (played(500, 500), None, Rule::FirstSightPlayed),
        ),
    ]);
}

#[test]
fn a_first_play_is_dated_by_the_server_where_its_date_can_be_right() {
    let never = Some(base(state(false, 0, None, 0), 0));
    let begun = |date| Some(base(state(false, 1, Some(date), 30), 0));
    check(&[
        case("watched", &ALL, never, state(true, 1, Some(1_500), 0), (played(1_500, 1_500), None, Rule::NewlyPlayed)),
        case(
            "Emby's mark with count 0",
            &ALL,
            never,
            state(true, 0, Some(1_500), 0),
            (played(1_500, 1_500), None, Rule::NewlyPlayed),
        ),
        case(
            "marked with an old date",
            &ALL,
            never,
            state(true, 1, Some(10), 0),
            (played(NOW, 10), None, Rule::NewlyPlayed),
        ),
        case("without a date", &ALL, never, state(true, 1, None, 0), (played(NOW, NOW), None, Rule::NewlyPlayed)),
        case(
            "the viewing that was under way ended, at its start's date",
            &AT_START,
            begun(950),
            state(true, 1, Some(950), 0),
            (played(NOW, 950), None, Rule::NewlyPlayed),
        ),
        case(
            "a viewing given up long ago, and then a mark",
            &AT_START,
            begun(10),
            state(true, 1, Some(10), 0),
            (played(NOW, NOW), None, Rule::NewlyPlayed),
        ),
        case(
            "a date that didn't move says nothing",
            &PLEX,
            begun(950),
            state(true, 1, Some(950), 0),
            (played(NOW, NOW), None, Rule::NewlyPlayed),
        ),
        case(
            "watched, and begun again",
            &PLEX,
            never,
            state(true, 1, Some(1_500), 5),
            (played(1_500, 1_500), None, Rule::NewlyPlayed),
        ),
    ]);
}

#[test]
fn a_rewatch_is_a_play_when_it_ends_and_not_when_it_starts() {
    let seen = || Some(base(state(true, 1, Some(500), 0), 1));
    let cleared = |position| Some(base(state(false, 2, Some(900), position), 1));
    let kept = || Some(base(state(true, 2, Some(900), 30), 1));
    check(&[
        case(
            "10.11 starts: mark cleared, count and date moved, no position yet",
            &AT_START,
            seen(),
            state(false, 2, Some(1_500), 0),
            (None, None, Rule::RewatchUnderWay),
        ),
        case(
            "10.11 goes on",
            &AT_START,
            seen(),
            state(false, 2, Some(1_500), 30),
            (None, position(30, 1_500), Rule::RewatchUnderWay),
        ),
        case(
            "Emby starts again what was marked with count 0",
            &AT_START,
            Some(base(state(true, 0, Some(500), 0), 0)),
            state(false, 1, Some(1_500), 0),
            (None, None, Rule::RewatchUnderWay),
        ),
        case(
            "10.11 ends: no date moves then",
            &AT_START,
            cleared(30),
            state(true, 2, Some(900), 0),
            (played(NOW, 900), None, Rule::NewlyPlayed),
        ),
        case(
            "10.11 ends before a position was seen",
            &AT_START,
            cleared(0),
            state(true, 2, Some(900), 0),
            (played(NOW, 900), None, Rule::NewlyPlayed),
        ),
        case("12 starts and goes on", &AT_START, seen(), state(true, 2, Some(1_500), 30), (None, None, Rule::Adopted)),
        case(
            "12 ends: no date moves then",
            &AT_START,
            kept(),
            state(true, 2, Some(900), 0),
            (played(NOW, 900), None, Rule::PlayedAgain),
        ),
        case(
            "start and end between two readings",
            &AT_START,
            seen(),
            state(true, 2, Some(1_500), 0),
            (played(1_500, 1_500), None, Rule::PlayedAgain),
        ),
        case("a count that rises for itself", &ALL, seen(), state(true, 2, Some(500), 0), (None, None, Rule::Adopted)),
        case("a date that moves for itself", &ALL, seen(), state(true, 1, Some(1_500), 0), (None, None, Rule::Adopted)),
        case(
            "once more without dates",
            &ALL,
            Some(base(state(true, 1, None, 0), 1)),
            state(true, 2, None, 0),
            (played(NOW, NOW), None, Rule::PlayedAgain),
        ),
        case(
            "marked once more with an old date",
            &ALL,
            seen(),
            state(true, 2, Some(100), 0),
            (played(NOW, 100), None, Rule::PlayedAgain),
        ),
        case("Plex goes on", &PLEX, seen(), state(true, 1, Some(1_500), 30), (None, None, Rule::Adopted)),
        case(
            "Plex ends",
            &PLEX,
            Some(base(state(true, 1, Some(900), 30), 1)),
            state(true, 2, Some(1_500), 0),
            (played(1_500, 1_500), None, Rule::PlayedAgain),
        ),
        case(
            "Plex ends and starts again: its count rises at the end",
            &PLEX,
            seen(),
            state(true, 2, Some(1_500), 5),
            (played(1_500, 1_500), None, Rule::PlayedAgain),
        ),
        case(
            "un-marked and watched again between two readings",
            &ALL,
            Some(base(state(true, 3, Some(500), 0), 3)),
            state(true, 1, Some(1_500), 0),
            (played(1_500, 1_500), None, Rule::PlayedAgain),
        ),
        case(
            "a lower count with an older date: another state was brought back",
            &ALL,
            Some(base(state(true, 3, Some(500), 0), 3)),
            state(true, 1, Some(100), 0),
            (None, None, Rule::Adopted),
        ),
    ]);
}

#[test]
fn an_unplay_is_believed_when_nothing_of_the_play_is_left() {
    let seen = || Some(base(state(true, 1, Some(500), 0), 1));
    check(&[
        case("un-marked", &ALL, seen(), state(false, 0, None, 0), (unplayed(), None, Rule::NewlyUnplayed)),
        case(
            "un-marked; the date stays",
            &ALL,
            seen(),
            state(false, 0, Some(500), 0),
            (unplayed(), None, Rule::NewlyUnplayed),
        ),
        case(
            "un-marked with a left-over position",
            &ALL,
            Some(base(state(true, 1, Some(500), 30), 1)),
            state(false, 0, None, 0),
            (unplayed(), None, Rule::NewlyUnplayed),
        ),
        case(
            "a position is left",
            &ALL,
            seen(),
            state(false, 0, Some(1_500), 30),
            (None, position(30, 1_500), Rule::RewatchUnderWay),
        ),
        case("a count is left", &ALL, seen(), state(false, 1, Some(500), 0), (None, None, Rule::RewatchUnderWay)),
    ]);
    let replaced = Reading { state: state(false, 0, None, 0), added_at: Some(at(1_500)) };
    let unmarked = reading(state(false, 0, None, 0));
    for kind in ALL {
        let ignoring = Context { unplayed: Unplayed::Ignore, ..context(kind) };
        let merged = three_way(&unmarked, seen().as_ref(), &ignoring);
        assert_eq!((merged.mark, merged.rule), (None, Rule::UnplayedIgnored));
        for added_at in [Some(at(1_500)), None] {
            let merged = three_way(&Reading { added_at, ..replaced }, seen().as_ref(), &context(kind));
            assert_eq!((merged.mark, merged.position, merged.rule), (None, None, Rule::FileReplaced));
            assert!(!merged.unplays());
        }
        assert!(three_way(&unmarked, seen().as_ref(), &context(kind)).unplays());
    }
}

#[test]
fn an_unplay_comes_after_a_play_whose_time_is_only_known_to_be_before_the_base() {
    let undated = reading(state(true, 1, None, 0));
    let first = three_way(&undated, Some(&base(state(false, 0, None, 0), 0)), &context(ServerKind::Emby));
    let later = Context { now: at(NOW + 60), ..context(ServerKind::Emby) };
    let second = three_way(&reading(state(false, 0, None, 0)), Some(&first.observation), &later);
    let mut watch = crate::watch::Watch::default();
    for event in first.events().chain(second.events()) {
        watch.apply(&event);
    }
    assert!(!watch.played());
}

#[test]
fn what_is_watched_in_a_replaced_file_is_a_play() {
    let seen = base(state(true, 3, Some(500), 0), 3);
    let again = |state| Reading { state, added_at: Some(at(1_200)) };
    for kind in ALL {
        for plays in [1, 3, 4] {
            let merged = three_way(&again(state(true, plays, Some(1_500), 0)), Some(&seen), &context(kind));
            assert_eq!((merged.mark, merged.rule), (played(1_500, 1_500), Rule::PlayedAgain), "{kind} {plays}");
        }
        let carried_over = three_way(&again(state(true, 3, Some(500), 0)), Some(&seen), &context(kind));
        assert_eq!((carried_over.mark, carried_over.rule), (None, Rule::Adopted));
    }
}

#[test]
fn positions_are_told_by_unplayed_items_above_the_minimum() {
    let never = || Some(base(state(false, 0, None, 0), 0));
    let half = || Some(base(state(false, 1, Some(900), 30), 0));
    let moved = |minutes, when| (None, position(minutes, when), Rule::PositionMoved);
    check(&[
        case("begun", &ALL, never(), state(false, 1, Some(1_500), 30), moved(30, 1_500)),
        case("went on; the date stays at the start's", &ALL, half(), state(false, 1, Some(900), 50), moved(50, NOW)),
        case("went back", &ALL, half(), state(false, 1, Some(1_500), 10), moved(10, 1_500)),
        case("taken away", &ALL, half(), state(false, 1, Some(1_500), 0), moved(0, 1_500)),
        case("only the date moved", &ALL, half(), state(false, 2, Some(1_500), 30), (None, None, Rule::Adopted)),
    ]);
    let short = reading(ItemState { position_ms: MIN - 1, ..state(false, 1, Some(1_500), 0) });
    let off = Context {
        progress: ProgressPolicy { enabled: false, ..ProgressPolicy::default() },
        ..context(ServerKind::Plex)
    };
    assert_eq!(three_way(&short, never().as_ref(), &context(ServerKind::Plex)).position, None);
    assert_eq!(three_way(&reading(state(false, 1, Some(1_500), 30)), never().as_ref(), &off).position, None);
    assert_eq!(three_way(&reading(state(false, 1, Some(1_500), 30)), None, &off).position, None);
}

/// A write of `mark` that was decided at minute 1,100; `sent`: the date that went with it.
fn expecting(observation: Observation, mark: bool, sent: Option<i64>) -> Option<Observation> {
    Some(Observation { expected: Some(Expected { played: mark, at: at(1_100), stamp: sent.map(at) }), ..observation })
}

#[test]
fn an_own_write_that_comes_back_is_no_play() {
    let never = base(state(false, 0, None, 0), 0);
    let echo = (None, None, Rule::Echo);
    let play = |when| (played(when, when), None, Rule::NewlyPlayed);
    let begun = base(state(false, 2, Some(900), 30), 1);
    let left_over = base(state(true, 2, Some(900), 30), 1);
    check(&[
        case("Plex stamps its own now", &PLEX, expecting(never, true, None), state(true, 1, Some(1_105), 0), echo),
        case(
            "a date is told to Plex in vain",
            &PLEX,
            expecting(never, true, Some(500)),
            state(true, 1, Some(1_105), 0),
            echo,
        ),
        case(
            "a play on Plex long after",
            &PLEX,
            expecting(never, true, None),
            state(true, 1, Some(1_500), 0),
            play(1_500),
        ),
        case(
            "a second play on top of the write",
            &PLEX,
            expecting(never, true, None),
            state(true, 2, Some(1_105), 0),
            play(1_105),
        ),
        case(
            "the date that was sent",
            &AT_START,
            expecting(never, true, Some(500)),
            state(true, 1, Some(500), 0),
            echo,
        ),
        case("Emby's count 0", &AT_START, expecting(never, true, Some(500)), state(true, 0, Some(500), 0), echo),
        case(
            "no date sent: the server's own",
            &AT_START,
            expecting(never, true, None),
            state(true, 1, Some(1_101), 0),
            echo,
        ),
        case(
            "another date than the one that was sent",
            &AT_START,
            expecting(never, true, Some(500)),
            state(true, 1, Some(1_105), 0),
            play(1_105),
        ),
        case("a server without dates", &ALL, expecting(never, true, Some(500)), state(true, 1, None, 0), echo),
        case(
            "a viewing under way was overtaken by the write",
            &AT_START,
            expecting(begun, true, Some(500)),
            state(true, 3, Some(500), 0),
            echo,
        ),
        case(
            "a viewing under way ended before the write",
            &AT_START,
            expecting(begun, true, Some(500)),
            state(true, 2, Some(900), 0),
            (played(NOW, 900), None, Rule::NewlyPlayed),
        ),
        case(
            "a left-over position was taken away",
            &AT_START,
            expecting(left_over, true, None),
            state(true, 2, Some(900), 0),
            echo,
        ),
        case(
            "nothing was written",
            &ALL,
            expecting(never, true, Some(500)),
            never.state,
            (None, None, Rule::Unchanged),
        ),
    ]);
    let whole_seconds =
        Expected { played: true, at: at(1_100), stamp: Some(at(500) + SignedDuration::from_millis(900)) };
    let observation = Observation { expected: Some(whole_seconds), ..never };
    let merged = three_way(&reading(state(true, 0, Some(500), 0)), Some(&observation), &context(ServerKind::Emby));
    assert_eq!(merged.rule, Rule::Echo, "Emby keeps whole seconds");
}

#[test]
fn an_own_unmark_or_position_that_comes_back_is_nobodys_either() {
    let seen = base(state(true, 1, Some(500), 0), 1);
    let never = base(state(false, 0, None, 0), 0);
    let echo = (None, None, Rule::Echo);
    check(&[
        case("our un-mark", &ALL, expecting(seen, false, None), state(false, 0, None, 0), echo),
        case(
            "watched after our un-mark, to the same count",
            &ALL,
            expecting(seen, false, None),
            state(true, 1, Some(1_500), 0),
            (played(1_500, 1_500), None, Rule::PlayedAgain),
        ),
        case(
            "begun after our un-mark",
            &AT_START,
            expecting(seen, false, None),
            state(false, 1, Some(1_500), 30),
            (None, position(30, 1_500), Rule::RewatchUnderWay),
        ),
        case(
            "our position, stamped by Plex",
            &PLEX,
            expecting(never, false, None),
            state(false, 0, Some(1_105), 30),
            echo,
        ),
        case(
            "our position, with its date",
            &AT_START,
            expecting(never, false, Some(700)),
            state(false, 0, Some(700), 30),
            echo,
        ),
        case(
            "somebody's position",
            &ALL,
            expecting(never, false, None),
            state(false, 1, Some(1_500), 30),
            (None, position(30, 1_500), Rule::PositionMoved),
        ),
    ]);
}

#[test]
fn a_clock_that_is_an_hour_off_changes_nothing() {
    let bases = [None, Some(base(state(false, 0, None, 0), 0)), Some(base(state(true, 1, Some(500), 0), 1))];
    let readings = [state(true, 2, Some(1_500), 0), state(false, 2, Some(1_500), 30), state(false, 0, None, 0)];
    for minutes in [-60, 60] {
        let offset = ClockOffset(minutes * 60_000);
        let theirs = |state: ItemState| ItemState {
            last_played_at: state.last_played_at.map(|stamp| offset.to_theirs(stamp)),
            ..state
        };
        for base in bases {
            for state in readings {
                let right = three_way(&reading(state), base.as_ref(), &context(ServerKind::Jellyfin));
                let shifted = base.map(|base| Observation { state: theirs(base.state), ..base });
                let context = Context { offset, ..context(ServerKind::Jellyfin) };
                let merged = three_way(&reading(theirs(state)), shifted.as_ref(), &context);
                assert_eq!((merged.mark, merged.position, merged.rule), (right.mark, right.position, right.rule));
            }
        }
    }
}

#[test]
fn a_rules_word_leads_back_to_it() {
    for rule in Rule::ALL {
        assert_eq!(rule.as_str().parse(), Ok(rule));
        assert_eq!(serde_json::to_value(rule).unwrap(), rule.as_str());
        assert!(rule.sentence().len() > 10);
    }
    assert!("guess".parse::<Rule>().is_err());
}
