//! `held`: the un-plays that the brake holds; a person lets them through or refuses them.

use anyhow::Result;
use serde::Serialize;
use watchstate_runtime::Exit;
use watchstate_store::plans::{self, Plan, PlannedUnplay};

use crate::Misconfigured;
use crate::app::App;
use crate::args::HeldVerb;
use crate::import::unplays;
use crate::output::{self, Sheet};

/// More titles of one plan are not shown; `approve` and `discard` take all.
const TITLES: i64 = 100_000;

/// Runs `held list`, `show`, `approve` or `discard`.
pub async fn run(app: &App, verb: HeldVerb) -> Result<Exit> {
    match verb {
        HeldVerb::List { all } => list(app, all).await,
        HeldVerb::Show { plan } => show(app, plan).await,
        HeldVerb::Approve { plan: Some(plan), .. } => {
            let unplays = unplays::approve(app, plan).await?;
            decided(app, &Decided { plan, decision: "approved", unplays })
        }
        HeldVerb::Approve { plan: None, run } => approve_run(app, run.unwrap_or_default()).await,
        HeldVerb::Discard { plan } => {
            let unplays = unplays::discard(app, plan).await?;
            decided(app, &Decided { plan, decision: "discarded", unplays })
        }
    }
}

/// Lets through what a run found. Said twice, as after a pod was lost, it does nothing the second time.
async fn approve_run(app: &App, run: i64) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    let waiting = plans::of_run(&mut connection, run, plans::State::Held).await?;
    let approved = plans::of_run(&mut connection, run, plans::State::Approved).await?;
    drop(connection);
    if waiting.is_empty() && approved.is_empty() {
        return Err(Misconfigured(format!("run {run} has no plan that waits; see `held list`")).into());
    }
    for plan in waiting {
        let unplays = unplays::approve(app, plan).await?;
        decided(app, &Decided { plan, decision: "approved", unplays })?;
    }
    Ok(Exit::Done)
}

async fn list(app: &App, all: bool) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    let plans = plans::list(&mut connection, all, None).await?;
    output::print(app.format, &plans, |plans| {
        let remark = if plans.is_empty() {
            "The brake holds nothing."
        } else {
            "watchstate-worker held show PLAN lists the titles; approve or discard decides."
        };
        vec![Sheet::new(columns(), plans.iter().map(row).collect()).remark(remark)]
    })?;
    Ok(Exit::Done)
}

/// A plan with its titles.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    plan: Plan,
    titles: Vec<PlannedUnplay>,
}

async fn show(app: &App, id: i64) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    let Some(plan) = plans::list(&mut connection, true, Some(id)).await?.pop() else {
        return Err(Misconfigured(format!("there is no plan {id}; see `held list --all`")).into());
    };
    let titles = plans::show(&mut connection, id, TITLES).await?;
    output::print(app.format, &Shown { plan, titles }, |shown| {
        let rows = shown
            .titles
            .iter()
            .map(|unplay| vec![unplay.title.clone(), output::time(unplay.played_at), unplay.item.clone()])
            .collect();
        vec![
            Sheet::new(columns(), vec![row(&shown.plan)]),
            Sheet::new(vec!["title", "last watched (UTC)", "item"], rows).remark(next(&shown.plan)),
        ]
    })?;
    Ok(Exit::Done)
}

fn columns() -> Vec<&'static str> {
    vec!["plan", "server", "person", "un-plays", "of played", "state", "found (UTC)", "decided (UTC)"]
}

fn row(plan: &Plan) -> Vec<String> {
    vec![
        plan.id.to_string(),
        plan.server.clone(),
        plan.person.clone(),
        plan.unplays.to_string(),
        plan.played.to_string(),
        plan.state.clone(),
        output::time(Some(plan.created_at)),
        output::time(plan.decided_at),
    ]
}

/// What can be done about a plan.
fn next(plan: &Plan) -> String {
    if plan.state != plans::State::Held.as_str() {
        return format!("Plan {} waits for no decision: it is {}.", plan.id, plan.state);
    }
    let Plan { id, server, person, .. } = plan;
    format!(
        "{server} says that {person} has watched none of these any more.\n\
         watchstate-worker held approve {id}   un-plays exactly these on all servers\n\
         watchstate-worker held discard {id}   keeps them played; {server} is told so again"
    )
}

/// What was decided.
#[derive(Debug, Serialize)]
struct Decided {
    plan: i64,
    decision: &'static str,
    unplays: u64,
}

fn decided(app: &App, decided: &Decided) -> Result<Exit> {
    output::print(app.format, decided, |decided| {
        let Decided { plan, decision, unplays } = decided;
        let effect = if *decision == "approved" {
            "are un-played now; the other servers are told by the next export"
        } else {
            "stay played; their server is told so again by the next export"
        };
        vec![Sheet::default().remark(format!(
            "Plan {plan} is {decision}: {unplays} titles {effect}.\nTo do it at once: watchstate-worker export"
        ))]
    })?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn plan(state: &str) -> Plan {
        Plan {
            id: 4,
            run: 1,
            server: "plex".into(),
            person: "anna".into(),
            state: state.into(),
            unplays: 25,
            played: 30,
            created_at: Timestamp::UNIX_EPOCH,
            decided_at: None,
            account_id: 1,
            verb: "import".into(),
            schedule: None,
        }
    }

    #[test]
    fn a_plan_that_waits_names_both_commands_that_end_it() {
        let text = next(&plan("held"));
        assert!(text.contains("held approve 4") && text.contains("held discard 4"), "{text}");
    }

    #[test]
    fn a_decided_plan_offers_no_command() {
        assert_eq!(next(&plan("approved")), "Plan 4 waits for no decision: it is approved.");
    }
}
