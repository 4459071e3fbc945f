//! Who leads: one at a time, the next soon after the first is gone, and nobody who can't be sure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use watchstate_operator::lease::Candidate;
use watchstate_runtime::clock::Clock;

use crate::api::Api;

/// A candidate that tells when it begins and ceases to lead.
struct Replica {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// Who began to lead, or ceased to.
#[derive(Debug, PartialEq)]
enum Told {
    Leads(&'static str),
    Led(&'static str),
}

/// Counts those that lead, for as long as it lives.
struct Leading {
    name: &'static str,
    leaders: Arc<AtomicUsize>,
    told: mpsc::UnboundedSender<Told>,
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.leaders.fetch_sub(1, Ordering::SeqCst);
        self.told.send(Told::Led(self.name)).ok();
    }
}

fn replica(api: &Api, name: &'static str, leaders: &Arc<AtomicUsize>, told: &mpsc::UnboundedSender<Told>) -> Replica {
    let stop = CancellationToken::new();
    let candidate = Candidate::new(api.client(), "media", name, Clock::system());
    let (until, leaders, told) = (stop.clone(), leaders.clone(), told.clone());
    let task = tokio::spawn(async move {
        let work = || async {
            assert_eq!(leaders.fetch_add(1, Ordering::SeqCst), 0, "two lead");
            let _leading = Leading { name, leaders: leaders.clone(), told: told.clone() };
            told.send(Told::Leads(name)).unwrap();
            until.cancelled().await;
        };
        candidate.lead(&until, work).await;
    });
    Replica { stop, task }
}

/// What comes within a time; None: nothing. A moment in which the whole process stood still counts as a moment: candidates stood still as well.
async fn within<T>(time: Duration, coming: impl Future<Output = T>) -> Option<T> {
    const TICK: Duration = Duration::from_millis(100);
    let passing = async {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        biased;
        came = coming => Some(came),
        () = passing => None,
    }
}

#[tokio::test]
async fn one_leads_and_gives_the_lease_up_when_told_to_end() {
    watchstate_runtime::install_crypto();
    let api = Api::start().await;
    let leaders = Arc::default();
    let (told, mut heard) = mpsc::unbounded_channel();
    let one = replica(&api, "one", &leaders, &told);
    assert_eq!(heard.recv().await, Some(Told::Leads("one")));
    let other = replica(&api, "other", &leaders, &told);
    api.until("leases", "watchstate-operator", |lease| lease["spec"]["holderIdentity"] == "one").await;
    one.stop.cancel();
    one.task.await.unwrap();
    assert_eq!(heard.recv().await, Some(Told::Led("one")));
    let follows = within(Duration::from_secs(5), heard.recv()).await;
    assert_eq!(follows.expect("it doesn't wait for the lease's end"), Some(Told::Leads("other")));
    assert_eq!(api.get("leases", "watchstate-operator")["spec"]["leaseTransitions"], 2);
    other.stop.cancel();
    other.task.await.unwrap();
}

#[tokio::test]
async fn one_that_is_killed_is_followed_within_20_seconds() {
    watchstate_runtime::install_crypto();
    let api = Api::start().await;
    let leaders = Arc::default();
    let (told, mut heard) = mpsc::unbounded_channel();
    let one = replica(&api, "one", &leaders, &told);
    assert_eq!(heard.recv().await, Some(Told::Leads("one")));
    let _other = replica(&api, "other", &leaders, &told);
    one.task.abort();
    assert_eq!(heard.recv().await, Some(Told::Led("one")));
    let followed = within(Duration::from_secs(20), heard.recv()).await;
    assert_eq!(followed.unwrap(), Some(Told::Leads("other")));
}

#[tokio::test]
async fn a_leader_that_can_not_renew_stops_its_work_before_another_may_lead() {
    watchstate_runtime::install_crypto();
    let api = Api::start().await;
    let leaders: Arc<AtomicUsize> = Arc::default();
    let (told, mut heard) = mpsc::unbounded_channel();
    let _one = replica(&api, "one", &leaders, &told);
    assert_eq!(heard.recv().await, Some(Told::Leads("one")));
    api.be_deaf(true);
    let stopped = within(Duration::from_secs(12), heard.recv()).await;
    assert_eq!(stopped.expect("its work stopped before the lease ended"), Some(Told::Led("one")));
    api.be_deaf(false);
    assert_eq!(heard.recv().await, Some(Told::Leads("one")), "and it stands again");
}

#[tokio::test]
async fn a_lease_that_somebody_took_away_stops_the_work_at_the_next_renewal() {
    watchstate_runtime::install_crypto();
    let api = Api::start().await;
    let leaders: Arc<AtomicUsize> = Arc::default();
    let (told, mut heard) = mpsc::unbounded_channel();
    let _one = replica(&api, "one", &leaders, &told);
    assert_eq!(heard.recv().await, Some(Told::Leads("one")));
    api.put(
        "leases",
        &serde_json::json!({ "metadata": { "name": "watchstate-operator" }, "spec": { "holderIdentity": "intruder", "leaseDurationSeconds": 1 } }),
    );
    assert_eq!(heard.recv().await, Some(Told::Led("one")));
    assert_eq!(heard.recv().await, Some(Told::Leads("one")), "once the intruder has been silent");
    assert_eq!(leaders.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn whoever_takes_the_lease_over_works_alone_and_nobody_leads_at_once_though_the_lease_is_deleted() {
    watchstate_runtime::install_crypto();
    let api = Api::start().await;
    let leaders: Arc<AtomicUsize> = Arc::default();
    let (told, mut heard) = mpsc::unbounded_channel();
    let one = replica(&api, "one", &leaders, &told);
    assert_eq!(heard.recv().await, Some(Told::Leads("one")));
    let last = Candidate::new(api.client(), "media", "last", Clock::system());
    let alone = || async { assert_eq!(leaders.load(Ordering::SeqCst), 0, "it isn't alone") };
    last.take_over(alone).await.unwrap();
    assert_eq!(heard.recv().await, Some(Told::Led("one")));
    let lease = api.get("leases", "watchstate-operator");
    assert_eq!(
        (&lease["spec"]["holderIdentity"], &lease["spec"]["leaseDurationSeconds"]),
        (&"last".into(), &60.into())
    );

    let deleted = std::time::Instant::now();
    api.delete("leases", "watchstate-operator");
    assert_eq!(heard.recv().await, Some(Told::Leads("one")));
    assert!(deleted.elapsed() > Duration::from_secs(11), "whoever had it could still have been at work");
    one.stop.cancel();
    one.task.await.unwrap();
}
