//! Single passes, each against an API server in memory and a real database.

mod cluster;

use jiff::SignedDuration;
use kube::runtime::watcher::Event as Watched;
use serde_json::{Value, json};
use url::Url;
use watchstate_crds::condition::{find, reason};
use watchstate_crds::{SyncScheduleStatus, annotation};
use watchstate_runtime::clock::{Clock, ClockHand};
use watchstate_runtime::metrics::Metrics;
use watchstate_store::Store as Rows;

use self::cluster::{Cluster, NAMESPACE};
use super::fixtures::{FULL, defaults, schedule, server};
use super::*;
use crate::context::Jitter;
use crate::database::Database;
use crate::events::Events;

const SCHEDULES: &str = "watchstate.dev/v1alpha1/syncschedules";
const CRONJOBS: &str = "batch/v1/cronjobs";
const JOBS: &str = "batch/v1/jobs";
const DEPLOYMENTS: &str = "apps/v1/deployments";
const PODS: &str = "v1/pods";

/// A cluster with a schedule, and an operator that looks at it when told to.
struct Stage {
    cluster: Cluster,
    shared: Arc<Shared>,
    hand: ClockHand,
}

impl Stage {
    fn new(spec: &str, servers: Vec<MediaServer>, database: Database) -> Self {
        let cluster = Cluster::default();
        cluster.put(SCHEDULES, &schedule("home", spec));
        let (clock, hand) = Clock::manual("2026-06-01T10:05:00Z".parse().unwrap());
        let client = cluster.client();
        let context = Context {
            client: client.clone(),
            namespace: NAMESPACE.to_owned(),
            database,
            clock,
            jitter: Jitter::from_fn(|| 0.5),
            worker: defaults(),
            webhook_url: None,
            plex_tv: Url::parse("http://plex.invalid").unwrap(),
            metrics: Arc::new(Metrics::new().unwrap()),
            events: Events::new(client, "operator-0"),
        };
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&Watched::Init);
        for server in servers {
            writer.apply_watcher_event(&Watched::InitApply(server));
        }
        writer.apply_watcher_event(&Watched::InitDone);
        let shared = Shared {
            context: Arc::new(context),
            servers: store,
            servers_listed: watch::channel(true).1,
            children: crate::watched::Watched::new(children::KINDS.len()),
            memory: Memory::default(),
            current: Current::default(),
        };
        Self { cluster, shared: Arc::new(shared), hand }
    }

    fn away(spec: &str) -> Self {
        Self::new(spec, vec![server("plex", ""), server("emby", "")], Database::fixed(None))
    }

    async fn reconcile(&self) -> Result<Action, Error> {
        let object = serde_json::from_value(self.cluster.get(SCHEDULES, "home").unwrap()).unwrap();
        reconcile(Arc::new(object), self.shared.clone()).await
    }

    /// Looks, and answers what was written.
    async fn look(&self) -> Vec<String> {
        self.cluster.asked();
        self.reconcile().await.unwrap();
        self.cluster.written()
    }

    /// Looks, and answers all that was asked.
    async fn ask(&self) -> Vec<String> {
        self.cluster.asked();
        self.reconcile().await.unwrap();
        let namespace = format!("/namespaces/{NAMESPACE}");
        self.cluster.asked().into_iter().map(|line| line.replace(&namespace, "")).collect()
    }

    /// Lets the watches show the children as they are.
    fn show(&self) {
        for (kind, path) in [(children::CRONJOB, CRONJOBS), (children::DEPLOYMENT, DEPLOYMENTS), (children::JOB, JOBS)]
        {
            let tell = |event: Watched<PartialObjectMeta<Pod>>| {
                self.shared.children.notice(kind, &event, |child| child.labels().get(labels::SCHEDULE).cloned());
            };
            tell(Watched::Init);
            for name in self.cluster.names(path) {
                tell(Watched::InitApply(serde_json::from_value(self.cluster.get(path, &name).unwrap()).unwrap()));
            }
            tell(Watched::InitDone);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut object = self.cluster.get(SCHEDULES, "home").unwrap();
        change(&mut object);
        self.cluster.put(SCHEDULES, &object);
    }

    fn annotate(&self, annotation: &str, value: &str) {
        self.change(|object| object["metadata"]["annotations"][annotation] = json!(value));
    }

    fn status(&self) -> SyncScheduleStatus {
        serde_json::from_value(self.cluster.get(SCHEDULES, "home").unwrap()["status"].clone()).unwrap()
    }

    fn condition(&self, kind: &str) -> Option<(String, String, String)> {
        let status = self.status();
        find(&status.conditions, kind).map(|found| (found.status.clone(), found.reason.clone(), found.message.clone()))
    }

    fn told(&self) -> Vec<String> {
        self.cluster.events().into_iter().map(|(reason, _)| reason).collect()
    }
}

/// A database of its own, with the schema.
async fn database() -> (watchstate_tests::postgres::Database, Rows, Database) {
    let claim = watchstate_tests::postgres::database().await.unwrap();
    let rows = Rows::connect(&claim.url, 3).await.unwrap();
    rows.migrate().await.unwrap();
    let database = Database::fixed(Some(rows.clone()));
    (claim, rows, database)
}

fn both() -> Vec<MediaServer> {
    vec![server("plex", ""), server("emby", "")]
}

#[tokio::test]
async fn children_are_made_once_and_a_second_look_writes_nothing() {
    let (_claim, rows, database) = database().await;
    let stage = Stage::new(FULL, both(), database);
    stage.look().await;
    assert_eq!(stage.cluster.names(CRONJOBS), ["home-backup", "home-export", "home-full", "home-import", "home-prune"]);
    assert_eq!(stage.cluster.names(DEPLOYMENTS), ["home-follow"]);
    assert_eq!(stage.condition("Ready").unwrap().1, reason::PROGRESSING, "the follower isn't up");
    assert_eq!(stage.condition("Reconciling").unwrap().0, "True");
    let registered = watchstate_store::registry::schedules(&mut rows.acquire().await.unwrap()).await.unwrap();
    assert_eq!(registered[0].1.servers, ["emby", "plex"]);

    let mut follower = stage.cluster.get(DEPLOYMENTS, "home-follow").unwrap();
    follower["status"] = json!({ "availableReplicas": 1 });
    stage.cluster.put(DEPLOYMENTS, &follower);
    assert_eq!(stage.look().await, ["PATCH /apis/watchstate.dev/v1alpha1/syncschedules/home/status"]);
    assert_eq!(stage.condition("Ready").unwrap().0, "True");
    assert_eq!(stage.condition("Reconciling"), None);
    assert_eq!(stage.told(), ["ScheduleReady"]);
    assert!(stage.look().await.is_empty());
    assert!(stage.told().is_empty());
    stage.hand.advance(SignedDuration::from_secs(30));
    assert!(stage.look().await.is_empty(), "time alone changes nothing before the next run");
}

#[tokio::test]
async fn children_that_are_as_they_were_left_are_not_read_again() {
    let stage = Stage::away("{import: {}}");
    stage.show();
    let status = "PATCH /apis/watchstate.dev/v1alpha1/syncschedules/home/status";
    let (list, write) = ("GET /apis/batch/v1/cronjobs", "PATCH /apis/batch/v1/cronjobs/home-import");
    let look = "GET /apis/batch/v1/cronjobs/home-import";
    assert_eq!(stage.ask().await, [look, write, status], "there are none of ours for sure, but the name may be taken");
    assert_eq!(stage.ask().await, [list], "what was made a moment ago isn't shown yet");
    stage.show();
    assert!(stage.ask().await.is_empty());

    let mut cronjob = stage.cluster.get(CRONJOBS, "home-import").unwrap();
    cronjob["spec"]["suspend"] = json!(true);
    cronjob["metadata"]["resourceVersion"] = json!("by-hand");
    stage.cluster.put(CRONJOBS, &cronjob);
    stage.show();
    assert_eq!(stage.ask().await, [list, write]);
    stage.show();
    assert!(stage.ask().await.is_empty());
    stage.change(|object| object["spec"]["import"] = json!({ "schedule": "5 * * * *" }));
    assert!(stage.ask().await.contains(&write.to_owned()), "something else is wanted");
    stage.show();
    stage.annotate(annotation::REQUESTED_AT, "now");
    assert_eq!(stage.ask().await[1], "POST /apis/batch/v1/jobs");
    stage.show();
    assert!(stage.ask().await.len() > 1, "a Job that is under way is looked at each time");
}

#[tokio::test]
async fn no_secret_is_ever_read() {
    let stage = Stage::away(FULL);
    stage.cluster.asked();
    stage.reconcile().await.unwrap();
    let asked = stage.cluster.asked();
    assert!(!asked.is_empty() && asked.iter().all(|line| !line.contains("/secrets")), "{asked:?}");
}

#[tokio::test]
async fn what_is_no_longer_wanted_goes_and_what_belongs_to_another_stays() {
    let stage = Stage::away(FULL);
    stage.look().await;
    let mut theirs = stage.cluster.get(CRONJOBS, "home-import").unwrap();
    theirs["metadata"]["name"] = json!("theirs");
    theirs["metadata"]["ownerReferences"] = json!([]);
    stage.cluster.put(CRONJOBS, &theirs);
    stage.change(|object| object["spec"] = json!({ "import": {}, "push": { "mode": "Scheduled" } }));
    stage.look().await;
    assert_eq!(stage.cluster.names(CRONJOBS), ["home-import", "home-push", "theirs"]);
    assert!(stage.cluster.names(DEPLOYMENTS).is_empty());
}

#[tokio::test]
async fn a_change_by_hand_is_taken_back() {
    let stage = Stage::away("{import: {}}");
    stage.look().await;
    let mut cronjob = stage.cluster.get(CRONJOBS, "home-import").unwrap();
    cronjob["spec"]["suspend"] = json!(true);
    stage.cluster.put(CRONJOBS, &cronjob);
    assert_eq!(stage.look().await, ["PATCH /apis/batch/v1/cronjobs/home-import"]);
    assert_eq!(stage.cluster.get(CRONJOBS, "home-import").unwrap()["spec"]["suspend"], json!(false));
}

#[tokio::test]
async fn a_request_makes_one_job_a_value_and_waits_while_the_schedule_is_suspended() {
    let stage = Stage::away("{import: {}, export: {}, suspend: true}");
    stage.annotate(annotation::REQUESTED_AT, "one");
    stage.look().await;
    assert!(stage.cluster.names(JOBS).is_empty());
    assert_eq!(stage.status().last_handled_requested_at, None);

    stage.change(|object| object["spec"]["suspend"] = json!(false));
    stage.cluster.events();
    stage.look().await;
    assert_eq!(stage.cluster.names(JOBS).len(), 1);
    assert_eq!(stage.status().last_handled_requested_at.as_deref(), Some("one"));
    assert!(stage.told().contains(&"RunRequested".to_owned()));
    assert!(stage.look().await.is_empty());

    // The status was lost before it was written: the same Job is found, and told of no more.
    stage.change(|object| object["status"]["lastHandledRequestedAt"] = json!(null));
    stage.look().await;
    assert_eq!((stage.cluster.names(JOBS).len(), stage.told()), (1, vec![]));
    stage.annotate(annotation::REQUESTED_AT, "two");
    stage.look().await;
    assert_eq!((stage.cluster.names(JOBS).len(), stage.told()), (2, vec!["RunRequested".to_owned()]));
}

#[tokio::test]
async fn a_request_for_nothing_is_refused_once() {
    let stage = Stage::away("{prune: {}}");
    stage.annotate(annotation::REQUESTED_AT, "one");
    stage.look().await;
    assert!(stage.told().contains(&"RequestRefused".to_owned()));
    stage.look().await;
    assert!(stage.told().is_empty() && stage.cluster.names(JOBS).is_empty());
}

#[tokio::test]
async fn while_the_database_is_away_the_cluster_is_settled_and_the_status_says_so() {
    let stage = Stage::away("{import: {}}");
    stage.annotate(annotation::APPROVE, "7");
    stage.look().await;
    assert_eq!(stage.cluster.names(CRONJOBS), ["home-import"]);
    let (status, reason, message) = stage.condition("Ready").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", reason::DATABASE_UNAVAILABLE), "{message}");
    assert_eq!(stage.condition("Held").unwrap().0, "Unknown");
    assert_eq!(stage.status().last_handled_approval, None, "nobody knows what is held");
}

#[tokio::test]
async fn what_the_api_server_refuses_stops_nothing_else_and_is_told() {
    let (_claim, _rows, database) = database().await;
    let stage = Stage::new("{import: {}, export: {}}", both(), database);
    for (code, why) in [(422, "spec.schedule: 61 is above 59"), (403, "exceeded quota: few"), (400, "denied by policy")]
    {
        stage.cluster.refuse("cronjobs/home-import", code, why);
        stage.look().await;
        assert_eq!(stage.cluster.names(CRONJOBS), ["home-export"]);
        let (_, reason, message) = stage.condition("Ready").unwrap();
        assert_eq!(reason, reason::INVALID_SPEC);
        assert_eq!(message, format!("the API server refuses what the spec asks for: {why}"));
        assert_eq!(stage.condition("Stalled").unwrap().0, "True");
    }
}

#[tokio::test]
async fn what_fails_otherwise_is_told_until_the_schedule_is_ready_and_then_only_tried_again() {
    let (_claim, _rows, database) = database().await;
    let stage = Stage::new("{import: {}}", both(), database);
    let fails = |code| stage.cluster.refuse("cronjobs/home-import", code, "failed calling webhook");
    fails(500);
    assert!(stage.reconcile().await.is_err());
    let (status, reason, message) = stage.condition("Ready").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", reason::PROGRESSING));
    assert_eq!(message, "applying a CronJob failed: failed calling webhook; it is tried again");
    assert_eq!(stage.condition("Reconciling").unwrap().0, "True");
    assert!(stage.told().is_empty());

    stage.cluster.refuse("nothing", 500, "");
    stage.look().await;
    assert_eq!(stage.condition("Ready").unwrap().0, "True");
    stage.cluster.remove(CRONJOBS, "home-import");
    fails(503);
    assert!(stage.reconcile().await.is_err());
    assert_eq!(stage.condition("Ready").unwrap().0, "True");
}

#[tokio::test]
async fn what_somebody_else_made_by_a_childs_name_is_left_alone_and_what_an_earlier_life_left_is_taken_over() {
    let (_claim, _rows, database) = database().await;
    let stage = Stage::new("{import: {}, export: {}, push: {mode: Realtime}}", both(), database);
    let theirs = |name: &str| json!({ "metadata": { "name": name, "uid": "theirs" }, "spec": { "their": "own" } });
    for (kind, name, told) in [(CRONJOBS, "home-import", "CronJob"), (DEPLOYMENTS, "home-follow", "Deployment")] {
        stage.cluster.put(kind, &theirs(name));
        stage.look().await;
        assert_eq!(stage.cluster.get(kind, name), Some(theirs(name)));
        assert!(stage.cluster.names(CRONJOBS).contains(&"home-export".to_owned()), "the others are made");
        let (status, reason, message) = stage.condition("Ready").unwrap();
        assert_eq!((status.as_str(), reason.as_str()), ("False", reason::INVALID_SPEC));
        let expected = format!("the {told} {name} exists and was not made for this SyncSchedule");
        assert!(message.contains(&expected), "{message}");
        // Gone, or what an earlier life left: ours.
        let mut left = theirs(name);
        left["metadata"]["ownerReferences"] = json!([{ "apiVersion": "watchstate.dev/v1alpha1", "kind": "SyncSchedule",
            "name": "home", "uid": "earlier", "controller": true }]);
        stage.cluster.put(kind, &left);
        stage.look().await;
        assert_eq!(stage.cluster.get(kind, name).unwrap()["metadata"]["labels"][labels::SCHEDULE], "home");
        assert_ne!(stage.condition("Ready").unwrap().1, reason::INVALID_SPEC);
        stage.cluster.remove(DEPLOYMENTS, "home-follow");
    }
}

#[tokio::test]
async fn servers_that_are_missing_or_not_ready_are_named_and_the_others_run() {
    let (_claim, rows, database) = database().await;
    let mut ill = server("emby", "");
    ill.status = None;
    let stage =
        Stage::new("{servers: {names: [plex, emby, zeus]}, import: {}}", vec![server("plex", ""), ill], database);
    stage.look().await;
    let (status, reason, message) = stage.condition("Ready").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", reason::SERVERS_NOT_FOUND));
    assert!(message.contains("zeus") && message.contains("emby") && !message.contains("plex"), "{message}");
    assert_eq!(stage.status().servers, ["emby", "plex"]);
    assert_eq!(stage.cluster.get(CRONJOBS, "home-import").unwrap()["spec"]["suspend"], json!(false));
    let registered = watchstate_store::registry::schedules(&mut rows.acquire().await.unwrap()).await.unwrap();
    assert_eq!(registered[0].1.servers, ["emby", "plex"]);
}

#[tokio::test]
async fn without_servers_nothing_runs_and_the_registry_is_not_told_that_all_are_meant() {
    let (_claim, rows, database) = database().await;
    let stage = Stage::new("{servers: {matchLabels: {watch: work}}, import: {}}", both(), database);
    stage.look().await;
    assert_eq!(stage.condition("Ready").unwrap().1, reason::NO_SERVERS);
    assert_eq!(stage.cluster.get(CRONJOBS, "home-import").unwrap()["spec"]["suspend"], json!(true));
    assert_eq!(stage.status().next_run_at, None);
    assert!(watchstate_store::registry::schedules(&mut rows.acquire().await.unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_pod_that_does_not_start_and_a_job_that_failed_are_told_with_what_to_do() {
    let (_claim, _rows, database) = database().await;
    let stage = Stage::new("{import: {}, export: {}}", both(), database);
    let labels = |part: &str, job: &str| json!({ "watchstate.dev/schedule": "home", "watchstate.dev/part": part, "batch.kubernetes.io/job-name": job });
    let failed = json!([{ "type": "Failed", "status": "True", "reason": "PodFailurePolicy", "lastTransitionTime": "2026-06-01T10:01:00Z" }]);
    stage.cluster.put(
        JOBS,
        &json!({
            "metadata": { "name": "home-import-1", "labels": labels("import", "x") },
            "status": { "startTime": "2026-06-01T10:00:00Z", "conditions": failed }
        }),
    );
    stage.cluster.put(PODS, &json!({
        "metadata": { "name": "home-import-1-abc", "labels": labels("import", "home-import-1") },
        "status": { "phase": "Failed", "containerStatuses": [{ "name": "worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": 2, "message": "error: server plex: there is no token" } } }] }
    }));
    stage.cluster.put(PODS, &json!({
        "metadata": { "name": "home-export-1-abc", "labels": labels("export", "home-export-1") },
        "status": { "phase": "Pending", "containerStatuses": [{ "name": "worker", "image": "nowhere/x:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "ImagePullBackOff" } } }] }
    }));
    stage.look().await;
    let (status, reason, message) = stage.condition("LastRunSucceeded").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", reason::FAILED));
    assert!(message.contains("import failed: the configuration is wrong: server plex: there is no token"), "{message}");
    let (_, reason, message) = stage.condition("Ready").unwrap();
    assert_eq!(reason, reason::PODS_NOT_STARTING);
    assert!(message.contains("nowhere/x:1"), "{message}");
    assert_eq!(stage.told(), ["ScheduleNotReady", "RunFailed"]);
}

#[tokio::test]
async fn a_pod_that_kubernetes_does_not_make_is_told_and_looked_for_soon() {
    let (_claim, _rows, database) = database().await;
    let stage = Stage::new("{import: {}}", both(), database);
    let job = |made: &str| {
        json!({
            "metadata": { "name": "home-import-1", "creationTimestamp": made,
                "labels": { "watchstate.dev/schedule": "home", "watchstate.dev/part": "import" } },
            "status": { "startTime": made, "ready": 0 }
        })
    };
    stage.cluster.put(JOBS, &job("2026-06-01T10:04:50Z"));
    stage.look().await;
    assert_eq!(stage.condition("Ready").unwrap().1, reason::READY, "it takes a moment");
    stage.cluster.put(JOBS, &job("2026-06-01T09:00:00Z"));
    stage.look().await;
    let (_, reason, message) = stage.condition("Ready").unwrap();
    assert_eq!(reason, reason::PODS_NOT_STARTING);
    assert!(message.contains("kubectl describe job home-import-1"), "{message}");
}

#[tokio::test]
async fn runs_and_held_plans_of_the_database_are_told_and_an_approval_lets_exactly_one_through() {
    let (claim, rows, database) = database().await;
    let stage = Stage::new("{import: {}}", both(), database);
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&claim.url).await.unwrap();
    sqlx::Executor::execute(&mut connection, include_str!("tests/held.sql")).await.unwrap();
    stage.look().await;

    let status = stage.status();
    let import = &status.verbs[0];
    assert_eq!(import.last_run_id.as_deref(), Some("3"), "the run that is still open isn't told");
    assert_eq!(import.last_outcome, Some(watchstate_crds::sync_schedule::Outcome::Held));
    assert_eq!(import.counts.map(|counts| (counts.read, counts.held)), Some((150, 2)));
    assert_eq!(import.next_run_at.as_ref().map(|time| time.0.to_string()).as_deref(), Some("2026-06-01T11:00:00Z"));
    assert_eq!(
        status.held_runs.iter().map(|run| (run.id.as_str(), run.titles)).collect::<Vec<_>>(),
        [("5", 1), ("3", 2)]
    );
    let (held, reason, message) = stage.condition("Held").unwrap();
    assert_eq!((held.as_str(), reason.as_str()), ("True", reason::BRAKE_APPLIED));
    assert!(message.contains("anna") && message.contains("watchstate.dev/approve"), "{message}");
    assert_eq!(stage.told(), ["ScheduleReady", "RunHeld"]);

    stage.annotate(annotation::APPROVE, "4");
    stage.look().await;
    assert_eq!(
        (stage.cluster.names(JOBS).len(), stage.told()),
        (0, vec!["ApprovalRefused".to_owned()]),
        "another schedule's run"
    );
    stage.annotate(annotation::APPROVE, "3");
    stage.look().await;
    let jobs = stage.cluster.names(JOBS);
    let job = stage.cluster.get(JOBS, &jobs[0]).unwrap();
    assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["args"], json!(["held", "approve", "--run", "3"]));
    assert_eq!((jobs.len(), stage.told()), (1, vec!["RunApproved".to_owned()]));
    assert!(stage.look().await.is_empty());

    // The Job came to nothing, which is told; when it is deleted, another is made.
    let mut failed = job.clone();
    failed["status"] = json!({ "startTime": "2026-06-01T10:00:00Z",
        "conditions": [{ "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "no node" }] });
    stage.cluster.put(JOBS, &failed);
    stage.look().await;
    let (_, _, message) = stage.condition("Held").unwrap();
    assert!(message.contains("The approval failed: no node"), "{message}");
    stage.cluster.remove(JOBS, &jobs[0]);
    stage.look().await;
    assert_eq!(stage.cluster.names(JOBS), jobs);

    let mut mine = rows.acquire().await.unwrap();
    assert_eq!(
        watchstate_store::plans::of_run(&mut mine, 3, watchstate_store::plans::State::Held).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_schedule_that_is_being_deleted_is_left_to_the_garbage_collector() {
    let stage = Stage::away("{import: {}}");
    stage.change(|object| object["metadata"]["deletionTimestamp"] = json!("2026-06-01T10:04:00Z"));
    assert!(stage.look().await.is_empty());
}

#[tokio::test]
async fn schedules_that_went_are_swept_out_of_the_registry_and_others_stay() {
    let (_claim, rows, database) = database().await;
    let policy = watchstate_store::registry::SchedulePolicy::default();
    for name in ["gone", "home"] {
        let mut connection = rows.acquire().await.unwrap();
        watchstate_store::registry::put_schedule(&mut connection, name, &policy, Timestamp::UNIX_EPOCH).await.unwrap();
    }
    records::sweep(&database, || ["home".to_owned()].into()).await.unwrap();
    let left = watchstate_store::registry::schedules(&mut rows.acquire().await.unwrap()).await.unwrap();
    assert_eq!(left.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["home"]);
}

#[tokio::test]
async fn an_api_server_that_is_away_fails_the_reconcile_and_the_wait_grows_with_the_trouble() {
    let stage = Stage::away("{import: {}}");
    stage.look().await;
    let not_ready_since = |second: i64| {
        let mut one = schedule("home", "{import: {}}");
        let mut status = SyncScheduleStatus::default();
        let at = stage.shared.context.clock.now().checked_sub(SignedDuration::from_secs(second)).unwrap();
        condition::set(&mut status.conditions, condition::READY, condition::State::False, reason::FAILED, "", None, at);
        one.status = Some(status);
        Arc::new(one)
    };
    let error = || {
        Error::kubernetes("listing")(kube::Error::Api(Box::new(kube::core::Status { code: 500, ..Default::default() })))
    };
    for (since, wait) in [(0, 5), (60, 60), (86_400, 300)] {
        let action = failed(not_ready_since(since), &error(), stage.shared.clone());
        assert_eq!(action, Action::requeue(Duration::from_secs(wait)));
    }
}

#[tokio::test]
async fn passes_that_wait_for_the_servers_all_go_on_when_these_are_known() {
    let stage = Stage::away("{import: {}}");
    let (listed, servers_listed) = watch::channel(false);
    let shared = Shared {
        context: stage.shared.context.clone(),
        servers: stage.shared.servers.clone(),
        servers_listed,
        children: stage.shared.children.clone(),
        memory: Memory::default(),
        current: Current::default(),
    };
    let shared = Arc::new(shared);
    let object = || Arc::new(serde_json::from_value(stage.cluster.get(SCHEDULES, "home").unwrap()).unwrap());
    // As the controller does it: each with a waker of its own.
    let mut passes: futures::stream::FuturesUnordered<_> =
        (0..8).map(|_| Box::pin(reconcile(object(), shared.clone()))).collect();
    assert!(futures::poll!(passes.next()).is_pending());
    assert!(stage.cluster.asked().is_empty());
    listed.send_replace(true);
    let ended = tokio::time::timeout(Duration::from_secs(10), passes.count()).await;
    assert_eq!(ended, Ok(8));
}
