//! What several servers' runs come to together.

use serde_json::json;
use uuid::Uuid;
use watchstate_domain::clock::ClockOffset;
use watchstate_domain::item::ServerKind;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn run(id: i64, server: &str, outcome: &str) -> Run {
    Run {
        id,
        job: Uuid::nil(),
        verb: "import".to_owned(),
        server: Some(server.to_owned()),
        schedule: Some("home".to_owned()),
        dry_run: false,
        started_at: at(id),
        finished_at: Some(at(100 + id)),
        outcome: Some(outcome.to_owned()),
        counts: json!({ "read": 10, "changed": 2, "held": 0 }),
        error: (outcome == "try_again").then(|| "no answer".to_owned()),
    }
}

#[test]
fn outcomes_of_several_servers_are_one() {
    let cases: [(&[&str], Outcome); 9] = [
        (&["done"], Outcome::Succeeded),
        (&["done", "busy"], Outcome::Succeeded),
        (&["busy"], Outcome::Succeeded),
        (&["done", "held"], Outcome::Held),
        (&["held"], Outcome::Held),
        (&["try_again", "done"], Outcome::PartlyFailed),
        (&["configuration", "held"], Outcome::PartlyFailed),
        (&["try_again", "configuration"], Outcome::Failed),
        (&["interrupted"], Outcome::Failed),
    ];
    for (words, expected) in cases {
        assert_eq!(together(words.iter().map(|word| of_word(Some(word)))), expected, "{words:?}");
    }
}

#[test]
fn the_last_runs_of_a_verb_are_told_as_one_with_their_sums() {
    let runs = [run(1, "plex", "done"), run(2, "emby", "try_again")];
    let found = summary(&runs, &[("import".to_owned(), at(101)), ("export".to_owned(), at(7))]);
    let expected = Last {
        id: 2,
        outcome: Outcome::PartlyFailed,
        started_at: at(1),
        finished_at: at(102),
        succeeded_at: Some(at(101)),
        counts: RunCounts { read: 20, changed: 4, written: 0, failed: 0, held: 0 },
        message: Some("emby: no answer".to_owned()),
    };
    assert_eq!(found, BTreeMap::from([(Verb::Import, expected)]));
}

#[test]
fn a_process_that_goes_on_at_one_server_has_not_ended() {
    let going_on = Run { finished_at: None, outcome: None, ..run(2, "emby", "done") };
    assert_eq!(summary(&[run(1, "plex", "done"), going_on], &[]), BTreeMap::new());
}

fn plan(id: i64, run: i64, schedule: Option<&str>, server: &str) -> Plan {
    Plan {
        id,
        run,
        server: server.to_owned(),
        person: "anna".to_owned(),
        state: "held".to_owned(),
        unplays: 30,
        played: 100,
        created_at: at(id),
        decided_at: None,
        account_id: id,
        verb: if schedule.is_some() { "import" } else { "webhook" }.to_owned(),
        schedule: schedule.map(str::to_owned),
    }
}

#[test]
fn plans_of_one_run_are_approved_together_and_those_of_events_under_the_first_schedule_of_their_server() {
    let policy = |servers: &[&str]| SchedulePolicy {
        servers: servers.iter().map(|name| (*name).to_owned()).collect(),
        ..SchedulePolicy::default()
    };
    let schedules = [("a".to_owned(), policy(&["emby"])), ("b".to_owned(), policy(&[]))];
    let plans = [plan(1, 7, Some("b"), "emby"), plan(2, 7, Some("b"), "plex"), plan(3, 8, None, "emby")];
    let under = |schedule: &str| {
        let own = grouped(plans.iter().filter(|plan| is_under(plan, schedule, &schedules)));
        own.iter().map(|held| (held.run, held.plans.clone(), held.titles)).collect::<Vec<_>>()
    };
    assert_eq!(under("a"), [(8, vec![3], 30)]);
    assert_eq!(under("b"), [(7, vec![1, 2], 60)]);
}

#[test]
fn each_run_is_counted_once_however_often_it_is_read() {
    let mut ended = Ended { since: at(0), counted: BTreeMap::new() };
    let ids = |runs: Vec<Run>| runs.iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(ids(ended.new_ones(vec![run(1, "a", "done"), run(2, "a", "done")])), [1, 2]);
    assert_eq!(ended.since, at(42), "a minute before the last");
    assert_eq!(ids(ended.new_ones(vec![run(1, "a", "done"), run(2, "a", "done"), run(3, "a", "done")])), [3]);
    assert_eq!(ended.since, at(43));
    assert!(ended.new_ones(vec![run(3, "a", "done")]).is_empty(), "nothing new");
    let batch: Vec<Run> = (4..4 + BATCH).map(|id| Run { finished_at: Some(at(200)), ..run(id, "a", "done") }).collect();
    assert_eq!(ended.new_ones(batch.clone()).len(), batch.len());
    assert_eq!(ended.since, at(200), "a full batch isn't read for ever");
    assert!(ended.new_ones(batch).is_empty());
}

#[tokio::test]
async fn what_imports_counted_and_how_clocks_go_is_exported() {
    let claim = watchstate_tests::postgres::database().await.unwrap();
    let store = Store::connect(&claim.url, 1).await.unwrap();
    store.migrate().await.unwrap();
    let mut connection = store.acquire().await.unwrap();
    let wanted = registry::WantedServer {
        name: "emby".to_owned(),
        kind: ServerKind::Emby,
        url: "http://emby".to_owned(),
        policy: registry::ServerPolicy::default(),
        users: vec![("anna".to_owned(), "anna".to_owned())],
        webhook_token_sha256: None,
    };
    let server_id = registry::put_server(&mut connection, &wanted, at(1)).await.unwrap();
    registry::contacted(&mut connection, server_id, "id", "Emby", "4.9", ClockOffset(90_000), at(2)).await.unwrap();
    for (verb, dry_run) in [("import", false), ("import", true), ("export", false)] {
        let started = runs::Started { job: Uuid::nil(), verb, server_id, schedule: None, dry_run };
        let run = runs::start(&mut connection, &started, at(3)).await.unwrap();
        let counts = json!({ "read": 10, "conflicts": 2, "playedAgain": 3, "held": 4 });
        runs::finish(&mut connection, run, "done", &counts, None, at(4)).await.unwrap();
    }
    let metrics = Metrics::new().unwrap();
    let mut ended = Ended { since: at(0), counted: BTreeMap::new() };
    for _ in 0..2 {
        count(&mut connection, &mut ended, &metrics).await.unwrap();
    }
    let emby = metrics::Server { server: ServerName::configured("emby") };
    let again = metrics::Happened { server: emby.server.clone(), event: metrics::Event::PlayedAgain };
    assert_eq!(
        [
            metrics.items_read_total.get(&emby),
            metrics.items_conflicting_total.get(&emby),
            metrics.events_total.get(&again),
            metrics.plans_held_total.get(&emby),
        ],
        [10, 2, 3, 1],
        "the one import that wasn't a dry run, once"
    );
    assert!((metrics.server_clock_offset_seconds.get(&emby) - 90.0).abs() < f64::EPSILON);
}
