//! The conditions of each outcome, and what is told of the ways between them.

use jiff::Timestamp;
use watchstate_crds::condition::is_true;
use watchstate_crds::media_server::{LibraryStatus, ServerIdentity, UserStatus};
use watchstate_domain::clock::ClockOffset;

use super::*;
use crate::media_server::testing;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn plex() -> MediaServer {
    testing::server("plex", "type: Plex, url: 'http://plex:32400', tokenSecretRef: {name: plex}")
}

fn well() -> Findings {
    let library = |id: &str, included| LibraryStatus {
        id: id.to_owned(),
        title: format!("Library {id}"),
        library_type: Some("movies".to_owned()),
        supported: true,
        included,
    };
    Findings {
        reachable: Verdict::holds(reason::ANSWERED, "it answers"),
        authenticated: Verdict::holds(reason::ACCEPTED, "it takes the token"),
        users_resolved: Verdict::holds(reason::RESOLVED, "1 account found"),
        identity: Some(ServerIdentity {
            id: "machine".to_owned(),
            name: Some("Home".to_owned()),
            version: Some("1.41.6.9606".to_owned()),
        }),
        clock_offset: Some(ClockOffset(2_000)),
        users: vec![UserStatus {
            person: "anna".to_owned(),
            id: Some("1".to_owned()),
            name: Some("Anna".to_owned()),
            problem: None,
        }],
        accounts: Vec::new(),
        libraries: vec![library("1", true), library("2", false)],
    }
}

fn outcome(findings: &Findings) -> Outcome<'_> {
    Outcome {
        findings,
        webhook: Ok(Some(testing::webhook_token("t").status)),
        webhook_registered: Verdict::fails(reason::NOT_REQUESTED, "enter it by hand", Kind::Stalled),
        registered: Verdict::holds(reason::REGISTERED, "the registry says so"),
        requested_at: None,
    }
}

/// `Ready=True/Ready`, in the order of the list.
fn conditions(status: &MediaServerStatus) -> Vec<String> {
    let words = status.conditions.iter().map(|one| format!("{}={}/{}", one.type_, one.status, one.reason));
    words.collect()
}

#[test]
fn a_server_where_all_is_well_is_ready_whether_or_not_it_was_told_of_the_webhook() {
    let findings = well();
    let status = of(&plex(), &outcome(&findings), at(10));
    assert_eq!(
        conditions(&status),
        [
            "Reachable=True/Answered",
            "Authenticated=True/Accepted",
            "UsersResolved=True/Resolved",
            "Registered=True/Registered",
            "WebhookRegistered=False/NotRequested",
            "Ready=True/Ready",
        ]
    );
    assert_eq!(find(&status.conditions, READY).unwrap().message, "Plex 1.41.6.9606: 1 account, 1 of 2 libraries");
    assert_eq!((status.observed_generation, status.clock_offset_seconds), (Some(1), Some(2)));
    assert_eq!(status.webhook.unwrap().token_secret_name, "plex-webhook");
}

#[test]
fn the_first_thing_that_is_wrong_is_why_it_is_not_ready_and_what_only_people_can_help_is_stalled() {
    let fails = |reason, helps| Verdict::fails(reason, "why", helps);
    let mut cases = Vec::new();
    for (reason, helps, stalled) in [
        (reason::UNREACHABLE, Kind::Transient, false),
        (reason::SERVER_CHANGED, Kind::Stalled, true),
        (reason::WRONG_TYPE, Kind::Stalled, true),
    ] {
        cases.push((Findings { reachable: fails(reason, helps), ..well() }, None, reason, stalled));
    }
    let refused = fails(reason::CREDENTIALS_REFUSED, Kind::Stalled);
    cases.push((Findings { authenticated: refused, ..well() }, None, reason::CREDENTIALS_REFUSED, true));
    let nobody = fails(reason::USER_NOT_FOUND, Kind::Stalled);
    cases.push((Findings { users_resolved: nobody, ..well() }, None, reason::USER_NOT_FOUND, true));
    cases.push((well(), Some(fails(reason::DATABASE_UNAVAILABLE, Kind::Waiting)), reason::DATABASE_UNAVAILABLE, false));
    for (findings, registered, expected, stalled) in cases {
        let mut outcome = outcome(&findings);
        outcome.registered = registered.unwrap_or(outcome.registered);
        let status = of(&plex(), &outcome, at(10));
        let ready = find(&status.conditions, READY).unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", expected));
        assert_eq!(is_true(&status.conditions, STALLED), stalled, "{expected}");
        assert!(find(&status.conditions, RECONCILING).is_none());
    }
}

#[test]
fn a_webhook_without_a_token_keeps_it_from_being_ready() {
    let findings = well();
    let lack = Verdict::fails(reason::SECRET_NOT_OURS, "somebody else's", Kind::Stalled);
    let status = of(&plex(), &Outcome { webhook: Err(lack), ..outcome(&findings) }, at(10));
    assert_eq!(find(&status.conditions, READY).unwrap().reason, reason::SECRET_NOT_OURS);
    let told = transitions(None, &status);
    assert_eq!(told, [(Reason::NotReady, "somebody else's".to_owned())]);
}

#[test]
fn the_same_findings_make_the_same_status_and_transition_times_move_with_the_status_alone() {
    let mut server = plex();
    let findings = well();
    let first = of(&server, &outcome(&findings), at(10));
    server.status = Some(first.clone());
    assert_eq!(of(&server, &outcome(&findings), at(20)), first, "nothing to write");
    let wavering = Findings { clock_offset: Some(ClockOffset(6_500)), ..well() };
    assert_eq!(of(&server, &outcome(&wavering), at(20)), first, "a clock wavers");

    let away = Findings::nothing(reason::UNREACHABLE, "away");
    let away = Findings { reachable: Verdict::fails(reason::UNREACHABLE, "away", Kind::Transient), ..away };
    let second = of(&server, &outcome(&away), at(30));
    assert_eq!(find(&second.conditions, READY).unwrap().last_transition_time.0, at(30));
    assert_eq!((&second.server, &second.users, &second.libraries), (&first.server, &first.users, &first.libraries));
    assert_eq!(find(&second.conditions, REGISTERED).unwrap().last_transition_time.0, at(10));
}

#[test]
fn each_way_between_two_statuses_is_told_once() {
    let words = |before: Option<&MediaServerStatus>, after: &MediaServerStatus| -> Vec<&'static str> {
        transitions(before, after).into_iter().map(|(reason, _)| reason.as_str()).collect()
    };
    let mut server = plex();
    let first = pending(&server, at(1));
    assert_eq!(words(None, &first), Vec::<&str>::new());
    server.status = Some(first.clone());
    let findings = well();
    let ready = of(&server, &outcome(&findings), at(2));
    assert_eq!(words(Some(&first), &ready), ["Ready"]);
    assert_eq!(words(Some(&ready), &ready), Vec::<&str>::new());

    server.status = Some(ready.clone());
    let away = Findings::nothing(reason::UNREACHABLE, "away");
    let away = Findings { reachable: Verdict::fails(reason::UNREACHABLE, "away", Kind::Transient), ..away };
    let unready = of(&server, &outcome(&away), at(3));
    assert_eq!(words(Some(&ready), &unready), ["NotReachable"]);
    server.status = Some(unready.clone());
    let again = of(&server, &outcome(&findings), at(4));
    assert_eq!(words(Some(&unready), &again), ["Reachable", "Ready"]);

    server.status = Some(again.clone());
    let told = Verdict::holds(reason::REGISTERED, "told");
    let registered = of(&server, &Outcome { webhook_registered: told, ..outcome(&findings) }, at(5));
    assert_eq!(words(Some(&again), &registered), ["WebhookRegistered"]);
}

#[test]
fn a_suspended_server_keeps_its_status_and_says_that_it_is_left_alone() {
    let mut server = plex();
    let findings = well();
    let ready = of(&server, &outcome(&findings), at(10));
    server.status = Some(ready.clone());
    server.metadata.generation = Some(2);
    let left = suspended(&server, &Verdict::holds(reason::REGISTERED, "so"), at(20));
    let condition = find(&left.conditions, READY).unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", reason::SUSPENDED));
    assert_eq!(condition.last_transition_time.0, at(10));
    assert_eq!((left.observed_generation, &left.libraries), (Some(2), &ready.libraries));
}
