//! Logs, all to stderr: stdout belongs to what a command prints. Text for people on a terminal, JSON elsewhere; every line is scrubbed.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use clap::{ArgAction, Args, ValueEnum};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt as format};

use crate::{Environment, clock, redact};

/// Targets of ours begin so: every package is named `watchstate-…`.
pub(crate) const OURS: &str = "watchstate";

/// Targets whose debug lines may show headers and bodies, tokens with them: never below info, whatever is asked for.
const WIRE: [&str; 8] =
    ["h2", "hyper", "hyper_util", "opentelemetry", "reqwest", "rustls", "tokio_rustls", "tower_http"];

/// The options of every command; to be flattened.
#[derive(Debug, Clone, Default, Args)]
pub struct LogArgs {
    /// Log more: -v, -vv, -vvv. `WATCHSTATE_LOG` (else `RUST_LOG`) takes a level or directives such as `info,sqlx=debug`
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
    /// How log lines look
    #[arg(long, value_enum, default_value_t, global = true, env = "WATCHSTATE_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    #[default]
    Auto,
    /// One line for people
    Text,
    /// One JSON object a line
    Json,
}

/// The log settings can't be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log filter in {variable} is not valid; expected a level (error, warn, info, debug, trace) or directives such as `info,sqlx=debug`"
)]
pub struct LogFilterError {
    variable: &'static str,
    source: ParseError,
}

/// Where finished log lines go, each with its line break, already scrubbed. Stderr by default; a command that draws progress bars passes a
/// function that prints the line above them.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(&str) + Send + Sync>);

impl Sink {
    /// Lines go to `print`.
    pub fn new(print: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(print))
    }

    /// Lines go to stderr. If that is closed there is nobody left to tell.
    pub fn stderr() -> Self {
        Self::new(|line| {
            let _ = io::stderr().lock().write_all(line.as_bytes());
        })
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

/// What stands between the formatting layer and the sink.
struct Scrubber {
    sink: Sink,
    json: bool,
}

impl Write for &Scrubber {
    /// The formatting layer writes each line with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if self.json {
            (self.sink.0)(&redact::scrub_json(&text));
        } else {
            (self.sink.0)(&redact::scrub(&text));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Scrubber {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// How the lines look in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Text with the time of day.
    Terminal {
        colours: bool,
    },
    /// Text with the full time, in UTC.
    Text,
    Json,
}

fn look(asked: LogFormat, terminal: bool, environment: Environment<'_>) -> Look {
    let dumb = || environment("TERM").is_some_and(|terminal| terminal == "dumb");
    match (asked, terminal) {
        (LogFormat::Auto | LogFormat::Text, true) => {
            Look::Terminal { colours: environment("NO_COLOR").is_none() && !dumb() }
        }
        (LogFormat::Text, false) => Look::Text,
        (LogFormat::Json, _) | (LogFormat::Auto, false) => Look::Json,
    }
}

/// The filter, as directives, and the variable it came from. `-v` beats the environment; a bare level speaks of our own code, and of other
/// crates one level less.
fn directives(verbose: u8, default: Level, environment: Environment<'_>) -> (String, &'static str) {
    if verbose == 0 {
        for variable in ["WATCHSTATE_LOG", "RUST_LOG"] {
            if let Some(asked) = environment(variable) {
                return (asked.trim().parse().map_or(asked, levels), variable);
            }
        }
    }
    (levels((0..verbose).fold(default, |level, _| more(level))), "WATCHSTATE_LOG")
}

fn levels(ours: Level) -> String {
    let others = match ours {
        Level::TRACE => Level::DEBUG,
        Level::DEBUG => Level::INFO,
        Level::ERROR => Level::ERROR,
        _ => Level::WARN,
    };
    format!("{others},{OURS}={ours}").to_lowercase()
}

fn more(level: Level) -> Level {
    match level {
        Level::ERROR => Level::WARN,
        Level::WARN => Level::INFO,
        Level::INFO => Level::DEBUG,
        _ => Level::TRACE,
    }
}

/// True for the targets in [`WIRE`].
pub(crate) fn is_wire(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    WIRE.contains(&root) || root.starts_with("opentelemetry")
}

/// The layer that writes the log, as [`crate::Telemetry::start`] installs it.
pub(crate) fn layer<S>(
    args: &LogArgs,
    default: Level,
    sink: Sink,
    environment: Environment<'_>,
) -> Result<Box<dyn Layer<S> + Send + Sync>, LogFilterError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let (directives, variable) = directives(args.verbose, default, environment);
    let asked = EnvFilter::try_new(directives).map_err(|source| LogFilterError { variable, source })?;
    // Our spans are kept at any level, so that a warning still says which server and library it speaks of.
    let ours = filter_fn(|metadata| {
        metadata.is_span() && *metadata.level() <= Level::INFO && metadata.target().starts_with(OURS)
    });
    let harmless = filter_fn(|metadata| *metadata.level() <= Level::INFO || !is_wire(metadata));
    let filter = asked.or(ours).and(harmless);
    let look = look(args.log_format, io::stderr().is_terminal(), environment);
    let lines = format::layer().with_writer(Scrubber { sink, json: look == Look::Json });
    Ok(match look {
        Look::Terminal { colours } => {
            lines.compact().with_ansi(colours).with_target(false).with_timer(TimeOfDay).with_filter(filter).boxed()
        }
        Look::Text => lines.compact().with_ansi(false).with_filter(filter).boxed(),
        Look::Json => lines.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    })
}

/// `21:04:09`, here: who sits before a terminal knows the date.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let now = clock::now().to_zoned(jiff::tz::TimeZone::system());
        write!(writer, "{}", now.strftime("%H:%M:%S"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use clap::Parser;
    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    /// What is logged by `work`, line by line.
    fn lines(args: &LogArgs, default: Level, environment: Environment<'_>, work: impl FnOnce()) -> Vec<String> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let copy = written.clone();
        let sink = Sink::new(move |line| copy.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned()));
        let layer = layer(args, default, sink, environment).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        std::mem::take(&mut written.lock().unwrap())
    }

    fn json() -> LogArgs {
        LogArgs { verbose: 0, log_format: LogFormat::Json }
    }

    #[test]
    fn text_is_for_terminals_and_colours_only_where_they_are_welcome() {
        let no_color = |name: &str| (name == "NO_COLOR").then(|| "1".to_owned());
        let dumb = |name: &str| (name == "TERM").then(|| "dumb".to_owned());
        let table: [(LogFormat, bool, Environment<'_>, Look); 7] = [
            (LogFormat::Auto, true, &nothing, Look::Terminal { colours: true }),
            (LogFormat::Auto, true, &no_color, Look::Terminal { colours: false }),
            (LogFormat::Text, true, &dumb, Look::Terminal { colours: false }),
            (LogFormat::Auto, false, &nothing, Look::Json),
            (LogFormat::Text, false, &nothing, Look::Text),
            (LogFormat::Json, true, &nothing, Look::Json),
            (LogFormat::Json, false, &nothing, Look::Json),
        ];
        for (asked, terminal, environment, expected) in table {
            assert_eq!(look(asked, terminal, environment), expected, "{asked:?}, terminal {terminal}");
        }
    }

    #[test]
    fn the_flag_beats_our_variable_which_beats_the_common_one() {
        let both = |name: &str| match name {
            "WATCHSTATE_LOG" => Some("error".to_owned()),
            "RUST_LOG" => Some("trace".to_owned()),
            _ => None,
        };
        let common = |name: &str| (name == "RUST_LOG").then(|| "info,sqlx=debug".to_owned());
        let table: [(u8, Level, Environment<'_>, &str); 8] = [
            (0, Level::INFO, &nothing, "warn,watchstate=info"),
            (0, Level::WARN, &nothing, "warn,watchstate=warn"),
            (1, Level::WARN, &nothing, "warn,watchstate=info"),
            (1, Level::INFO, &nothing, "info,watchstate=debug"),
            (9, Level::WARN, &nothing, "debug,watchstate=trace"),
            (0, Level::INFO, &both, "error,watchstate=error"),
            (1, Level::WARN, &both, "warn,watchstate=info"),
            (0, Level::WARN, &common, "info,sqlx=debug"),
        ];
        for (verbose, default, environment, expected) in table {
            assert_eq!(directives(verbose, default, environment).0, expected, "-v {verbose}, {default}");
        }
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_refused_with_the_name_of_its_variable() {
        let wrong = |name: &str| (name == "RUST_LOG").then(|| "watchstate=loud".to_owned());
        let Err(error) = layer::<tracing_subscriber::Registry>(&json(), Level::INFO, Sink::stderr(), &wrong) else {
            panic!("the filter was taken");
        };
        assert!(error.to_string().starts_with("the log filter in RUST_LOG is not valid"), "{error}");
    }

    #[test]
    fn a_json_line_holds_the_message_its_fields_and_its_span() {
        let lines = lines(&json(), Level::INFO, &nothing, || {
            let _inside = tracing::info_span!(target: "watchstate_worker", "import", server = "home").entered();
            tracing::info!(target: "watchstate_worker", read = 3, "library read");
            tracing::debug!(target: "watchstate_worker", "not shown");
        });
        assert_eq!(lines.len(), 1);
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["message"], "library read");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["read"], 3);
        assert_eq!(line["span"]["server"], "home");
    }

    #[test]
    fn a_warning_says_its_span_even_where_only_warnings_are_logged() {
        let lines = lines(&json(), Level::WARN, &nothing, || {
            let _inside = tracing::info_span!(target: "watchstate_worker", "import", server = "home").entered();
            tracing::info!(target: "watchstate_worker", "not shown");
            tracing::warn!(target: "watchstate_worker", "slow");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(serde_json::from_str::<Value>(&lines[0]).unwrap()["span"]["server"], "home");
    }

    #[test]
    fn a_secret_in_a_message_or_a_field_is_masked_and_the_line_stays_json() {
        let lines = lines(&json(), Level::INFO, &nothing, || {
            tracing::info!(target: "watchstate_worker", token = "s3cret", pin = 1234, "http://plex/?X-Plex-Token=s3cret&a=\"b\"");
        });
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["token"], "***");
        assert_eq!(line["pin"], "***");
        assert_eq!(line["message"], "http://plex/?X-Plex-Token=***&a=\"b\"");
    }

    #[test]
    fn libraries_that_show_headers_stay_quiet_below_info_whatever_is_asked() {
        let trace = |name: &str| (name == "WATCHSTATE_LOG").then(|| "trace,hyper=trace".to_owned());
        let lines = lines(&json(), Level::INFO, &trace, || {
            tracing::debug!(target: "hyper::proto", "headers");
            tracing::trace!(target: "opentelemetry-otlp", "body");
            tracing::info!(target: "hyper::proto", "shown");
            tracing::trace!(target: "sqlx::query", "shown");
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("shown")));
    }

    #[test]
    fn text_is_one_compact_line() {
        let args = LogArgs { verbose: 0, log_format: LogFormat::Text };
        let lines = lines(&args, Level::INFO, &nothing, || {
            tracing::info!(target: "watchstate_worker", read = 3, "library read");
        });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].ends_with("library read read=3\n"), "{lines:?}");
        assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
    }

    #[test]
    fn the_flags_are_read_after_a_subcommand_too() {
        #[derive(Parser)]
        struct Cli {
            #[command(flatten)]
            logs: LogArgs,
            #[command(subcommand)]
            verb: Verb,
        }
        #[derive(clap::Subcommand)]
        enum Verb {
            Import,
        }
        let cli = Cli::parse_from(["x", "import", "-vv", "--log-format", "json"]);
        assert!(matches!(cli.verb, Verb::Import));
        assert_eq!((cli.logs.verbose, cli.logs.log_format), (2, LogFormat::Json));
    }
}
