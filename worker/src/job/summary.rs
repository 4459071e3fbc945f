//! What a job did: for people, for programs, and for Kubernetes, which keeps a line of it.

use anyhow::Result;
use serde::Serialize;
use uuid::Uuid;
use watchstate_runtime::Exit;
use watchstate_runtime::metrics::Verb;
use watchstate_store::registry::Server;

use crate::contact::Trouble;
use crate::export::Planned;
use crate::output::Sheet;
use crate::{import, push};

/// The longest summary that Kubernetes keeps of a pod: 4096 bytes.
const SUMMARY_BYTES: usize = 4_096;

/// What a verb did at one server.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// The server.
    pub server: String,
    /// The verb.
    pub verb: &'static str,
    /// `done`, `try_again`, `configuration`, `held`, `busy`.
    pub outcome: String,
    /// What was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<import::Counts>,
    /// What was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<push::Counts>,
    /// What would be written, in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<Vec<Planned>>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// What the process would end with for this alone.
    #[serde(skip)]
    pub exit: Exit,
}

impl Report {
    pub(super) fn new(server: &Server, verb: Verb) -> Self {
        Self {
            server: server.name.clone(),
            verb: verb.as_str(),
            outcome: String::new(),
            read: None,
            written: None,
            planned: None,
            errors: Vec::new(),
            exit: Exit::Done,
        }
    }

    pub(super) fn ended(mut self, exit: Exit) -> Self {
        self.exit = exit;
        exit.as_str().clone_into(&mut self.outcome);
        self
    }

    pub(super) fn failed(mut self, trouble: &Trouble) -> Self {
        self.errors.push(trouble.message.clone());
        self.ended(trouble.exit)
    }

    /// Another worker is at it: nothing to do, and nothing wrong.
    pub(super) fn busy(mut self) -> Self {
        "busy".clone_into(&mut self.outcome);
        self
    }
}

/// What a process did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub job: Uuid,
    pub exit_code: u8,
    pub outcome: String,
    pub servers: Vec<Report>,
}

/// The summary in one line that fits a termination message: planned writes are counted, long errors cut.
pub(super) fn concise(summary: &Summary) -> Result<String> {
    let mut summary = summary.clone();
    for report in &mut summary.servers {
        report.planned = None;
    }
    let mut text = serde_json::to_string(&summary)?;
    let mut longest = 400;
    while text.len() > SUMMARY_BYTES && longest > 0 {
        for report in &mut summary.servers {
            report.errors.truncate(3);
            for error in &mut report.errors {
                *error = error.chars().take(longest).collect();
            }
        }
        longest /= 2;
        text = serde_json::to_string(&summary)?;
    }
    if text.len() > SUMMARY_BYTES {
        summary.servers.clear();
        text = serde_json::to_string(&summary)?;
    }
    Ok(text)
}

/// The summary as tables for people.
pub(super) fn sheets(summary: &Summary, dry_run: bool) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    let read = rows(summary, |report| {
        let counts = report.read.as_ref()?;
        Some(vec![
            counts.read,
            counts.new,
            counts.changed,
            counts.played + counts.played_again,
            counts.unplayed,
            counts.positions,
            counts.held,
            counts.unmatched,
            counts.conflicts,
        ])
    });
    if !read.is_empty() {
        let columns = vec![
            "read from",
            "items",
            "new",
            "changed",
            "plays",
            "un-plays",
            "positions",
            "held",
            "unmatched",
            "conflicts",
            "outcome",
        ];
        sheets.push(Sheet::new(columns, read));
    }
    let written = rows(summary, |report| {
        let counts = report.written.as_ref()?;
        Some(vec![counts.written, counts.already_right, counts.waiting, counts.dropped, counts.failed, counts.dead])
    });
    if !written.is_empty() {
        let columns =
            vec!["written to", "written", "already right", "waiting", "dropped", "failed", "given up", "outcome"];
        sheets.push(Sheet::new(columns, written));
    }
    if dry_run {
        let rows: Vec<Vec<String>> = summary
            .servers
            .iter()
            .flat_map(|report| report.planned.iter().flatten())
            .map(|planned| {
                vec![
                    planned.server.clone(),
                    planned.person.clone(),
                    planned.title.clone(),
                    planned.wanted.as_str().to_owned(),
                ]
            })
            .collect();
        let remark = format!("{} writes would be made. Dry run: nothing was stored or written.", rows.len());
        sheets.push(Sheet::new(vec!["would write to", "for", "title", "as"], rows).remark(remark));
    }
    for report in &summary.servers {
        if report.outcome == "busy" {
            sheets.push(
                Sheet::default().remark(format!("{}: another worker is at it ({}).", report.server, report.verb)),
            );
        }
        for error in &report.errors {
            sheets.push(Sheet::default().remark(format!("{} {}: {error}", report.verb, report.server)));
        }
    }
    if summary.exit_code == Exit::Held.code() {
        sheets.push(Sheet::default().remark("The brake holds un-plays: watchstate-worker held list"));
    }
    sheets
}

/// A row a server that has such numbers: its name, the numbers, and how it ended.
fn rows(summary: &Summary, numbers: impl Fn(&Report) -> Option<Vec<u64>>) -> Vec<Vec<String>> {
    let row = |report: &Report| {
        let numbers = numbers(report)?.into_iter().map(|number| number.to_string());
        Some([report.server.clone()].into_iter().chain(numbers).chain([report.outcome.clone()]).collect())
    };
    summary.servers.iter().filter_map(row).collect()
}
