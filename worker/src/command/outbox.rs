//! `outbox`: the writes that wait, and those that were given up.

use anyhow::Result;
use serde::Serialize;
use watchstate_runtime::Exit;
use watchstate_store::outbox::{self, Shown};

use crate::Misconfigured;
use crate::app::App;
use crate::args::OutboxVerb;
use crate::output::{self, Sheet};

/// Runs `outbox list` or `outbox retry`.
pub async fn run(app: &App, verb: OutboxVerb) -> Result<Exit> {
    match verb {
        OutboxVerb::List { dead, limit } => list(app, dead, limit).await,
        OutboxVerb::Retry { id } => retry(app, id).await,
    }
}

async fn list(app: &App, dead_only: bool, limit: i64) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    let writes = outbox::list(&mut connection, dead_only, limit).await?;
    output::print(app.format, &writes, |writes| {
        let rows = writes.iter().map(row).collect();
        vec![
            Sheet::new(
                vec!["write", "server", "for", "title", "as", "state", "tries", "next try (UTC)", "last error"],
                rows,
            )
            .remark(remark(writes, limit)),
        ]
    })?;
    Ok(Exit::Done)
}

fn row(write: &Shown) -> Vec<String> {
    let dead = write.state == "dead";
    vec![
        write.id.to_string(),
        write.server.clone(),
        write.person.clone(),
        write.title.clone(),
        write.want.clone(),
        if dead { "given up".to_owned() } else { write.state.clone() },
        write.attempts.to_string(),
        output::time((!dead).then_some(write.next_try_at)),
        output::or_dash(write.error.as_deref()),
    ]
}

fn remark(writes: &[Shown], limit: i64) -> String {
    if writes.is_empty() {
        return "Nothing waits.".to_owned();
    }
    let mut lines = Vec::new();
    if usize::try_from(limit).is_ok_and(|limit| writes.len() >= limit) {
        lines.push(format!("Only the {limit} oldest are shown; more with --limit."));
    }
    if writes.iter().any(|write| write.state == "dead") {
        lines.push("Try given-up writes again: watchstate-worker outbox retry, then watchstate-worker push".to_owned());
    }
    lines.join("\n")
}

/// What a retry did.
#[derive(Debug, Serialize)]
struct Retried {
    retried: u64,
}

async fn retry(app: &App, id: Option<i64>) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    let retried = outbox::retry(&mut connection, None, id, true, app.clock.now()).await?;
    if let Some(id) = id.filter(|_| retried == 0) {
        return Err(Misconfigured(format!("no write {id} waits or was given up; see `outbox list`")).into());
    }
    output::print(app.format, &Retried { retried }, |Retried { retried }| {
        let line = match retried {
            0 => "Nothing waits.".to_owned(),
            _ => format!("{retried} writes are tried again by the next push; at once: watchstate-worker push"),
        };
        vec![Sheet::default().remark(line)]
    })?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn shown(state: &str) -> Shown {
        Shown {
            id: 9,
            server: "emby".into(),
            person: "anna".into(),
            title: "Heat".into(),
            want: "played".into(),
            state: state.into(),
            attempts: 10,
            next_try_at: Timestamp::UNIX_EPOCH,
            error: Some("answered 500".into()),
        }
    }

    #[test]
    fn a_write_that_was_given_up_has_no_next_try_and_says_what_to_do() {
        assert_eq!(row(&shown("dead"))[5..8], ["given up", "10", "-"].map(str::to_owned));
        assert_eq!(row(&shown("pending"))[5..8], ["pending", "10", "1970-01-01 00:00:00"].map(str::to_owned));
        assert!(remark(&[shown("dead")], 200).contains("outbox retry"));
        assert_eq!(remark(&[shown("pending")], 200), "");
    }

    #[test]
    fn a_list_that_is_cut_says_so() {
        assert!(remark(&[shown("pending")], 1).contains("--limit"));
    }
}
