//! What wakes the controller of SyncSchedules: users, servers, children, runs. What a single pass does is tested where it is written.

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchstate_operator::sync_schedule;
use watchstate_store::registry;
use watchstate_store::wake::Channel;

use crate::house::{House, condition_of};

/// The controller at work.
struct Working {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Working {
    fn on(house: &House) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(sync_schedule::controller(house.context.clone(), stop.clone())), stop }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A server that its own controller has found well.
fn server(house: &House, name: &str) {
    let condition = |kind, reason| json!({ "type": kind, "status": "True", "reason": reason, "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z" });
    house.api.put(
        "mediaservers",
        &json!({
            "apiVersion": "watchstate.dev/v1alpha1", "kind": "MediaServer", "metadata": { "name": name },
            "spec": { "type": "Plex", "url": "http://127.0.0.1:9", "tokenSecretRef": { "name": name } },
            "status": { "conditions": [condition("Ready", "Ready"), condition("Authenticated", "Accepted")] },
        }),
    );
}

fn schedule(house: &House, spec: &Value) {
    let kind = json!({ "apiVersion": "watchstate.dev/v1alpha1", "kind": "SyncSchedule", "metadata": { "name": "home" }, "spec": spec });
    house.api.put("syncschedules", &kind);
}

/// How many servers' tokens a CronJob mounts.
fn tokens(cronjob: &Value) -> usize {
    let volumes = &cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"];
    volumes[0]["projected"]["sources"].as_array().map_or(0, Vec::len)
}

async fn until(house: &House, condition: &str, status: &str, reason: &str) -> Value {
    let says = |object: &Value| {
        let found = condition_of(object, condition);
        found["status"] == status && found["reason"] == reason
    };
    house.api.until("syncschedules", "home", says).await
}

#[tokio::test]
async fn a_schedule_follows_its_servers_its_children_and_its_runs() {
    let house = House::new().await;
    server(&house, "plex");
    schedule(&house, &json!({ "import": {} }));
    let working = Working::on(&house);
    until(&house, "Ready", "True", "Ready").await;
    house.api.until("cronjobs", "home-import", |cronjob| tokens(cronjob) == 1).await;

    server(&house, "emby");
    house.api.until("cronjobs", "home-import", |cronjob| tokens(cronjob) == 2).await;
    house.api.delete("mediaservers", "plex");
    house.api.until("cronjobs", "home-import", |cronjob| tokens(cronjob) == 1).await;

    house.api.delete("cronjobs", "home-import");
    house.api.until("cronjobs", "home-import", |cronjob| tokens(cronjob) == 1).await;

    let failed = json!({ "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "no", "lastTransitionTime": "2026-01-01T00:01:00Z" });
    house.api.put(
        "jobs",
        &json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": "home-import-1", "labels": { "watchstate.dev/schedule": "home", "watchstate.dev/part": "import" } },
            "status": { "startTime": "2026-01-01T00:00:00Z", "conditions": [failed] },
        }),
    );
    until(&house, "LastRunSucceeded", "False", "Failed").await;

    schedule(&house, &json!({ "suspend": true }));
    house.api.until("cronjobs", "home-import", |cronjob| cronjob["spec"]["suspend"] == true).await;
    assert!(house.api.told("home").contains(&"RunFailed".to_owned()));
    working.end().await;
}

#[tokio::test]
async fn an_operator_that_starts_again_finds_everything_as_it_left_it() {
    let house = House::new().await;
    server(&house, "plex");
    schedule(&house, &json!({ "import": {}, "prune": {} }));
    let working = Working::on(&house);
    until(&house, "Ready", "True", "Ready").await;
    working.end().await;

    let before = house.api.writes().len();
    let working = Working::on(&house);
    // Something that only a pass of the new one can have done.
    schedule(&house, &json!({ "export": {} }));
    house.api.until("cronjobs", "home-export", |cronjob| !cronjob.is_null()).await;
    until(&house, "Ready", "True", "Ready").await;
    working.end().await;
    let written = house.api.writes().split_off(before);
    assert!(written.iter().all(|write| !write.contains("home-import") && !write.contains("home-prune")), "{written:?}");
}

#[tokio::test]
async fn a_deleted_schedule_leaves_the_registry_without_a_finalizer() {
    let house = House::new().await;
    server(&house, "plex");
    schedule(&house, &json!({ "import": {} }));
    let working = Working::on(&house);
    let object = until(&house, "Ready", "True", "Ready").await;
    assert!(object["metadata"]["finalizers"].is_null());
    let store = house.store.as_ref().unwrap();
    let mut ear = store.listen(&[Channel::Registry]).await.unwrap();
    let mut connection = store.acquire().await.unwrap();
    assert_eq!(registry::schedules(&mut connection).await.unwrap().len(), 1);

    house.api.delete("syncschedules", "home");
    while !registry::schedules(&mut connection).await.unwrap().is_empty() {
        ear.hear().await.unwrap();
    }
    working.end().await;
}

#[tokio::test]
async fn watches_that_all_begin_anew_hold_up_nothing() {
    let house = House::new().await;
    server(&house, "plex");
    schedule(&house, &json!({ "import": { "schedule": "1 1 1 1 *" } }));
    let working = Working::on(&house);
    until(&house, "Ready", "True", "Ready").await;
    for minute in 2..5 {
        house.api.expire();
        let wanted = format!("{minute} 1 1 1 *");
        schedule(&house, &json!({ "import": { "schedule": wanted } }));
        house.api.until("cronjobs", "home-import", |cronjob| cronjob["spec"]["schedule"] == wanted.as_str()).await;
    }
    working.end().await;
}
