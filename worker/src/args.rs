//! The command line: one struct a verb. Long help teaches; every default stands in it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use watchstate_runtime::logs::LogArgs;
use watchstate_store::inbox::Verdict;

use crate::command::backup::bucket::BucketArgs;

/// Keeps Plex, Jellyfin and Emby in agreement about what you have watched.
#[derive(Debug, Parser)]
#[command(name = "watchstate-worker", version, about, after_help = FIRST_STEPS, propagate_version = true)]
pub struct Cli {
    /// Where things are.
    #[command(flatten)]
    pub settings: Settings,
    /// What is logged.
    #[command(flatten)]
    pub logs: LogArgs,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const FIRST_STEPS: &str = "First steps:
  1. Describe your servers in a file (see docs/first-sync.md): MediaServer and Secret documents, as kubectl would take them.
  2. watchstate-worker apply -f servers.yaml
  3. watchstate-worker servers check
  4. watchstate-worker sync --dry-run     shows what would be written
  5. watchstate-worker sync

Exit codes: 0 done; 1 something failed, try again; 2 the configuration is wrong; 3 the brake holds a plan (watchstate-worker held list).";

/// One flag for both halves.
const FORCE_OF_SYNC: &str = "Apply un-plays even where the brake would hold them (what is held already is let through by `held approve`), and try \
    writes again at once that failed or were given up";

/// Where things are. Every option can also come from the environment.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where things are")]
pub struct Settings {
    /// The database: `postgres://user:password@host:port/name`. None: a Postgres of our own under the data folder
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database: Option<String>,
    /// The data folder: tokens, and the embedded Postgres [default: the user's data folder]
    #[arg(long, global = true, env = "WATCHSTATE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the servers' tokens are, one folder a server [default: tokens in the data folder]
    #[arg(long, global = true, env = "WATCHSTATE_TOKENS", value_name = "DIR")]
    pub tokens: Option<PathBuf>,
    /// Where plex.tv is; for tests
    #[arg(long, global = true, env = "WATCHSTATE_PLEX_TV_URL", hide = true, value_name = "URL")]
    pub plex_tv: Option<String>,
    /// The SyncSchedule whose policy holds, and which runs are noted for [default: the only one there is]
    #[arg(long, global = true, env = "WATCHSTATE_SCHEDULE", value_name = "NAME")]
    pub schedule: Option<String>,
    /// Write the run's summary as JSON to this file when done (a pod's termination message)
    #[arg(long, global = true, env = "WATCHSTATE_SUMMARY_FILE", value_name = "FILE")]
    pub summary_file: Option<PathBuf>,
    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
    /// YAML.
    Yaml,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Take MediaServer, SyncSchedule and Secret documents into the registry
    Apply(ApplyArgs),
    /// Read the servers and merge what they say
    Import(ImportArgs),
    /// Write to the servers what differs from the agreed state
    Export(ExportArgs),
    /// Drain the outbox: the writes that wait or failed before, once or (--follow) as they come
    Push(PushArgs),
    /// Import, then export
    #[command(mut_arg("force", |force| force.help(FORCE_OF_SYNC)))]
    Sync(SyncArgs),
    /// List, show and check the media servers
    #[command(subcommand)]
    Servers(ServersVerb),
    /// Who has watched what, with filters
    State(StateArgs),
    /// Why a title is as it is: what each server said, which rule decided, what was written
    Why(WhyArgs),
    /// What imports, exports and pushes did
    Runs(RunsArgs),
    /// Un-plays that the brake holds: list, show, approve, discard
    #[command(subcommand)]
    Held(HeldVerb),
    /// Writes that wait, or were given up: list, retry
    #[command(subcommand)]
    Outbox(OutboxVerb),
    /// What webhooks brought, and what became of it: list, show, replay
    #[command(subcommand)]
    Inbox(InboxVerb),
    /// Remove old runs, events, and titles that no server has any more and nobody watched
    Prune(PruneArgs),
    /// Write one JSON Lines file a person
    Backup(BackupArgs),
    /// Read such a file and merge it; a dry run unless --execute
    Restore(RestoreArgs),
}

/// `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file; `-` for standard input. May be given several times
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub filename: Vec<PathBuf>,
    /// Remove servers and schedules that the files don't name. What was watched stays
    #[arg(long)]
    pub prune: bool,
    /// Show what would change, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Which servers a verb works on.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Only these servers, by name
    #[arg(short, long, value_delimiter = ',', value_name = "NAME,…")]
    pub server: Vec<String>,
}

/// `import`.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one field a flag")]
pub struct ImportArgs {
    /// Which servers.
    #[command(flatten)]
    pub selection: Selection,
    /// Read every item, not only what changed since the last time
    #[arg(short, long)]
    pub full: bool,
    /// Read and tell what would be decided, store nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Apply un-plays even where the brake would hold them; what is held already is let through by `held approve`
    #[arg(long)]
    pub force: bool,
    /// Take items and ids only: states are noted and not merged
    #[arg(long)]
    pub metadata_only: bool,
    /// Where another worker is at a server: wait until it is through, instead of leaving the server to it
    #[arg(long)]
    pub wait: bool,
}

/// `export`.
#[derive(Debug, Clone, Default, Args)]
pub struct ExportArgs {
    /// Which servers.
    #[command(flatten)]
    pub selection: Selection,
    /// Tell what would be written, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Try writes again at once that failed or were given up
    #[arg(long)]
    pub force: bool,
    /// Where another worker is at a server: wait until it is through, instead of leaving the server to it
    #[arg(long)]
    pub wait: bool,
}

/// `push`.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one field a flag")]
pub struct PushArgs {
    /// Which servers.
    #[command(flatten)]
    pub selection: Selection,
    /// Tell what would be written, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Try writes again at once that failed or were given up
    #[arg(long)]
    pub force: bool,
    /// Where another worker is at a server: wait until it is through, instead of leaving the server to it
    #[arg(long)]
    pub wait: bool,
    /// Stay, and write each change as soon as it is known
    #[arg(long, conflicts_with_all = ["dry_run", "force", "wait"])]
    pub follow: bool,
    /// Where /livez, /readyz and /metrics are served while it stays
    #[arg(
        long,
        env = "WATCHSTATE_ADMIN_ADDRESS",
        default_value = "0.0.0.0:9091",
        value_name = "ADDRESS",
        help_heading = "With --follow"
    )]
    pub admin_address: SocketAddr,
}

/// `sync`.
#[derive(Debug, Clone, Default, Args)]
pub struct SyncArgs {
    /// The import's options hold for both halves.
    #[command(flatten)]
    pub import: ImportArgs,
}

/// `servers`.
#[derive(Debug, Subcommand)]
pub enum ServersVerb {
    /// All servers
    List,
    /// One server with its accounts and libraries
    Show {
        /// Its name
        name: String,
    },
    /// The address to paste into a server, so that it sends its webhooks here
    Token(TokenArgs),
    /// Reach, authenticate, version, clock: asks the servers now
    Check {
        /// Which servers
        #[command(flatten)]
        selection: Selection,
    },
}

/// `servers token`.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// The server's name
    pub name: String,
    /// Make a new token; the old one is refused from now on
    #[arg(long)]
    pub rotate: bool,
    /// Where the receiver is reached from the server
    #[arg(long, env = "WATCHSTATE_WEBHOOK_URL", default_value = "http://localhost:8080", value_name = "URL")]
    pub url: url::Url,
}

/// `inbox`.
#[derive(Debug, Subcommand)]
pub enum InboxVerb {
    /// The events, the newest first
    List {
        /// Only those that were accepted, ignored, held, unmatched, or are waiting or lookup
        #[arg(long, value_parser = parse_verdict)]
        verdict: Option<Verdict>,
        /// Only those of this server
        #[arg(short, long)]
        server: Option<String>,
        /// Only those of titles with this in their name
        #[arg(short, long)]
        title: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
    },
    /// One event: what it said, what became of it, and why
    Show {
        /// The event's number
        event: i64,
    },
    /// Merge an event once more: after a mapping, a library or a policy was put right
    Replay {
        /// The event's number
        event: i64,
    },
    /// Raw requests, where the receiver keeps them (watchstate-webhook --keep-requests 2h)
    Requests {
        /// At most so many, the newest first
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
    },
}

fn parse_verdict(word: &str) -> Result<Verdict, String> {
    Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == word).ok_or_else(|| {
        let words: Vec<&str> = Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect();
        format!("one of {} is expected", words.join(", "))
    })
}

/// `state`.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one a flag")]
pub struct StateArgs {
    /// Only this person
    #[arg(short, long)]
    pub person: Option<String>,
    /// Titles, episodes or shows with this in their name; or as they are printed (`Heat (1995)`, `Severance S01E03`), or an id (`imdb:tt0113277`)
    #[arg(short, long)]
    pub title: Option<String>,
    /// Episodes of shows with this in their name
    #[arg(long)]
    pub show: Option<String>,
    /// Only what this server has
    #[arg(short, long)]
    pub server: Option<String>,
    /// Only played ones
    #[arg(long, conflicts_with = "unplayed")]
    pub played: bool,
    /// Only those that are not played
    #[arg(long)]
    pub unplayed: bool,
    /// Only those changed since then: a date (`2026-01-31`, in UTC), a span back from now (`2h`, `7d`) or a moment (`2026-01-31T18:00:00Z`)
    #[arg(long, value_name = "WHEN", value_parser = parse_since)]
    pub changed_since: Option<Since>,
    /// Items whose ids contradict a title's
    #[arg(long, conflicts_with_all = ["unmatched", "played", "unplayed", "changed_since", "person"])]
    pub conflict: bool,
    /// Items that nothing could be matched by
    #[arg(long, conflicts_with_all = ["played", "unplayed", "changed_since", "person"])]
    pub unmatched: bool,
    /// At most so many rows
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..1_000_000))]
    pub limit: i64,
}

/// A moment in the past.
#[derive(Debug, Clone, Copy)]
pub enum Since {
    /// That moment.
    At(Timestamp),
    /// So long before now.
    Ago(Span),
}

impl Since {
    /// The moment that is meant; none where no calendar goes back so far.
    pub fn before(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Ago(span) => now.to_zoned(TimeZone::UTC).checked_sub(span).ok().map(|at| at.timestamp()),
        }
    }
}

fn parse_since(text: &str) -> Result<Since, String> {
    let moment = || text.parse().ok().map(Since::At);
    let date = || Some(Since::At(text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp()));
    let span = || text.parse::<Span>().ok().map(|span| Since::Ago(span.abs()));
    moment().or_else(date).or_else(span).ok_or_else(|| {
        "expected is a date (2026-01-31), a span back from now (2h, 7d) or a moment (2026-01-31T18:00:00Z)".to_owned()
    })
}

/// `why`.
#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    /// A title or a part of it (`Heat`, `Heat (1995)`), an episode or a season (`Severance S01E03`, `Severance S01`), an id (`imdb:tt0113277`)
    pub title: String,
    /// Only this person
    #[arg(short, long)]
    pub person: Option<String>,
}

/// `runs`.
#[derive(Debug, Clone, Args)]
pub struct RunsArgs {
    /// At most so many, the newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..))]
    pub limit: i64,
}

/// `held`.
#[derive(Debug, Subcommand)]
pub enum HeldVerb {
    /// The plans that wait
    List {
        /// Decided ones too
        #[arg(long)]
        all: bool,
    },
    /// The titles of a plan
    Show {
        /// The plan's number
        plan: i64,
    },
    /// Let a plan through: exactly its un-plays, and nothing else
    Approve {
        /// The plan's number
        #[arg(required_unless_present = "run")]
        plan: Option<i64>,
        /// Instead of one plan, all that this run found and that still wait; nothing to do where they were let through already
        #[arg(long, value_name = "RUN", conflicts_with = "plan")]
        run: Option<i64>,
    },
    /// Refuse a plan: the next export marks its titles as played again
    Discard {
        /// The plan's number
        plan: i64,
    },
}

/// `outbox`.
#[derive(Debug, Subcommand)]
pub enum OutboxVerb {
    /// The writes that wait, and those that were given up
    List {
        /// Only those that were given up
        #[arg(long)]
        dead: bool,
        /// At most so many, the oldest first
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
    },
    /// Try writes again at once that were given up
    Retry {
        /// The write's number; none: all
        id: Option<i64>,
    },
}

/// `prune`.
#[derive(Debug, Clone, Args)]
pub struct PruneArgs {
    /// Keep runs for so many days; `30`, `30d` or `12h` [default: what the SyncSchedule says, 30 without one]
    #[arg(long, value_name = "DAYS", value_parser = parse_keep)]
    pub keep_runs: Option<SignedDuration>,
    /// Keep finished writes and webhook events for so many days [default: what the SyncSchedule says, 30 without one]
    #[arg(long, value_name = "DAYS", value_parser = parse_keep)]
    pub keep_events: Option<SignedDuration>,
    /// Keep what no server has any more for so many days; what somebody watched stays for ever [default: what the SyncSchedule says, 90 without one]
    #[arg(long, value_name = "DAYS", value_parser = parse_keep)]
    pub keep_titles: Option<SignedDuration>,
    /// Keep single viewings for so many days; the last one of each title stays for ever [default: what the SyncSchedule says, else all of them]
    #[arg(long, value_name = "DAYS", value_parser = parse_keep)]
    pub keep_history: Option<SignedDuration>,
    /// Tell how much would go, remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Days, or a duration as resources write it.
fn parse_keep(text: &str) -> Result<SignedDuration, String> {
    if let Ok(days) = text.parse::<u32>() {
        return Ok(SignedDuration::from_hours(i64::from(days) * 24));
    }
    let expected = "expected are days (30), or a duration such as 30d or 12h";
    let duration: watchstate_crds::Duration = text.parse().map_err(|_| expected.to_owned())?;
    SignedDuration::try_from(duration.get()).map_err(|_| expected.to_owned())
}

/// `backup`.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// The folder, or `s3://bucket/prefix`; gets one file a person, `<person>.<time>.jsonl` (see docs/backup-format.md). `-` with --person: standard output
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Only this person
    #[arg(short, long)]
    pub person: Option<String>,
    /// Keep only the newest files of each person, so many; older ones are removed [default: keep all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// How a bucket is reached.
    #[command(flatten)]
    pub bucket: BucketArgs,
}

/// `restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The file; `-` for standard input
    pub file: PathBuf,
    /// For this person instead of the one that the file names
    #[arg(short, long)]
    pub person: Option<String>,
    /// Do it; without this only the report is made
    #[arg(long)]
    pub execute: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_force_tells_all_that_it_does() {
        let mut cli = Cli::command();
        cli.build();
        let force = |verb: &str| {
            let verb = cli.find_subcommand(verb).unwrap();
            let force = verb.get_arguments().find(|arg| arg.get_id() == "force").unwrap();
            force.get_help().unwrap().to_string()
        };
        let brake = |verb| force(verb).contains("brake") && force(verb).contains("held approve");
        let again = |verb| force(verb).contains("failed or were given up");
        assert_eq!(["import", "sync", "export", "push"].map(brake), [true, true, false, false]);
        assert_eq!(["import", "sync", "export", "push"].map(again), [false, true, true, true]);
    }

    #[test]
    fn a_moment_is_a_date_a_span_or_a_timestamp() {
        let now: Timestamp = "2026-03-31T12:00:00Z".parse().unwrap();
        let cases = [
            ("2026-01-01", "2026-01-01T00:00:00Z"),
            ("2026-01-01T10:30:00", "2026-01-01T10:30:00Z"),
            ("2026-01-01T10:30:00+02:00", "2026-01-01T08:30:00Z"),
            ("2h", "2026-03-31T10:00:00Z"),
            ("7d", "2026-03-24T12:00:00Z"),
            ("1 month", "2026-02-28T12:00:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_since(text).unwrap().before(now).unwrap().to_string(), expected, "{text}");
        }
        for wrong in ["", "yesterday", "7", "2026-13-01"] {
            let told = parse_since(wrong).unwrap_err();
            assert!(told.contains("2026-01-31") && told.contains("7d") && told.contains("18:00:00Z"), "{told}");
        }
        assert_eq!(parse_since("19000y").unwrap().before(now), None);
    }

    #[test]
    fn days_are_a_number_or_a_duration_as_in_a_resource() {
        let hours = |text| parse_keep(text).map(|keep| keep.as_hours());
        assert_eq!([hours("30"), hours("30d"), hours("12h"), hours("0")], [Ok(720), Ok(720), Ok(12), Ok(0)]);
        assert!(["", "-3", "30 days", "d"].into_iter().all(|wrong| hours(wrong).unwrap_err().contains("30d")));
    }
}
