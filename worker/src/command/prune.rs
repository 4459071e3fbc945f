//! `prune`: old runs and events go, and what no server has any more. What somebody watched stays for ever, and when it was watched last.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use watchstate_runtime::Exit;
use watchstate_store::inbox;
use watchstate_store::runs::{self, Pruned};

use crate::app::App;
use crate::args::PruneArgs;
use crate::output::{self, Sheet};

/// Days that runs, finished writes and webhook events are kept where nobody says otherwise.
const KEEP_RUNS: u32 = 30;
/// As above, for finished writes and webhook events.
const KEEP_EVENTS: u32 = 30;
/// As above, for what no server has any more.
const KEEP_TITLES: u32 = 90;

/// What was pruned, and by which limits.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    dry_run: bool,
    before: Limits,
    removed: Pruned,
}

/// What is older than these moments goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Limits {
    runs: Timestamp,
    events: Timestamp,
    titles: Timestamp,
    /// None: all viewings are kept.
    history: Option<Timestamp>,
}

/// Prunes in one transaction, which a dry run takes back.
pub async fn run(app: &App, args: &PruneArgs) -> Result<Exit> {
    let before = limits(args, &app.policy.keep_ms, app.clock.now());
    let mut transaction = app.store.begin().await?;
    let removed = runs::prune(&mut transaction, before.runs, before.events, before.titles, before.history).await?;
    inbox::forget_requests(&mut transaction, app.clock.now()).await?;
    if args.dry_run {
        transaction.rollback().await.map_err(watchstate_store::StoreError::from)?;
    } else {
        transaction.commit().await.map_err(watchstate_store::StoreError::from)?;
    }
    output::print(app.format, &Report { dry_run: args.dry_run, before, removed }, |report| vec![sheet(report)])?;
    Ok(Exit::Done)
}

/// The option, else what the SyncSchedule says, else the default.
fn limits(args: &PruneArgs, keep_ms: &BTreeMap<String, u64>, now: Timestamp) -> Limits {
    let before = |option: Option<SignedDuration>, name: &str, default: u32| {
        let days = |days: u32| SignedDuration::from_hours(i64::from(days) * 24);
        let configured =
            keep_ms.get(name).map(|ms| SignedDuration::from_millis(i64::try_from(*ms).unwrap_or(i64::MAX)));
        let keep = option.or(configured).unwrap_or_else(|| days(default));
        // The database knows no moments as old as some numbers of days would mean.
        now.checked_sub(keep).unwrap_or(Timestamp::UNIX_EPOCH).max(Timestamp::UNIX_EPOCH)
    };
    // A SyncSchedule that prunes and names no limit for titles keeps them for ever.
    let titles_for_ever = args.keep_titles.is_none() && keep_ms.contains_key("runs") && !keep_ms.contains_key("items");
    Limits {
        runs: before(args.keep_runs, "runs", KEEP_RUNS),
        events: before(args.keep_events, "events", KEEP_EVENTS),
        history: (args.keep_history.is_some() || keep_ms.contains_key("history"))
            .then(|| before(args.keep_history, "history", u32::MAX)),
        titles: if titles_for_ever { Timestamp::UNIX_EPOCH } else { before(args.keep_titles, "items", KEEP_TITLES) },
    }
}

fn sheet(report: &Report) -> Sheet {
    let Pruned { runs, writes, events, items, titles, viewings } = report.removed;
    let Limits { runs: runs_before, events: events_before, titles: titles_before, history } = report.before;
    let row = |what: &str, count: u64, before| vec![what.to_owned(), output::time(Some(before)), count.to_string()];
    let mut rows = vec![
        row("runs", runs, runs_before),
        row("finished writes", writes, events_before),
        row("webhook events", events, events_before),
        row("items that no server shows any more", items, titles_before),
        row("titles without item and without history", titles, titles_before),
    ];
    rows.extend(history.map(|before| row("viewings of titles that were watched again later", viewings, before)));
    let count = if report.dry_run { "would go" } else { "removed" };
    let sheet = Sheet::new(vec!["what", "older than (UTC)", count], rows);
    if report.dry_run { sheet.remark("Dry run: nothing was removed.") } else { sheet }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_that_prunes_and_names_no_limit_for_titles_keeps_them_for_ever() {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let args = |keep_titles| PruneArgs {
            keep_runs: None,
            keep_events: None,
            keep_titles,
            keep_history: None,
            dry_run: false,
        };
        let scheduled = BTreeMap::from([("runs".to_owned(), 1), ("events".to_owned(), 1)]);
        assert_eq!(limits(&args(None), &scheduled, now).titles, Timestamp::UNIX_EPOCH);
        assert!(limits(&args(Some(SignedDuration::from_hours(24))), &scheduled, now).titles > Timestamp::UNIX_EPOCH);
        assert!(limits(&args(None), &BTreeMap::new(), now).titles > Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn an_option_beats_the_schedule_and_the_schedule_the_default() {
        let now: Timestamp = "2026-06-30T00:00:00Z".parse().unwrap();
        let day = 86_400_000;
        let keep = BTreeMap::from([("events".to_owned(), 7 * day), ("items".to_owned(), 10 * day)]);
        let args = PruneArgs {
            keep_runs: None,
            keep_events: None,
            keep_titles: Some(SignedDuration::from_hours(24)),
            keep_history: None,
            dry_run: false,
        };
        let limits = limits(&args, &keep, now);
        assert_eq!(limits.runs.to_string(), "2026-05-31T00:00:00Z");
        assert_eq!(limits.events.to_string(), "2026-06-23T00:00:00Z");
        assert_eq!(limits.titles.to_string(), "2026-06-29T00:00:00Z");
        assert_eq!(limits.history, None, "nobody asked for it");
        let keep = BTreeMap::from([("history".to_owned(), 10 * day)]);
        assert_eq!(
            super::limits(&args, &keep, now).history.map(|at| at.to_string()).as_deref(),
            Some("2026-06-20T00:00:00Z")
        );
    }

    #[test]
    fn numbers_beyond_all_time_keep_everything() {
        let now: Timestamp = "2026-06-30T00:00:00Z".parse().unwrap();
        let keep = BTreeMap::from([("events".to_owned(), u64::MAX)]);
        let args = PruneArgs {
            keep_runs: Some(SignedDuration::MAX),
            keep_events: None,
            keep_titles: Some(SignedDuration::ZERO),
            keep_history: None,
            dry_run: false,
        };
        let limits = limits(&args, &keep, now);
        assert_eq!((limits.runs, limits.events), (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH));
        assert_eq!(limits.titles, now);
    }
}
