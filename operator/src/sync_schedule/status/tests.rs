use std::sync::Arc;

use watchstate_crds::condition::find;

use super::*;
use crate::sync_schedule::fixtures::{FULL, schedule, server};

fn now() -> Timestamp {
    "2026-06-01T10:05:00Z".parse().unwrap()
}

fn plex(ready: bool) -> Arc<watchstate_crds::MediaServer> {
    let mut plex = server("plex", "");
    let mut status = watchstate_crds::MediaServerStatus::default();
    let state = if ready { State::True } else { State::False };
    condition::set(&mut status.conditions, condition::READY, state, reason::UNREACHABLE, "no answer", None, now());
    plex.status = Some(status);
    Arc::new(plex)
}

/// All is well.
fn well() -> Sight {
    Sight {
        selected: Selected { servers: vec![plex(true)], unknown: Vec::new() },
        records: Some(Records::default()),
        jobs: Vec::new(),
        stuck: Vec::new(),
        follower: None,
        refused: None,
        unsettled: None,
        requested_at: None,
        approval: None,
    }
}

fn held_run(run: i64, message: &str, titles: i64) -> Held {
    Held { run, plans: vec![run * 10], verb: Verb::Import, titles, since: now(), message: message.to_owned() }
}

/// A spec, what is wrong with all that was well; status and reason of Ready, and the condition that holds besides.
type Case = (&'static str, fn(&mut Sight), &'static str, &'static str, Option<&'static str>);

#[test]
fn ready_says_what_is_wrong_gravest_first_and_whether_a_person_must_help() {
    let cases: [Case; 13] = [
        ("{import: {}}", |_| {}, "True", reason::READY, None),
        ("{import: {}, suspend: true}", |_| {}, "True", reason::SUSPENDED, None),
        (
            "{import: {}, suspend: true}",
            |sight| sight.selected.servers = vec![plex(false)],
            "True",
            reason::SUSPENDED,
            None,
        ),
        ("{import: {}, timeZone: Europe/Atlantis}", |_| {}, "False", reason::INVALID_SPEC, Some(condition::STALLED)),
        (
            "{import: {}}",
            |sight| sight.refused = Some("no".into()),
            "False",
            reason::INVALID_SPEC,
            Some(condition::STALLED),
        ),
        ("{}", |_| {}, "False", reason::NOTHING_TO_DO, Some(condition::STALLED)),
        (
            "{import: {}}",
            |sight| sight.unsettled = Some("no answer".into()),
            "False",
            reason::PROGRESSING,
            Some(condition::RECONCILING),
        ),
        ("{import: {}}", |sight| sight.records = None, "False", reason::DATABASE_UNAVAILABLE, None),
        (
            "{import: {}}",
            |sight| sight.selected.unknown = vec!["zeus".into()],
            "False",
            reason::SERVERS_NOT_FOUND,
            None,
        ),
        ("{import: {}}", |sight| sight.selected.servers.clear(), "False", reason::NO_SERVERS, None),
        ("{import: {}}", |sight| sight.stuck = vec!["image".into()], "False", reason::PODS_NOT_STARTING, None),
        ("{import: {}}", |sight| sight.selected.servers = vec![plex(false)], "False", reason::SERVERS_NOT_READY, None),
        (
            "{push: {mode: Realtime}}",
            |sight| sight.follower = Some(false),
            "False",
            reason::PROGRESSING,
            Some(condition::RECONCILING),
        ),
    ];
    for (spec, change, status, reason, extra) in cases {
        let mut sight = well();
        change(&mut sight);
        let conditions = of(&schedule("home", spec), &sight, now()).conditions;
        let ready = find(&conditions, condition::READY).unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), (status, reason), "{spec}: {}", ready.message);
        assert_eq!(ready.observed_generation, Some(3));
        for kind in [condition::STALLED, condition::RECONCILING] {
            let expected = (extra == Some(kind)).then_some("True");
            assert_eq!(find(&conditions, kind).map(|found| found.status.as_str()), expected, "{spec}: {kind}");
        }
    }
}

#[test]
fn several_troubles_are_all_told() {
    let mut sight = well();
    sight.records = None;
    sight.selected = Selected { servers: vec![plex(false)], unknown: vec!["zeus".into()] };
    let status = of(&schedule("home", "{import: {}}"), &sight, now());
    let ready = find(&status.conditions, condition::READY).unwrap();
    assert_eq!(ready.reason, reason::DATABASE_UNAVAILABLE);
    assert!(
        ready.message.contains("zeus") && ready.message.contains("plex (Unreachable: no answer)"),
        "{}",
        ready.message
    );
}

#[test]
fn what_a_job_told_stays_while_nobody_can_look_at_jobs() {
    let mut schedule = schedule("home", "{import: {}}");
    let mut sight = well();
    sight.selected.servers = vec![plex(false)];
    sight.jobs = vec![Ended {
        name: "home-import-1".into(),
        part: Part::Import,
        started: now(),
        finished: now(),
        result: ended::Result::Failed("there is no token".into()),
    }];
    let known = of(&schedule, &sight, now());
    schedule.status = Some(known.clone());
    let stumbles = Sight { jobs: Vec::new(), unsettled: Some("no answer".into()), ..sight };
    let status = of(&schedule, &stumbles, now());
    assert_eq!(status.verbs, known.verbs);
    let ready = find(&status.conditions, condition::READY).unwrap();
    assert_eq!(ready.reason, reason::SERVERS_NOT_READY, "what passes gives no reason where another stays");
    assert_eq!(crate::sync_schedule::transitions::between(&known, &status), []);
}

#[test]
fn the_same_sight_makes_the_same_status_and_nothing_moves_with_time_alone() {
    let mut schedule = schedule("home", FULL);
    let mut sight = well();
    sight.follower = Some(true);
    let first = of(&schedule, &sight, now());
    schedule.status = Some(first.clone());
    assert_eq!(of(&schedule, &sight, now()), first);
    let later = now().checked_add(jiff::SignedDuration::from_secs(60)).unwrap();
    assert_eq!(of(&schedule, &sight, later), first);
}

#[test]
fn verbs_that_are_on_have_a_next_run_unless_nothing_runs() {
    let next = |spec: &str, change: fn(&mut Sight)| {
        let mut sight = well();
        change(&mut sight);
        let status = of(&schedule("home", spec), &sight, now());
        let verbs = status
            .verbs
            .iter()
            .map(|verb| (verb.verb.command(), verb.next_run_at.as_ref().map(|time| time.0.to_string())));
        (verbs.collect::<Vec<_>>(), status.next_run_at.map(|time| time.0.to_string()))
    };
    let at = |time: &str| Some(format!("2026-06-01T{time}:00Z"));
    let (verbs, first) = next(
        "{timeZone: Europe/Berlin, import: {schedule: 0 14 * * *, fullSchedule: 0 13 * * *}, push: {mode: Realtime}}",
        |_| {},
    );
    assert_eq!(
        verbs,
        [("import", at("11:00")), ("push", None)],
        "the full import comes first; a follower has no clock"
    );
    assert_eq!(first, at("11:00"));
    assert_eq!(next("{import: {}, suspend: true}", |_| {}).1, None);
    assert_eq!(next("{import: {}}", |sight| sight.selected.servers.clear()).1, None);
    assert_eq!(next("{import: {}, timeZone: Europe/Atlantis}", |_| {}).1, None);
}

#[test]
fn the_last_runs_are_summed_up_over_the_verbs() {
    let verb = |verb, outcome| {
        let mut status = outcome::of_verb(verb, None, None, &[], None);
        status.last_outcome = outcome;
        status.message = Some("no answer".to_owned());
        status
    };
    for (import, export, status, reason) in [
        (None, None, State::Unknown, reason::NO_RUN_YET),
        (Some(Outcome::Succeeded), None, State::True, reason::SUCCEEDED),
        (Some(Outcome::Held), Some(Outcome::Succeeded), State::True, reason::SUCCEEDED),
        (Some(Outcome::Succeeded), Some(Outcome::PartlyFailed), State::False, reason::FAILED),
        (Some(Outcome::Failed), None, State::False, reason::FAILED),
    ] {
        let found = last_run(&[verb(Verb::Import, import), verb(Verb::Export, export)]);
        assert_eq!((found.state, found.reason), (status, reason), "{import:?} {export:?}");
    }
}

#[test]
fn a_held_run_is_one_entry_and_says_how_to_let_it_through() {
    let mut sight = well();
    let held = vec![held_run(7, "ben at plex: 30 of 300 played titles", 55), held_run(9, "anna at plex: 1 of 2", 1)];
    sight.records = Some(Records { runs: BTreeMap::new(), held });
    let mut schedule = schedule("home", "{import: {}}");
    let status = of(&schedule, &sight, now());
    let runs: Vec<(&str, i64)> = status.held_runs.iter().map(|run| (run.id.as_str(), run.titles)).collect();
    assert_eq!(runs, [("9", 1), ("7", 55)]);
    let condition = find(&status.conditions, condition::HELD).unwrap();
    assert!(
        condition.message.contains("ben at plex: 30 of 300") && condition.message.contains("watchstate.dev/approve=9"),
        "{}",
        condition.message
    );

    // While the database is away, what is held stays known.
    schedule.status = Some(status.clone());
    sight.records = None;
    let away = of(&schedule, &sight, now());
    assert_eq!(away.held_runs, status.held_runs);
    assert_eq!(find(&away.conditions, condition::HELD), find(&status.conditions, condition::HELD));
    sight.records = Some(Records::default());
    assert_eq!(find(&of(&schedule, &sight, now()).conditions, condition::HELD).unwrap().reason, reason::NOTHING_HELD);
}

#[test]
fn a_verb_that_was_taken_from_the_spec_is_no_longer_listed() {
    let mut schedule = schedule("home", "{import: {}, prune: {}}");
    schedule.status = Some(of(&schedule, &well(), now()));
    schedule.spec.prune = None;
    let verbs: Vec<Verb> = of(&schedule, &well(), now()).verbs.iter().map(|verb| verb.verb).collect();
    assert_eq!(verbs, [Verb::Import]);
}
