//! `restore`: reads a backup and merges it; nothing that is known is ever taken away. A dry run unless `--execute`.
//!
//! [`read`] gives the lines, every one checked before the first is stored · [`place`] finds their titles, or makes them · [`merge`] joins
//! states and histories.

mod merge;
mod place;
mod read;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use watchstate_domain::matching::TitleId;
use watchstate_runtime::Exit;
use watchstate_store::locks::{self, Titles};
use watchstate_store::watches::{self, Changed, Told};
use watchstate_store::{Connection, registry, report, restored, transaction};

use self::merge::{Known, What};
use self::place::Places;
use self::read::Lines;
use crate::app::App;
use crate::args::RestoreArgs;
use crate::command::backup::format::Line;
use crate::output::{self, Sheet};

/// What a restored truth names as the server whose word it was, and as its rule.
pub const RULE: &str = "restore";
/// Lines that are stored at a time.
const BATCH: usize = 500;
/// Lines that the report names, of each kind.
const NAMED: usize = 50;

/// What was restored, or would be.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "one a fact of the report")]
struct Report {
    person: String,
    /// Nobody of that name was known.
    new_person: bool,
    executed: bool,
    /// No server has an account of theirs.
    without_account: bool,
    /// It was told to end before it was through; what is counted is stored.
    interrupted: bool,
    /// Titles in the file.
    lines: u64,
    /// Titles that weren't known.
    new_titles: u64,
    /// Titles that turned out to be one.
    joined_titles: u64,
    /// Viewings that weren't known.
    plays_added: u64,
    /// Titles that count as played now and didn't.
    played: u64,
    /// Titles that no longer count as played: the file knows a later un-play.
    unplayed: u64,
    /// Titles with another position.
    positions: u64,
    /// Titles of which only the moment of the last play or un-play moved.
    redated: u64,
    /// Titles that were known as the file has them.
    unchanged: u64,
    /// Titles whose ids contradict a known title's: kept apart.
    conflicts: u64,
    /// Lines that nothing can be matched by: not restored.
    unmatched: u64,
    /// The first changes.
    changes: Vec<Named>,
    /// The first lines that weren't restored.
    unmatched_lines: Vec<Named>,
}

/// A line of the file.
#[derive(Debug, Serialize)]
struct Named {
    line: u64,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'static str>,
}

/// Restores a file, or tells what that would do.
pub async fn run(app: &App, args: &RestoreArgs) -> Result<Exit> {
    let stdin = args.file == Path::new("-");
    let now = app.clock.now();
    if !stdin {
        read::check(&args.file, now)?;
    }
    let mut lines = Lines::open(&args.file, now)?;
    let person = args.person.clone().unwrap_or_else(|| lines.header.person.clone());
    let mut connection = app.store.acquire().await?;
    // What can't be read twice is checked while it is stored: then all of it is one transaction. So is a dry run, which is taken back.
    let report = if stdin || !args.execute {
        let mut transaction = transaction::begin(&mut connection).await?;
        let report = restore(app, &person, &mut lines, &mut transaction).await?;
        if args.execute && !report.interrupted {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        report
    } else {
        restore(app, &person, &mut lines, &mut connection).await?
    };
    let stored = args.execute && !(stdin && report.interrupted);
    let without_account = registry::accounts(&mut connection).await?.iter().all(|account| account.person != person);
    let report = Report { executed: stored, without_account, ..report };
    let exit = if report.interrupted { Exit::TryAgain } else { Exit::Done };
    output::print(app.format, &report, sheets)?;
    Ok(exit)
}

/// Stores the lines in batches, each a transaction of its own, or a part of the one that is under way.
async fn restore(app: &App, person: &str, lines: &mut Lines, connection: &mut Connection) -> Result<Report> {
    let known = report::persons(connection).await?.into_iter().any(|(_, name)| name == person);
    let person_id = restored::person(connection, person).await?;
    let mut report = Report { person: person.to_owned(), new_person: !known, ..Report::default() };
    let mut places = Places::default();
    loop {
        if app.stop.is_cancelled() {
            report.interrupted = true;
            return Ok(report);
        }
        let batch = lines.batch(BATCH)?;
        if batch.is_empty() {
            return Ok(report);
        }
        let mut transaction = transaction::begin(connection).await?;
        locks::titles(&mut transaction, Titles::Change).await?;
        store(app, person_id, &batch, &mut places, &mut report, &mut transaction).await?;
        transaction.commit().await?;
    }
}

async fn store(
    app: &App,
    person_id: i64,
    batch: &[(u64, Line)],
    places: &mut Places,
    report: &mut Report,
    connection: &mut Connection,
) -> Result<()> {
    let now = app.clock.now();
    let found = places.batch(batch, now, connection).await?;
    report.lines += batch.len() as u64;
    report.new_titles += found.created;
    report.joined_titles += found.joined;
    report.conflicts += found.conflicts;
    let keys: Vec<TitleId> = found.titles.iter().copied().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    let mut agreed = watches::lock(connection, person_id, &keys, now).await?;
    let mut histories = watches::histories(connection, person_id, &keys).await?;
    let mut known: HashMap<TitleId, Known> = keys
        .iter()
        .map(|key| {
            let (history, runtime_ms) = histories.remove(key).unwrap_or_default();
            (*key, Known::new(&agreed.remove(key).unwrap_or_default(), history, runtime_ms))
        })
        .collect();
    for ((number, line), title) in batch.iter().zip(&found.titles) {
        if let Some(known) = title.and_then(|title| known.get_mut(&title)) {
            report.merged(*number, line, known);
        } else {
            report.unmatched += 1;
            name(&mut report.unmatched_lines, *number, line, None);
        }
    }
    let changed: Vec<Changed> = known
        .iter()
        .filter(|(_, known)| known.state_changed())
        .map(|(title, known)| Changed {
            title_id: *title,
            watch: known.watch,
            played_at: known.history.last_played_at(),
            via: RULE.to_owned(),
            rule: RULE.to_owned(),
        })
        .collect();
    watches::save(connection, person_id, &changed, now).await?;
    let told: Vec<_> = known
        .iter()
        .filter(|(_, known)| known.history_changed())
        .map(|(title, known)| Told { title_id: *title, before: known.history_before(), history: &known.history })
        .collect();
    watches::save_histories(connection, person_id, &told).await?;
    Ok(())
}

impl Report {
    fn merged(&mut self, number: u64, line: &Line, known: &mut Known) {
        let merged = known.merge(line);
        self.plays_added += merged.plays_added;
        let count = match merged.what {
            What::Nothing => &mut self.unchanged,
            What::Played => &mut self.played,
            What::Unplayed => &mut self.unplayed,
            What::Position => &mut self.positions,
            What::Moment => &mut self.redated,
            What::History => return name(&mut self.changes, number, line, Some(What::History.word())),
        };
        *count += 1;
        if merged.what != What::Nothing {
            name(&mut self.changes, number, line, Some(merged.what.word()));
        }
    }
}

fn name(named: &mut Vec<Named>, number: u64, line: &Line, what: Option<&'static str>) {
    if named.len() < NAMED {
        named.push(Named { line: number, title: line.label(), what });
    }
}

fn sheets(report: &Report) -> Vec<Sheet> {
    let row = |what: &str, count: u64| vec![what.to_owned(), count.to_string()];
    let rows: Vec<Vec<String>> = [
        row("titles in the file", report.lines),
        row("new titles", report.new_titles),
        row("plays added", report.plays_added),
        row("played now", report.played),
        row("un-played now", report.unplayed),
        row("position moved", report.positions),
        row("moment of the mark moved", report.redated),
        row("unchanged", report.unchanged),
        row("titles joined", report.joined_titles),
        row("kept apart by contradicting ids", report.conflicts),
        row("not restored: nothing to match by", report.unmatched),
    ]
    .into_iter()
    .enumerate()
    .filter(|(position, row)| *position < 3 || row[1] != "0")
    .map(|(_, row)| row)
    .collect();
    let new = if report.new_person { ", who wasn't known" } else { "" };
    let mut sheets =
        vec![Sheet::new(vec!["what", "count"], rows).heading(format!("Restore for {}{new}", report.person))];
    let named = |named: &[Named]| {
        named
            .iter()
            .map(|one| vec![one.line.to_string(), one.title.clone(), output::or_dash(one.what)])
            .collect::<Vec<_>>()
    };
    if !report.changes.is_empty() {
        let more = if report.changes.len() == NAMED { "Further changes are counted above only." } else { "" };
        sheets.push(Sheet::new(vec!["line", "title", "change"], named(&report.changes)).remark(more));
    }
    if !report.unmatched_lines.is_empty() {
        let heading = "Not restored: no ids, no place in a known show, and no single title of that name";
        sheets.push(Sheet::new(vec!["line", "title", ""], named(&report.unmatched_lines)).heading(heading));
    }
    let nothing_new = report.unchanged + report.unmatched == report.lines;
    let end = match (report.interrupted, report.executed) {
        (true, true) => {
            "Told to end before it was through. What is counted above is stored; restore again for the rest."
        }
        (true, false) => "Told to end before it was through. Nothing was stored.",
        (false, _) if nothing_new => "There is nothing new in it.",
        (false, true) if report.without_account => "Stored.",
        (false, true) => "Stored. The servers are told by the next export; at once: watchstate-worker export",
        (false, false) => "Dry run: nothing was stored. Do it with --execute.",
    };
    sheets.push(Sheet::default().remark(end));
    if report.without_account {
        let person = &report.person;
        sheets.push(Sheet::default().remark(format!(
            "No account is {person}'s: nothing will be written anywhere, until a MediaServer names {person} among its users. Somebody else's history: --person NAME"
        )));
    }
    sheets
}
