//! `runs`: what imports, exports and pushes did.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use watchstate_runtime::Exit;
use watchstate_store::runs::{self, Run};

use crate::app::App;
use crate::args::RunsArgs;
use crate::output::{self, Sheet};

/// Prints the newest runs.
pub async fn run(app: &App, args: &RunsArgs) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    let runs = runs::list(&mut connection, args.limit).await?;
    output::print(app.format, &runs, |runs| {
        vec![sheet(runs).remark(if runs.is_empty() { "Nothing has run yet: watchstate-worker sync" } else { "" })]
    })?;
    Ok(Exit::Done)
}

/// Runs as a table; its remark is left to the caller.
pub(super) fn sheet(runs: &[Run]) -> Sheet {
    let rows = runs
        .iter()
        .map(|run| {
            vec![
                run.id.to_string(),
                verb(run),
                output::or_dash(run.server.as_deref()),
                output::time(Some(run.started_at)),
                run.finished_at.map_or_else(|| "-".to_owned(), |finished| took(run.started_at, finished)),
                run.outcome.clone().unwrap_or_else(|| "not finished".to_owned()),
                what(run),
            ]
        })
        .collect();
    Sheet::new(vec!["run", "verb", "server", "started (UTC)", "took", "outcome", "what"], rows)
}

fn verb(run: &Run) -> String {
    if run.dry_run { format!("{} (dry run)", run.verb) } else { run.verb.clone() }
}

fn what(run: &Run) -> String {
    let counts = counts(&run.counts);
    match (&run.error, counts.is_empty()) {
        (Some(error), true) => error.clone(),
        (Some(error), false) => format!("{counts}; {error}"),
        (None, true) => "-".to_owned(),
        (None, false) => counts,
    }
}

/// The counts that aren't nought, in words: `read 120, already right 3`.
fn counts(counts: &Value) -> String {
    let Value::Object(counts) = counts else { return String::new() };
    let words: Vec<String> = counts
        .iter()
        .filter(|(_, count)| count.as_i64() != Some(0) && !count.is_null())
        .map(|(name, count)| format!("{} {count}", words(name)))
        .collect();
    words.join(", ")
}

/// `alreadyRight` → `already right`.
fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// `0.4 s`, `12 s`, `3 min 20 s`, `1 h 5 min`.
fn took(started: Timestamp, finished: Timestamp) -> String {
    let took = finished.duration_since(started).max(SignedDuration::ZERO);
    let seconds = took.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", took.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_that_are_nought_are_not_shown() {
        let cases = [
            (json!({"read": 120, "changed": 0, "alreadyRight": 3}), "already right 3, read 120"),
            (json!({"queued": 0}), ""),
            (json!({}), ""),
            (Value::Null, ""),
            (json!({"note": "by hand"}), "note \"by hand\""),
        ];
        for (value, expected) in cases {
            let mut words: Vec<String> = counts(&value).split(", ").map(str::to_owned).collect();
            words.sort_unstable();
            assert_eq!(words.join(", "), expected);
        }
    }

    #[test]
    fn a_duration_is_as_precise_as_a_person_needs() {
        let cases = [
            (0, "0.0 s"),
            (412, "0.4 s"),
            (12_999, "12 s"),
            (200_000, "3 min 20 s"),
            (3_900_000, "1 h 5 min"),
            (-5, "0.0 s"),
        ];
        for (millis, expected) in cases {
            let finished = Timestamp::from_millisecond(millis).unwrap();
            assert_eq!(took(Timestamp::UNIX_EPOCH, finished), expected);
        }
    }
}
