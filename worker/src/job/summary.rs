//! What a job did: for people, for programs, and for Kubernetes, which keeps a line of it.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;
use watchstate_runtime::Exit;
use watchstate_runtime::metrics::Verb;
use watchstate_store::registry::Server;

use crate::contact::Trouble;
use crate::export::Planned;
use crate::output::{self, Sheet};
use crate::{import, push};

/// The longest summary that Kubernetes keeps of a pod: 4096 bytes.
const SUMMARY_BYTES: usize = 4_096;

/// Writes that a server still has to take, this run's and earlier ones.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Left {
    /// Those that are tried again.
    pub waiting: u64,
    /// When the first of them is tried next.
    pub next_try_at: Option<Timestamp>,
    /// Those that aren't.
    pub given_up: u64,
}

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
    /// Writes that are left in the outbox, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
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
            left: None,
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
        self.note(&trouble.message);
        self.ended(trouble.exit)
    }

    /// What went wrong, once: several accounts often meet the same trouble.
    pub(super) fn note(&mut self, error: &str) {
        if !self.errors.iter().any(|noted| noted == error) {
            self.errors.push(error.to_owned());
        }
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
    /// Plans that wait for a decision, by number: this run's and earlier ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_plans: Vec<i64>,
    /// Names that stand for one server, a sentence each.
    #[serde(skip)]
    pub twins: Vec<String>,
    /// How it was asked for.
    #[serde(skip)]
    pub asked: Asked,
}

/// How a job was asked for, as far as people wonder about what came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// Nothing was to be stored or written.
    pub dry_run: bool,
    /// The SyncSchedule that says so, where the command line doesn't.
    pub dry_by: Option<String>,
    /// Un-plays were to be let through.
    pub force: bool,
}

/// The summary in one line that fits a termination message: planned writes are counted, long errors cut.
pub(super) fn concise(summary: &Summary) -> Result<String> {
    let mut summary = summary.clone();
    for report in &mut summary.servers {
        report.planned = None;
    }
    summary.held_plans.truncate(20);
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
pub(super) fn sheets(summary: &Summary) -> Vec<Sheet> {
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
    sheets.extend(planned(summary));
    sheets.extend(remarks(summary).into_iter().map(|remark| Sheet::default().remark(remark)));
    sheets
}

/// What would be written, where that was asked for.
fn planned(summary: &Summary) -> Option<Sheet> {
    let planned: Vec<&Planned> =
        summary.servers.iter().filter_map(|report| report.planned.as_ref()).flatten().collect();
    if summary.servers.iter().all(|report| report.planned.is_none()) {
        return None;
    }
    let rows: Vec<Vec<String>> = planned
        .into_iter()
        .map(|planned| {
            vec![
                planned.server.clone(),
                planned.person.clone(),
                planned.title.clone(),
                planned.wanted.as_str().to_owned(),
            ]
        })
        .collect();
    let remark = format!("{} would be made.", counted(rows.len() as u64, "write"));
    Some(Sheet::new(vec!["would write to", "for", "title", "as"], rows).remark(remark))
}

/// What a person should know besides, a line each.
fn remarks(summary: &Summary) -> Vec<String> {
    let Asked { dry_run, dry_by, force } = &summary.asked;
    let mut remarks = Vec::new();
    if *dry_run {
        let because = dry_by.as_ref().map(|name| format!(", because SyncSchedule {name} has policy.dryRun"));
        remarks.push(format!("Dry run{}: nothing was stored or written.", because.unwrap_or_default()));
    }
    let busy = summary.servers.iter().filter(|report| report.outcome == "busy");
    remarks.extend(busy.map(|report| format!("{}: another worker is at it ({}).", report.server, report.verb)));
    remarks.extend(errors(summary));
    remarks.extend(summary.twins.iter().cloned());
    remarks.extend(
        summary
            .servers
            .iter()
            .filter_map(|report| Some((report.server.as_str(), report.left.as_ref()?)))
            .flat_map(left),
    );
    if *dry_run && summary.exit_code == Exit::Held.code() {
        let held = summary.servers.iter().filter_map(|report| report.read.as_ref()).map(|counts| counts.held).sum();
        remarks.push(format!("{} would be held.", counted(held, "un-play")));
    }
    let shown = match &summary.held_plans[..] {
        [] => return remarks,
        [plan] => format!(
            "The brake holds un-plays, plan {plan} waits for a decision: watchstate-worker held show {plan}, then held approve {plan} or held discard {plan}"
        ),
        plans => format!(
            "The brake holds un-plays, {} wait for a decision: watchstate-worker held list",
            counted(plans.len() as u64, "plan")
        ),
    };
    remarks.push(shown);
    if *force {
        remarks.push(
            "--force lets un-plays through as they are found; what is held already needs held approve.".to_owned(),
        );
    }
    remarks
}

/// Each error once, with the server's name once, and the verbs that met it.
fn errors(summary: &Summary) -> Vec<String> {
    let mut told: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for report in &summary.servers {
        for error in &report.errors {
            let error = output::without_name(error, &report.server);
            match told.iter_mut().find(|(server, known, _)| *server == report.server && *known == error) {
                Some((_, _, verbs)) => verbs.push(report.verb),
                None => told.push((&report.server, error, vec![report.verb])),
            }
        }
    }
    told.into_iter().map(|(server, error, verbs)| format!("{} {server}: {error}", verbs.join(" and "))).collect()
}

/// What an outbox still holds.
fn left((server, left): (&str, &Left)) -> Vec<String> {
    let mut lines = Vec::new();
    if left.waiting > 0 {
        let (waits, first) = if left.waiting == 1 { ("waits", "") } else { ("wait", ", the first") };
        let until =
            left.next_try_at.map(|at| format!("{first} until {} UTC", output::time(Some(at)))).unwrap_or_default();
        lines.push(format!(
            "{} to {server} {waits}{until}: watchstate-worker outbox list",
            counted(left.waiting, "write")
        ));
    }
    if left.given_up > 0 {
        let were = if left.given_up == 1 { "was" } else { "were" };
        lines.push(format!(
            "{} to {server} {were} given up: watchstate-worker outbox list --dead",
            counted(left.given_up, "write")
        ));
    }
    lines
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A row a server that has such numbers: its name, the numbers, and how it ended.
fn rows(summary: &Summary, numbers: impl Fn(&Report) -> Option<Vec<u64>>) -> Vec<Vec<String>> {
    let row = |report: &Report| {
        let numbers = numbers(report)?.into_iter().map(|number| number.to_string());
        Some([report.server.clone()].into_iter().chain(numbers).chain([report.outcome.clone()]).collect())
    };
    summary.servers.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(server: &str, verb: &'static str, errors: &[&str]) -> Report {
        Report {
            server: server.to_owned(),
            verb,
            outcome: "done".to_owned(),
            read: None,
            written: None,
            planned: None,
            left: None,
            errors: errors.iter().map(|error| (*error).to_owned()).collect(),
            exit: Exit::Done,
        }
    }

    fn summary(servers: Vec<Report>, held_plans: Vec<i64>, asked: Asked) -> Summary {
        Summary {
            job: Uuid::nil(),
            exit_code: 0,
            outcome: "done".to_owned(),
            servers,
            held_plans,
            twins: Vec::new(),
            asked,
        }
    }

    #[test]
    fn an_error_is_told_once_and_with_the_servers_name_once() {
        let servers = vec![
            report("emby", "import", &["emby: asking who it is failed: no connection", "server emby: no token"]),
            report("plex", "import", &["emby: odd"]),
            report("emby", "export", &["emby: asking who it is failed: no connection"]),
        ];
        let expected = [
            "import and export emby: asking who it is failed: no connection",
            "import emby: no token",
            "import plex: emby: odd",
        ];
        assert_eq!(remarks(&summary(servers, Vec::new(), Asked::default())), expected);
    }

    #[test]
    fn several_accounts_with_one_trouble_note_it_once() {
        let mut report = report("emby", "import", &["emby: away"]);
        report.note("emby: away");
        report.note("emby: full");
        assert_eq!(report.errors, ["emby: away", "emby: full"]);
    }

    #[test]
    fn what_waits_in_the_outbox_is_told_whatever_this_run_did() {
        let left = |waiting, given_up| {
            let next_try_at = Some(Timestamp::UNIX_EPOCH);
            let report =
                Report { left: Some(Left { waiting, next_try_at, given_up }), ..report("emby", "export", &[]) };
            remarks(&summary(vec![report], Vec::new(), Asked::default()))
        };
        assert_eq!(left(1, 0), ["1 write to emby waits until 1970-01-01 00:00:00 UTC: watchstate-worker outbox list"]);
        assert_eq!(
            left(3, 2),
            [
                "3 writes to emby wait, the first until 1970-01-01 00:00:00 UTC: watchstate-worker outbox list",
                "2 writes to emby were given up: watchstate-worker outbox list --dead",
            ]
        );
    }

    #[test]
    fn plans_that_wait_are_told_by_every_run_and_what_force_does_with_them() {
        let told = |plans: &[i64], force| {
            remarks(&summary(Vec::new(), plans.to_vec(), Asked { force, ..Asked::default() })).join("\n")
        };
        assert_eq!(told(&[], true), "");
        assert!(told(&[157], false).contains("held approve 157"), "{}", told(&[157], false));
        assert!(!told(&[157], false).contains("--force"));
        assert!(told(&[157], true).contains("--force") && told(&[157], true).contains("needs held approve"));
        assert!(told(&[157, 158], false).contains("2 plans wait for a decision: watchstate-worker held list"));
    }

    #[test]
    fn a_dry_run_says_whose_it_is_and_points_to_no_plan_of_its_own() {
        let counts = import::Counts { held: 12, ..import::Counts::default() };
        let read = Report { read: Some(counts), ..report("plex", "import", &[]) };
        let asked = Asked { dry_run: true, dry_by: Some("home".to_owned()), force: false };
        let dry = Summary { exit_code: Exit::Held.code(), ..summary(vec![read], Vec::new(), asked) };
        let expected = [
            "Dry run, because SyncSchedule home has policy.dryRun: nothing was stored or written.",
            "12 un-plays would be held.",
        ];
        assert_eq!(remarks(&dry), expected);
        assert!(planned(&dry).is_none(), "an import writes nowhere");
        let export = Report { planned: Some(Vec::new()), ..report("plex", "export", &[]) };
        let shown = planned(&summary(vec![export], Vec::new(), Asked::default())).expect("a table");
        assert_eq!(shown.remark.as_deref(), Some("0 writes would be made."));
    }
}
