//! Decides all of an apply at once, from the documents and what is there now. Pure: whatever is wrong is found before anything is touched.

use std::collections::BTreeMap;

use watchstate_crds::{MediaServer, SyncSchedule};
use watchstate_projection::household::{self, Users};
use watchstate_projection::policy;
use watchstate_store::registry::{SchedulePolicy, WantedServer};

use super::credentials::{self, Resolved};
use super::diff::{self, Action, Change};
use super::documents::{Documents, Named};
use crate::secrets::{Held, WantedSecrets};

/// What is there now.
#[derive(Debug, Clone, Default)]
pub struct Current {
    /// The registry's servers.
    pub servers: Vec<WantedServer>,
    /// The registry's schedules.
    pub schedules: Vec<(String, SchedulePolicy)>,
    /// The secrets of the servers in the documents, by server.
    pub secrets: BTreeMap<String, Held>,
}

/// What is to be done.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Servers to put into the registry: those that differ.
    pub servers: Vec<WantedServer>,
    /// What the folders of all servers in the documents shall hold.
    pub secrets: Vec<(String, WantedSecrets)>,
    /// Schedules to put into the registry: those that differ.
    pub schedules: Vec<(String, SchedulePolicy)>,
    /// Servers that go, with their secrets.
    pub removed_servers: Vec<String>,
    /// Schedules that go.
    pub removed_schedules: Vec<String>,
    /// All of it, for people.
    pub changes: Vec<Change>,
    /// What a person should know besides.
    pub remarks: Vec<String>,
}

/// Plans what makes the registry hold what the documents say; with `prune` it holds nothing else then.
///
/// # Errors
/// Everything that is wrong between the documents, or between them and the registry: one sentence each, with file and resource.
pub fn plan(documents: &Documents, current: &Current, prune: bool) -> Result<Plan, Vec<String>> {
    let named = |name: &str| documents.servers.iter().any(|server| server.name == name);
    let (_, others): (Vec<_>, Vec<_>) = current.servers.iter().partition(|server| named(&server.name));
    let (kept, removed) = if prune { (Vec::new(), others) } else { (others, Vec::new()) };

    let mut problems = Vec::new();
    let mut plan = Plan::default();
    let users = users(documents, &kept, &mut problems);
    let left = left_behind(current, &users, &kept);
    let empty = Held::new();
    for (server, users) in documents.servers.iter().zip(users) {
        let before = current.servers.iter().find(|before| before.name == server.name);
        let held = current.secrets.get(&server.name).unwrap_or(&empty);
        match wanted(server, users, before, documents, held) {
            Ok((wanted, secrets, remark)) => {
                plan.remarks.extend(remark.map(|remark| format!("MediaServer {}: {remark}.", server.name)));
                let change = diff::server(before, &wanted, held, &secrets);
                if change.change != Action::Unchanged {
                    plan.servers.push(wanted);
                }
                plan.changes.push(change);
                plan.secrets.push((server.name.clone(), secrets));
            }
            Err(found) => problems.extend(found.iter().map(|problem| server.problem(problem))),
        }
    }
    for schedule in &documents.schedules {
        match scheduled(schedule, documents, &kept) {
            Ok(policy) => {
                let before =
                    current.schedules.iter().find(|(name, _)| *name == schedule.name).map(|(_, policy)| policy);
                let change = diff::schedule(&schedule.name, before, &policy);
                if change.change != Action::Unchanged {
                    plan.schedules.push((schedule.name.clone(), policy));
                }
                plan.changes.push(change);
            }
            Err(problem) => problems.push(schedule.problem(problem)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    for server in removed {
        plan.changes.push(diff::removed("MediaServer", &server.name));
        plan.removed_servers.push(server.name.clone());
    }
    if prune {
        let unnamed = |name: &str| documents.schedules.iter().all(|schedule| schedule.name != name);
        for (name, _) in current.schedules.iter().filter(|(name, _)| unnamed(name)) {
            plan.changes.push(diff::removed("SyncSchedule", name));
            plan.removed_schedules.push(name.clone());
        }
    }
    plan.remarks.extend(remarks(documents, &kept));
    plan.remarks.extend(left);
    Ok(plan)
}

/// Persons who have an account now and none any more: their plays are kept, and under their old name nothing brings them to a server.
fn left_behind(current: &Current, users: &[Users], kept: &[&WantedServer]) -> Vec<String> {
    let stay = household::persons(users.iter().chain(kept.iter().map(|server| &server.users)));
    let were = household::persons(current.servers.iter().map(|server| &server.users));
    were.difference(&stay)
        .map(|person| {
            format!(
                "No account is {person}'s any more; what {person} watched stays stored. To give it to somebody who bears another name now: \
                 watchstate-worker backup --to DIR --person {person}, then watchstate-worker restore FILE --person NAME --execute."
            )
        })
        .collect()
}

/// Who watches at each of the documents' servers; where that can't be told, a problem and what the document says.
fn users(documents: &Documents, kept: &[&WantedServer], problems: &mut Vec<String>) -> Vec<Users> {
    let named: Vec<(&str, Users)> =
        documents.servers.iter().map(|server| (server.name.as_str(), named_users(server))).collect();
    let kept: Vec<Users> = kept.iter().map(|server| server.users.clone()).collect();
    let settled = household::settle(&named, &kept);
    let mut users = Vec::new();
    for (server, settled) in documents.servers.iter().zip(settled) {
        users.push(settled.unwrap_or_else(|problem| {
            problems.push(format!("{}: {problem}", server.source));
            Users::new()
        }));
    }
    users
}

fn named_users(server: &Named<MediaServer>) -> Users {
    server.resource.spec.users.iter().map(|user| (user.person.clone(), user.account.clone())).collect()
}

fn wanted(
    server: &Named<MediaServer>,
    users: Users,
    before: Option<&WantedServer>,
    documents: &Documents,
    held: &Held,
) -> Result<(WantedServer, WantedSecrets, Option<String>), Vec<String>> {
    let spec = &server.resource.spec;
    let kind = policy::kind(spec.server_type);
    let webhook_known = before.is_some_and(|before| before.webhook_token_sha256.is_some());
    let resolved = credentials::resolve(spec, &documents.secrets, held, webhook_known);
    let mut problems = Vec::new();
    if let Some(before) = before.filter(|before| before.kind != kind) {
        problems.push(format!(
            "spec.type: it is {} until now, and the type of a MediaServer can't be changed: give the {kind} server another name, or remove \
             this one first (apply --prune without it)",
            before.kind
        ));
    }
    match resolved {
        Ok(Resolved { secrets, webhook_token_sha256, remark }) if problems.is_empty() => {
            let policy = policy::server_policy(spec);
            let name = server.name.clone();
            Ok((
                WantedServer { name, kind, url: spec.url.clone(), policy, users, webhook_token_sha256 },
                secrets,
                remark,
            ))
        }
        resolved => {
            problems.extend(resolved.err().into_iter().flatten());
            Err(problems)
        }
    }
}

fn scheduled(
    schedule: &Named<SyncSchedule>,
    documents: &Documents,
    kept: &[&WantedServer],
) -> Result<SchedulePolicy, String> {
    let spec = &schedule.resource.spec;
    let labelled: Vec<_> = documents
        .servers
        .iter()
        .map(|server| (server.name.as_str(), server.resource.metadata.labels.as_ref()))
        .collect();
    let known: Vec<&str> =
        labelled.iter().map(|(name, _)| *name).chain(kept.iter().map(|server| server.name.as_str())).collect();
    let servers = policy::selected(spec.servers.as_ref(), &labelled, &known)?;
    Ok(policy::schedule_policy(spec, servers))
}

fn remarks(documents: &Documents, kept: &[&WantedServer]) -> Vec<String> {
    let mut remarks = Vec::new();
    let documented: Vec<Users> = documents.servers.iter().map(named_users).collect();
    let all = || documented.iter().chain(kept.iter().map(|server| &server.users));
    for (one, other) in household::twins(all()) {
        remarks.push(format!(
            "The persons {one} and {other} differ by capitals only and are two persons: if they are one, write the name alike everywhere."
        ));
    }
    if kept.is_empty() {
        return remarks;
    }
    let names = kept.iter().map(|server| server.name.as_str()).collect::<Vec<_>>().join(", ");
    remarks.push(format!("Not in the files, and left as they are: {names}. --prune removes them."));
    for server in kept {
        let nameless = |(person, account): &&(String, String)| person == household::NAMELESS && account.is_empty();
        let others = || all().flatten().any(|(person, _)| person != household::NAMELESS);
        if server.users.iter().any(|user| nameless(&user)) && others() {
            remarks.push(format!(
                "The account of MediaServer {}'s token belongs to nobody by name ({}), and persons have names now: apply it together with the \
                 others, or its plays stay its own.",
                server.name,
                household::NAMELESS
            ));
        }
    }
    for schedule in &documents.schedules {
        if schedule.resource.spec.servers.as_ref().is_some_and(|servers| servers.match_labels.is_some()) {
            remarks.push(format!(
                "SyncSchedule {} chooses by labels, which are known of servers in the files only: {names} can't take part.",
                schedule.name
            ));
        }
    }
    remarks
}

#[cfg(test)]
mod tests;
