//! Everything that is measured, declared once. To add a metric: one field in [`Metrics`], its doc comment is the help text. Labels are closed
//! sets, or bounded by the configuration (server names); titles and persons are never labels. Observing lives in guards, not in the logic.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Registry, TextEncoder};

use crate::Exit;

mod declare;
mod guards;

pub use declare::{Counter, Gauge, Histogram, LabelValue, Labels};
use declare::{label_values, labels, metrics};
pub use guards::{InFlight, RequestGuard, RunGuard};

/// Local servers answer in milliseconds, pages of large libraries take seconds, time-outs are at 30 and above.
const REQUEST_SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// A commit takes a millisecond or two, a spooled file about as long; a database that is away is given up after five seconds.
const DURABLE_SECONDS: [f64; 11] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0];
/// Below a second is the aim with a follower running, minutes is the way by scheduled jobs.
const DELIVERY_SECONDS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0, 3_600.0, 86_400.0];
/// Nothing to do takes a few requests to the API server, a probe a few to a media server, and one that is away its time-outs.
const RECONCILE_SECONDS: [f64; 10] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// From an import that finds nothing new to the first reading of everything.
const RUN_SECONDS: [f64; 11] = [0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0];

metrics! {
    /// All metrics of a process, and the registry that exports them.
    pub struct Metrics {
        /// 1 for the program and version that is running.
        build_info: Gauge<Build>;

        /// Requests to media servers, each attempt counted, by what came of it. Alert on a share of unauthorized or unreachable.
        server_requests_total: Counter<Request>;
        /// How long media servers took to answer, the whole body included.
        server_request_duration_seconds: Histogram<Call>, buckets REQUEST_SECONDS;
        /// How far a server's clock is ahead of ours. Stamps are corrected by it; alert when it is large, since it is read only once a run.
        server_clock_offset_seconds: Gauge<Server>;

        /// Items read from a server.
        items_read_total: Counter<Server>;
        /// Items whose state differed from what was last seen at that server.
        items_changed_total: Counter<Server>;
        /// Items that could not be matched to a title, for want of ids.
        items_unmatched_total: Counter<Server>;
        /// Items whose ids contradict what is known and were kept apart.
        items_conflicting_total: Counter<Server>;
        /// Changes that a server told, by what they were taken for. An echo is our own write coming back.
        events_total: Counter<Happened>;

        /// Writes to a server by what came of them. Alert on dead: those are tried no more until a person looks.
        writes_total: Counter<Written>;
        /// From the moment a change was known here to its write at the server.
        delivery_duration_seconds: Histogram<Server>, buckets DELIVERY_SECONDS;
        /// Writes in the outbox. Alert on any that are dead, and on pending ones that don't get fewer.
        outbox_writes: Gauge<Outbox>;

        /// Plans that the brake stopped.
        plans_held_total: Counter<Server>;
        /// Held plans that wait for approval now. Alert on any.
        held_plans: Gauge<Server>;

        /// Events that webhooks brought, by what became of them. Alert on unmatched ones, and when none comes from a server for days.
        events_received_total: Counter<Received>;
        /// Requests to the receiver that were refused. Alert on tokens: somebody tries, or a server holds an old one.
        requests_refused_total: Counter<Refused>;
        /// From the last byte of a request to the moment when its events were safe.
        event_durable_duration_seconds: Histogram<Kept>, buckets DURABLE_SECONDS;
        /// Requests that are being answered.
        requests_in_flight: Gauge<OfComponent>;
        /// Events that wait on local disk for the database. Alert when they stay.
        spooled_events: Gauge<OfComponent>;

        /// Passes of the operator over its resources, by how they ended. Alert on a share of failed ones.
        reconciles_total: Counter<Reconciled>;
        /// How long a pass took, servers' answers included.
        reconcile_duration_seconds: Histogram<OfResource>, buckets RECONCILE_SECONDS;
        /// Requests to the API server, watches included, by the code of the answer; 0: there was none.
        api_requests_total: Counter<ApiRequest>;
        /// 1 for the operator that leads. Alert when the sum isn't 1.
        operator_leading: Gauge<()>;

        /// How long runs took, by how they ended.
        run_duration_seconds: Histogram<Run>, buckets RUN_SECONDS;
        /// When a run of this verb last ended well, in seconds since 1970. Alert when it is older than two of its schedules.
        run_last_success_timestamp_seconds: Gauge<OfVerb>;
    }
}

labels! {
    /// A pass over a resource and how it ended.
    Reconciled { resource: &'static str, outcome: ReconcileOutcome }
    /// A kind of resource.
    OfResource { resource: &'static str }
    /// A request to the API server: its method and the code of the answer.
    ApiRequest { method: &'static str, code: &'static str }
    /// Which program.
    Build { name: &'static str, version: &'static str }
    /// A server alone.
    Server { server: ServerName }
    /// A kind of request.
    Call { server: ServerName, kind: Kind, operation: Operation }
    /// A request and what came of it.
    Request { server: ServerName, kind: Kind, operation: Operation, outcome: RequestOutcome }
    /// A change and where it was told.
    Happened { server: ServerName, event: Event }
    /// A write and what came of it.
    Written { server: ServerName, outcome: WriteOutcome }
    /// A part of the outbox.
    Outbox { server: ServerName, state: OutboxState }
    /// An event and what became of it; reasons are the words of the domain's `Reason`.
    Received { kind: Kind, verdict: &'static str, reason: &'static str }
    /// A request that was refused.
    Refused { why: Refusal }
    /// Where events were kept first.
    Kept { place: Place }
    /// A part of the installation.
    OfComponent { component: &'static str }
    /// A verb alone.
    OfVerb { verb: Verb }
    /// A run and how it ended.
    Run { verb: Verb, outcome: RunOutcome }
}

label_values! {
    /// The kinds of media server.
    Kind {
        /// Plex Media Server.
        Plex = "plex",
        /// Jellyfin.
        Jellyfin = "jellyfin",
        /// Emby.
        Emby = "emby",
    }
    /// What a request is for; the words of the servers package.
    Operation {
        /// User name and password for a token.
        Login = "login",
        /// Who are you?
        Identify = "identify",
        /// The users.
        Accounts = "accounts",
        /// Access for an account.
        Open = "open",
        /// The libraries.
        Libraries = "libraries",
        /// Numbers of a library, without items.
        Counts = "counts",
        /// A page of items.
        Items = "items",
        /// Items by their ids, before a write.
        ItemsById = "items_by_id",
        /// What is being played.
        Playing = "playing",
        /// A write.
        MarkPlayed = "mark_played",
        /// A write.
        MarkUnplayed = "mark_unplayed",
        /// A write.
        SetPosition = "set_position",
        /// A write.
        ClearPosition = "clear_position",
        /// Registering a webhook.
        Webhook = "webhook",
        /// Anything else.
        Other = "other",
    }
    /// What came of a request; the words of the servers package.
    RequestOutcome {
        /// Answered, and understood.
        Ok = "ok",
        /// No connection: name, network, TLS, or reset.
        Unreachable = "unreachable",
        /// No answer in time.
        TimedOut = "timed_out",
        /// The token or login was refused (401).
        Unauthorized = "unauthorized",
        /// The token is good, but not for this (403).
        Forbidden = "forbidden",
        /// The item, account or route isn't known (404).
        NotFound = "not_found",
        /// Too many requests (429).
        RateLimited = "rate_limited",
        /// The server failed (5xx).
        ServerFailure = "server_failure",
        /// An answer that is cut off or isn't what was asked for.
        BadAnswer = "bad_answer",
        /// The address leads to another server.
        WrongServer = "wrong_server",
        /// The server can't do this.
        Unsupported = "unsupported",
        /// The configuration can't work.
        Configuration = "configuration",
        /// A write that may or may not have happened.
        Uncertain = "uncertain",
        /// We stopped waiting: the process is ending.
        Abandoned = "abandoned",
        /// Anything else.
        Other = "other",
    }
    /// What a change is taken for.
    Event {
        /// Watched.
        Played = "played",
        /// Watched once more.
        PlayedAgain = "played_again",
        /// Marked as not watched.
        Unplayed = "unplayed",
        /// Watched up to some position.
        Position = "position",
        /// Our own write, seen again.
        Echo = "echo",
    }
    /// What came of a write.
    WriteOutcome {
        /// Written.
        Written = "written",
        /// The server held the wanted state already.
        AlreadyRight = "already_right",
        /// Not written for now or for good: being played, changed meanwhile, gone.
        Skipped = "skipped",
        /// Failed, and will be tried again.
        Failed = "failed",
        /// Failed too often, or in a way that trying can't help.
        Dead = "dead",
    }
    /// Why a request was refused.
    Refusal {
        /// No token, or not one of ours (401).
        Token = "token",
        /// Too many wrong tokens from one address (429).
        TooManyTokens = "too_many_tokens",
        /// The body isn't an event of any server (400).
        Unreadable = "unreadable",
        /// The body is too large (413).
        TooLarge = "too_large",
        /// The body took too long (408).
        TooSlow = "too_slow",
        /// Neither database nor spool could take it (503).
        NoRoom = "no_room",
        /// The registry wasn't read yet (503).
        NotReady = "not_ready",
    }
    /// Where an event is safe.
    Place {
        /// In the database.
        Database = "database",
        /// On local disk, until the database is back.
        Spool = "spool",
    }
    /// Where a write in the outbox stands.
    OutboxState {
        /// To be written.
        Pending = "pending",
        /// Tried no more until a person asks for it.
        Dead = "dead",
    }
    /// What a run does.
    Verb {
        /// Reads the servers.
        Import = "import",
        /// Writes what differs.
        Export = "export",
        /// Drains the outbox.
        Push = "push",
        /// Import, then export.
        Sync = "sync",
        /// Removes what is old.
        Prune = "prune",
        /// Writes files.
        Backup = "backup",
        /// Reads files.
        Restore = "restore",
    }
    /// How a pass over a resource ended.
    ReconcileOutcome {
        /// Carried through, whatever it found.
        Done = "done",
        /// Somebody must change something.
        Stalled = "stalled",
        /// Something else must come first.
        Waiting = "waiting",
        /// Tried again.
        Failed = "failed",
        /// Ended in the middle: the lease was lost.
        Abandoned = "abandoned",
    }
    /// How a run ended.
    RunOutcome {
        /// Everything was done.
        Done = "done",
        /// Something failed that may go well the next time.
        TryAgain = "try_again",
        /// Only a person can help.
        Configuration = "configuration",
        /// The brake holds a plan.
        Held = "held",
        /// Another worker was at it.
        Skipped = "skipped",
        /// Ended before it was through: by a signal, or by a fault of ours.
        Abandoned = "abandoned",
    }
}

impl From<Exit> for RunOutcome {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::Done,
            Exit::TryAgain => Self::TryAgain,
            Exit::Configuration => Self::Configuration,
            Exit::Held => Self::Held,
        }
    }
}

/// The name of a configured server (of its MediaServer), and nothing else: what a request brings in would make series without bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerName(Arc<str>);

impl ServerName {
    /// The name as configured.
    pub fn configured(name: &str) -> Self {
        Self(name.into())
    }
}

/// So many servers are timed each by itself. One takes some fifty series, which with a thousand servers were most of a scrape, and of the memory.
const TIMED: usize = 50;
/// The name of all others together; no MediaServer can bear it.
const OTHERS: &str = "(others)";

impl LabelValue for ServerName {
    fn as_label(&self) -> &str {
        &self.0
    }
}

/// One metric's declaration, for documentation.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    /// Without the namespace `watchstate_`.
    pub name: &'static str,
    /// `Counter`, `Gauge`, `Histogram`.
    pub kind: &'static str,
    /// The labels' names.
    pub labels: &'static [&'static str],
    /// What it tells, and what to alert on.
    pub help: &'static str,
}

/// The metrics can't be registered or encoded: a mistake of ours, found by the tests.
#[derive(Debug, thiserror::Error)]
#[error("the metrics contradict each other")]
pub struct MetricsError(#[from] prometheus::Error);

impl Metrics {
    /// The content type of [`Self::encode`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// A registry of its own with all metrics, and those of the process (CPU, memory, file descriptors; on Linux).
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Self::declare(registry)?)
    }

    /// All series in the text format of Prometheus.
    pub fn encode(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    /// A request that was measured elsewhere. For one that is about to be sent, [`Self::request`].
    pub fn observe_request(&self, request: &Request, took: Duration) {
        let Request { server, kind, operation, outcome: _ } = request.clone();
        let server = self.timed_as(server);
        self.server_request_duration_seconds.observe(&Call { server, kind, operation }, took);
        self.server_requests_total.inc(request);
    }

    /// The name under which a server's requests are timed: its own, as long as there aren't too many.
    fn timed_as(&self, server: ServerName) -> ServerName {
        let mut timed = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
        if timed.contains(&server) {
            server
        } else if timed.len() < TIMED {
            timed.insert(server.clone());
            server
        } else {
            ServerName::configured(OTHERS)
        }
    }

    /// Events of webhooks that were merged or put aside: the kind of server, verdict and reason of each, in the words of the domain.
    pub fn received(&self, events: impl Iterator<Item = (&'static str, &'static str, &'static str)>) {
        for (kind, verdict, reason) in events {
            if let Some(kind) = Kind::named(kind) {
                self.events_received_total.inc(&Received { kind, verdict, reason });
            }
        }
    }

    /// A run that another process measured, such as a Job whose row in `run` is read by a long-lived one.
    pub fn observe_run(&self, verb: Verb, outcome: RunOutcome, took: Duration) {
        self.run_duration_seconds.observe(&Run { verb, outcome }, took);
    }

    /// What an import of a server counted, by the names that its row in `run` has for it.
    pub fn observe_reading(&self, server: &ServerName, count: impl Fn(&str) -> u64) {
        let label = Server { server: server.clone() };
        self.items_read_total.add(&label, count("read"));
        self.items_changed_total.add(&label, count("changed"));
        self.items_unmatched_total.add(&label, count("unmatched"));
        self.items_conflicting_total.add(&label, count("conflicts"));
        for (event, name) in [
            (Event::Played, "played"),
            (Event::PlayedAgain, "playedAgain"),
            (Event::Unplayed, "unplayed"),
            (Event::Position, "positions"),
            (Event::Echo, "echoes"),
        ] {
            self.events_total.add(&Happened { server: server.clone(), event }, count(name));
        }
        if count("held") > 0 {
            self.plans_held_total.inc(&label);
        }
    }

    /// Shows a server's conflicts before there are any: Prometheus sees no increase in a counter that begins above zero, and an alert waits for one. Not all
    /// counters: a thousand servers have ten thousand.
    pub fn expect_conflicts(&self, server: &ServerName) {
        self.items_conflicting_total.add(&Server { server: server.clone() }, 0);
    }

    /// The same for what a receiver may refuse.
    pub fn expect_refusals(&self) {
        for why in Refusal::ALL.iter().copied() {
            self.requests_refused_total.add(&Refused { why }, 0);
        }
    }

    /// A run of this verb ended well then.
    pub fn succeeded(&self, verb: Verb, at: Timestamp) {
        self.run_last_success_timestamp_seconds.set(&OfVerb { verb }, at.as_duration().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> ServerName {
        ServerName::configured("home")
    }

    #[test]
    fn every_metric_has_a_help_text_and_a_name_by_the_conventions() {
        Metrics::new().unwrap();
        for Declared { name, kind, help, labels } in Metrics::DECLARED {
            assert!(help.trim().ends_with('.'), "{name}: {help}");
            assert_eq!(*kind == "Counter", name.ends_with("_total"), "{name}");
            assert!(*kind != "Histogram" || name.ends_with("_seconds"), "{name}");
            assert!(labels.iter().all(|label| !["title", "person", "user", "id"].contains(label)), "{name}");
        }
    }

    #[test]
    fn of_many_servers_some_are_timed_by_name_and_the_others_together() {
        let metrics = Metrics::new().unwrap();
        let (kind, operation, outcome) = (Kind::Plex, Operation::Accounts, RequestOutcome::Ok);
        for number in 0..TIMED + 2 {
            let server = ServerName::configured(&format!("server-{number}"));
            for _ in 0..2 {
                let request = Request { server: server.clone(), kind, operation, outcome };
                metrics.observe_request(&request, Duration::from_secs(1));
            }
            assert_eq!(metrics.server_requests_total.get(&Request { server, kind, operation, outcome }), 2);
        }
        let timed = |name: &str| {
            let server = ServerName::configured(name);
            metrics.server_request_duration_seconds.count(&Call { server, kind, operation })
        };
        assert_eq!((timed("server-0"), timed("server-49"), timed("server-50"), timed(OTHERS)), (2, 2, 0, 4));
    }

    #[test]
    fn the_text_holds_the_doc_comment_as_help_and_the_labels_by_name() {
        let metrics = Metrics::new().unwrap();
        metrics.items_read_total.add(&Server { server: home() }, 3);
        metrics.writes_total.inc(&Written { server: home(), outcome: WriteOutcome::AlreadyRight });
        metrics.succeeded(Verb::Import, Timestamp::from_millisecond(1_500).unwrap());
        let text = metrics.encode().unwrap();
        for line in [
            "# HELP watchstate_items_read_total Items read from a server.",
            "# TYPE watchstate_items_read_total counter",
            "watchstate_items_read_total{server=\"home\"} 3",
            "watchstate_writes_total{outcome=\"already_right\",server=\"home\"} 1",
            "watchstate_run_last_success_timestamp_seconds{verb=\"import\"} 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_is_measured_too() {
        let text = Metrics::new().unwrap().encode().unwrap();
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }

    #[test]
    fn a_request_counts_once_with_its_outcome_and_duration() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let call = Call { server: home(), kind: Kind::Plex, operation: Operation::Items };
        metrics.request(call.clone()).finish(RequestOutcome::RateLimited);
        drop(metrics.request(call.clone()));
        let count = |outcome| {
            let (server, kind, operation) = (home(), Kind::Plex, Operation::Items);
            metrics.server_requests_total.get(&Request { server, kind, operation, outcome })
        };
        assert_eq!(count(RequestOutcome::RateLimited), 1);
        assert_eq!(count(RequestOutcome::Abandoned), 1);
        assert_eq!(count(RequestOutcome::Ok), 0);
        assert_eq!(metrics.server_request_duration_seconds.count(&call), 2);
    }

    #[test]
    fn a_run_that_leaves_early_counts_as_abandoned() {
        let metrics = Arc::new(Metrics::new().unwrap());
        drop(metrics.run(Verb::Import));
        metrics.run(Verb::Import).finish(Exit::Held);
        let count = |outcome| metrics.run_duration_seconds.count(&Run { verb: Verb::Import, outcome });
        assert_eq!((count(RunOutcome::Abandoned), count(RunOutcome::Held), count(RunOutcome::Done)), (1, 1, 0));
    }

    #[test]
    fn gauges_of_servers_that_are_gone_can_be_forgotten() {
        let metrics = Metrics::new().unwrap();
        metrics.outbox_writes.set(&Outbox { server: home(), state: OutboxState::Dead }, 2.0);
        assert!(metrics.encode().unwrap().contains("watchstate_outbox_writes{server=\"home\",state=\"dead\"} 2"));
        metrics.outbox_writes.clear();
        assert!(!metrics.encode().unwrap().contains("watchstate_outbox_writes{"));
    }

    #[test]
    fn label_values_are_distinct_lower_case_words() {
        fn check<T: Copy>(all: &[T], text: fn(T) -> &'static str) {
            let words: std::collections::BTreeSet<_> = all.iter().map(|value| text(*value)).collect();
            assert_eq!(words.len(), all.len());
            assert!(words.iter().all(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_')), "{words:?}");
        }
        check(Kind::ALL, Kind::as_str);
        check(Operation::ALL, Operation::as_str);
        check(RequestOutcome::ALL, RequestOutcome::as_str);
        check(Event::ALL, Event::as_str);
        check(WriteOutcome::ALL, WriteOutcome::as_str);
        check(OutboxState::ALL, OutboxState::as_str);
        check(Verb::ALL, Verb::as_str);
        check(RunOutcome::ALL, RunOutcome::as_str);
        check(ReconcileOutcome::ALL, ReconcileOutcome::as_str);
        assert_eq!(Kind::named("Jellyfin"), Some(Kind::Jellyfin));
        assert_eq!(Kind::named("Kodi"), None);
        for exit in Exit::ALL {
            assert_eq!(RunOutcome::from(exit).as_str(), exit.as_str());
        }
    }
}
