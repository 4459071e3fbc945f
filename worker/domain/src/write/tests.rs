//! What a server is told, as a table: what it holds, what is agreed, and the write.

use super::*;
use crate::item::ItemState;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + minute * 60).unwrap()
}

const MIN: u64 = 60_000;
const RUNTIME: Option<u64> = Some(100 * MIN);

/// What the server holds, read at minute 2,000.
fn there(played: bool, plays: u32, date: Option<i64>, position_minutes: u64) -> Observation {
    Observation {
        state: ItemState { played, plays, last_played_at: date.map(at), position_ms: position_minutes * MIN },
        finished_plays: plays,
        added_at: None,
        true_at: at(2_000),
        expected: None,
        finish_told: None,
    }
}

fn agreed(played: Option<bool>, changed: Option<i64>) -> Agreed {
    Agreed { played, changed_at: changed.map(at), played_at: changed.map(at), position: None }
}

fn with_position(agreed: Agreed, minutes: u64, when: i64) -> Agreed {
    Agreed { position: Some(Position { at: at(when), position_ms: minutes * MIN }), ..agreed }
}

fn wanted(there: &Observation, agreed: &Agreed) -> Option<Wanted> {
    difference(there, agreed, RUNTIME, ClockOffset(0), ProgressPolicy::default(), at(2_000))
}

const PLAYED: Option<Wanted> = Some(Wanted::Played { at: None });

#[test]
fn a_mark_is_written_where_it_is_missing_and_nobody_is_ahead() {
    let yes = agreed(Some(true), Some(1_000));
    let cases = [
        ("nothing there", there(false, 0, None, 0), yes, PLAYED),
        ("an older position", there(false, 0, Some(900), 30), yes, PLAYED),
        ("a position of unknown date", there(false, 0, None, 30), yes, PLAYED),
        (
            "a position of the viewing that the play ended, stamped with its start",
            there(false, 1, Some(1_050), 30),
            yes,
            PLAYED,
        ),
        ("a position long after the play", there(false, 1, Some(1_200), 30), yes, None),
        (
            "a position after the play that counts",
            there(false, 1, Some(1_050), 30),
            with_position(yes, 30, 1_050),
            None,
        ),
        ("a re-watch that has just begun", there(false, 2, Some(1_950), 0), yes, None),
        ("a re-watch that was given up", there(false, 2, Some(1_850), 0), yes, PLAYED),
        ("played", there(true, 1, Some(900), 0), yes, None),
        ("nobody ever said", there(true, 1, Some(900), 0), agreed(None, None), None),
        ("nobody ever said, nor is it", there(false, 0, None, 0), agreed(None, None), None),
    ];
    for (what, there, agreed, expected) in cases {
        let expected = expected.map(|_| Wanted::Played { at: agreed.played_at });
        assert_eq!(wanted(&there, &agreed), expected, "{what}");
    }
}

#[test]
fn a_re_watch_that_was_given_up_at_once_gets_its_mark_back_though_nobody_reads_it_again() {
    let given_up = there(false, 2, Some(1_950), 0);
    let at_minute = |now| {
        let yes = agreed(Some(true), Some(1_000));
        difference(&given_up, &yes, RUNTIME, ClockOffset(0), ProgressPolicy::default(), at(now))
    };
    assert_eq!(at_minute(2_049), None);
    assert_eq!(at_minute(2_050), Some(Wanted::Played { at: Some(at(1_000)) }));
}

#[test]
fn an_unmark_is_written_where_it_is_played() {
    let no = agreed(Some(false), Some(1_000));
    assert_eq!(wanted(&there(true, 1, Some(900), 0), &no), Some(Wanted::Unplayed));
    assert_eq!(wanted(&there(true, 2, Some(900), 30), &no), Some(Wanted::Unplayed));
    assert_eq!(wanted(&there(true, 2, Some(1_500), 0), &no), Some(Wanted::Unplayed));
    assert_eq!(wanted(&there(true, 2, Some(1_950), 30), &no), None, "a re-watch is under way");
    assert_eq!(wanted(&there(true, 2, Some(1_850), 30), &no), Some(Wanted::Unplayed), "one that was left");
    assert_eq!(wanted(&there(false, 0, None, 0), &no), None);
}

#[test]
fn left_over_positions_of_played_items_are_taken_away_and_newer_ones_stay() {
    let yes = agreed(Some(true), Some(1_000));
    let cases = [(Some(900), Some(Wanted::NoPosition)), (Some(1_000), None), (Some(1_500), None), (None, None)];
    for (date, expected) in cases {
        assert_eq!(wanted(&there(true, 1, date, 30), &yes), expected, "{date:?}");
    }
    assert_eq!(wanted(&there(true, 1, Some(900), 0), &yes), None);
}

#[test]
fn a_position_travels_forward_in_time_and_never_into_the_credits() {
    let never = agreed(None, None);
    let position = |minutes| Some(Wanted::Position { position_ms: minutes * MIN, at: at(1_000) });
    let cases = [
        ("nothing there", there(false, 0, None, 0), 30, position(30)),
        ("an older one", there(false, 1, Some(900), 50), 30, position(30)),
        ("a newer one", there(false, 1, Some(1_100), 10), 30, None),
        ("the same", there(false, 1, Some(900), 30), 30, None),
        ("played there", there(true, 1, Some(900), 0), 30, None),
        ("near the end", there(false, 0, None, 0), 89, None),
        ("just before", there(false, 0, None, 0), 88, position(88)),
        ("less than the minimum", there(false, 0, None, 0), 0, None),
    ];
    for (what, there, minutes, expected) in cases {
        assert_eq!(wanted(&there, &with_position(never, minutes, 1_000)), expected, "{what}");
    }
    let anew = with_position(agreed(Some(false), Some(900)), 30, 1_000);
    assert_eq!(wanted(&there(false, 0, None, 0), &anew), position(30), "watched anew after an un-mark");
    let off = ProgressPolicy { enabled: false, ..ProgressPolicy::default() };
    let some = with_position(never, 30, 1_000);
    assert_eq!(difference(&there(false, 0, None, 0), &some, RUNTIME, ClockOffset(0), off, at(2_000)), None);
    let huge = Agreed { position: Some(Position { at: at(1_000), position_ms: u64::MAX }), ..never };
    assert_eq!(wanted(&there(false, 0, None, 0), &huge), None, "a position beyond the end is near it too");
}

#[test]
fn a_servers_stamp_is_read_through_its_clock() {
    let hour_ahead = ClockOffset(3_600_000);
    let anew = with_position(agreed(None, None), 30, 1_000);
    let newer_by_its_clock_only = there(false, 1, Some(1_030), 10);
    let told = difference(&newer_by_its_clock_only, &anew, RUNTIME, hour_ahead, ProgressPolicy::default(), at(2_000));
    assert_eq!(told, Some(Wanted::Position { position_ms: 30 * MIN, at: at(1_000) }));
    assert_eq!(wanted(&newer_by_its_clock_only, &anew), None);
}

#[test]
fn a_file_of_several_episodes_is_played_when_all_of_them_are() {
    let one = |played, changed| agreed(played, Some(changed));
    let (yes, no, unknown) = (one(Some(true), 100), one(Some(false), 200), agreed(None, None));
    let cases = [
        (vec![], None),
        (vec![yes, yes], Some(true)),
        (vec![yes, no], None),
        (vec![no, no], Some(false)),
        (vec![yes, unknown], None),
        (vec![no, unknown], None),
    ];
    for (titles, expected) in cases {
        assert_eq!(Agreed::of_file(&titles).played, expected, "{titles:?}");
    }
    let file = Agreed::of_file(&[with_position(yes, 30, 300), no]);
    assert_eq!((file.changed_at, file.played_at, file.position), (Some(at(200)), Some(at(200)), None));
    let single = with_position(yes, 30, 300);
    assert_eq!(Agreed::of_file(&[single]), single);
}
