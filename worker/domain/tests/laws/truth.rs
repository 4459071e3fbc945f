//! The laws of the agreed truth and of the history: both are joins, so neither order nor repetition matters.

use proptest::prelude::*;
use watchstate_domain::watch::{Event, History, Source, Viewing, Watch};

use crate::MINUTE;
use crate::servers::stamp;

fn event() -> impl Strategy<Value = Event> {
    let at = || (0..50_i64).prop_map(|minute| stamp(minute * MINUTE));
    prop_oneof![
        (at(), proptest::option::of(at())).prop_map(|(order, stamp)| Event::Played {
            order,
            stamp,
            source: Source::Mark
        }),
        at().prop_map(|order| Event::Unplayed { order }),
        (0..4_u64, at()).prop_map(|(position_ms, at)| Event::Position { position_ms, at }),
    ]
}

fn watch() -> impl Strategy<Value = Watch> {
    proptest::collection::vec(event(), 0..5).prop_map(|events| {
        let mut watch = Watch::default();
        for event in &events {
            watch.apply(event);
        }
        watch
    })
}

fn telling() -> impl Strategy<Value = Viewing> {
    (0..400_i64, any::<bool>(), 0..3_usize).prop_map(|(minute, playback, via)| {
        let source = if playback { Source::Playback } else { Source::Mark };
        Viewing::told(stamp(minute * MINUTE), source, ["plex", "jellyfin", "emby"][via])
    })
}

proptest! {
    #![proptest_config(super::config(256))]

    #[test]
    fn joining_truths_is_commutative_associative_and_idempotent(a in watch(), b in watch(), c in watch()) {
        prop_assert_eq!(a.join(b), b.join(a));
        prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
        prop_assert_eq!(a.join(a), a);
        prop_assert_eq!(a.join(Watch::default()), a);
    }

    #[test]
    fn events_make_one_truth_in_any_order(events in proptest::collection::vec(event(), 0..8).prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))) {
        let apply = |events: &[Event]| {
            let mut watch = Watch::default();
            for event in events {
                watch.apply(event);
            }
            watch
        };
        prop_assert_eq!(apply(&events.0), apply(&events.1));
    }

    #[test]
    fn tellings_make_one_history_in_any_order(
        tellings in proptest::collection::vec(telling(), 0..10).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        runtime in proptest::option::of(1..200_i64),
    ) {
        let runtime = runtime.map(|minutes| (minutes * MINUTE).unsigned_abs());
        let tell = |tellings: &[Viewing]| {
            let mut history = History::default();
            for viewing in tellings {
                history.tell(viewing.clone(), runtime);
            }
            history
        };
        let history = tell(&tellings.0);
        prop_assert_eq!(&history, &tell(&tellings.1));
        prop_assert_eq!(&history, &History::new(tellings.0.clone(), runtime), "stored and read again, or told one by one");
        prop_assert_eq!(&history, &History::new(history.viewings().to_vec(), runtime));
    }
}
