//! `inbox`: what webhooks brought, and what became of it. Answers "why was this ignored?".

use anyhow::Result;
use serde::Serialize;
use watchstate_runtime::Exit;
use watchstate_store::inbox::{self, Filter, KeptRequest, Shown, Verdict};
use watchstate_store::registry;
use watchstate_store::wake::{self, Channel};

use crate::app::App;
use crate::args::InboxVerb;
use crate::command::servers;
use crate::output::{self, Sheet};
use crate::{Misconfigured, events};

/// Runs `inbox list`, `show`, `replay` or `requests`.
pub async fn run(app: &App, verb: InboxVerb) -> Result<Exit> {
    match verb {
        InboxVerb::List { verdict, server, title, limit } => {
            let filter = Filter { id: None, verdict, server: server.as_deref(), title: title.as_deref() };
            list(app, &filter, limit).await
        }
        InboxVerb::Show { event } => show(app, event).await,
        InboxVerb::Replay { event } => replay(app, event).await,
        InboxVerb::Requests { limit } => requests(app, limit).await,
    }
}

async fn list(app: &App, filter: &Filter<'_>, limit: i64) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    if let Some(name) = filter.server {
        servers::named(&registry::servers(&mut connection).await?, name)?;
    }
    let events = inbox::list(&mut connection, filter, limit).await?;
    output::print(app.format, &events, |events| {
        let rows = events.iter().map(row).collect();
        let columns = vec!["event", "received (UTC)", "server", "for", "what", "title", "verdict", "why"];
        vec![Sheet::new(columns, rows).remark(remark(events, filter, limit))]
    })?;
    Ok(Exit::Done)
}

fn row(event: &Shown) -> Vec<String> {
    vec![
        event.id.to_string(),
        output::time(Some(event.received_at)),
        output::or_dash(event.server.as_deref()),
        output::or_dash(event.person.as_deref()),
        event.event.clone(),
        output::or_dash(event.title.as_deref()),
        event.verdict.as_str().to_owned(),
        output::or_dash(event.reason.as_deref()),
    ]
}

fn remark(events: &[Shown], filter: &Filter<'_>, limit: i64) -> String {
    if events.is_empty() && (filter.verdict.is_some() || filter.server.is_some() || filter.title.is_some()) {
        return "No event that has come fits these options.".to_owned();
    }
    if events.is_empty() {
        return "No event has come. The address to paste into a server: watchstate-worker servers token NAME"
            .to_owned();
    }
    let cut = usize::try_from(limit).is_ok_and(|limit| events.len() >= limit);
    if cut { format!("Only the {limit} newest are shown; more with --limit.") } else { String::new() }
}

async fn one(app: &App, id: i64) -> Result<Shown> {
    let mut connection = app.store.acquire().await?;
    let filter = Filter { id: Some(id), ..Filter::default() };
    let event = inbox::list(&mut connection, &filter, 1).await?.pop();
    event.ok_or_else(|| Misconfigured(format!("there is no event {id}; see `inbox list`")).into())
}

async fn show(app: &App, id: i64) -> Result<Exit> {
    let event = one(app, id).await?;
    output::print(app.format, &event, |event| vec![sheet(event)])?;
    Ok(Exit::Done)
}

fn sheet(event: &Shown) -> Sheet {
    let mut rows: Vec<Vec<String>> = [
        ("received (UTC)", output::time(Some(event.received_at))),
        ("server", output::or_dash(event.server.as_deref())),
        ("for", output::or_dash(event.person.as_deref())),
        ("what", event.event.clone()),
        ("title", output::or_dash(event.title.as_deref())),
        ("verdict", event.verdict.as_str().to_owned()),
        ("why", output::or_dash(event.reason.as_deref())),
        ("rule", output::or_dash(event.rule.as_deref())),
        ("handled (UTC)", output::time(event.handled_at)),
    ]
    .into_iter()
    .map(|(name, value)| vec![name.to_owned(), value])
    .collect();
    if let Some(payload) = &event.payload {
        rows.push(vec!["it says".to_owned(), payload.to_string()]);
    }
    Sheet::new(vec!["event", ""], rows).heading(format!("Event {}", event.id))
}

/// What a replay came to.
#[derive(Debug, Serialize)]
struct Replayed {
    event: i64,
    verdict: Verdict,
    reason: Option<String>,
}

async fn replay(app: &App, id: i64) -> Result<Exit> {
    let before = one(app, id).await?;
    let mut connection = app.store.acquire().await?;
    if before.server.is_none() || !inbox::replay(&mut connection, id).await? {
        let problem = format!("event {id} can't be merged: it is of no server that is registered");
        return Err(Misconfigured(problem).into());
    }
    events::merge(app).await.map_err(|trouble| anyhow::anyhow!(trouble.message))?;
    // What must be looked up at a server is for whoever follows, or for the next push.
    wake::send(&mut connection, Channel::Outbox).await?;
    drop(connection);
    let after = one(app, id).await?;
    let replayed = Replayed { event: id, verdict: after.verdict, reason: after.reason };
    output::print(app.format, &replayed, |replayed| {
        let why = replayed.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let next =
            if replayed.verdict == Verdict::Lookup { "\nThe next push reads it: watchstate-worker push" } else { "" };
        vec![Sheet::default().remark(format!("Event {id} is {}{why}{next}", replayed.verdict.as_str()))]
    })?;
    Ok(Exit::Done)
}

async fn requests(app: &App, limit: i64) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    let kept = inbox::kept_requests(&mut connection, app.clock.now(), limit).await?;
    output::print(app.format, &kept, |kept| {
        let rows = kept.iter().map(request_row).collect();
        let columns = vec!["request", "received (UTC)", "from", "answer", "content type", "body"];
        let none = "No request is kept: start the receiver with --keep-requests 2h";
        vec![Sheet::new(columns, rows).remark(if kept.is_empty() { none } else { "" })]
    })?;
    Ok(Exit::Done)
}

fn request_row(kept: &KeptRequest) -> Vec<String> {
    let content_type = kept.headers.get("content-type").and_then(serde_json::Value::as_str);
    vec![
        kept.id.to_string(),
        output::time(Some(kept.received_at)),
        kept.address.clone(),
        kept.status.to_string(),
        output::or_dash(content_type),
        kept.body.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn event(verdict: Verdict) -> Shown {
        Shown {
            id: 7,
            received_at: Timestamp::UNIX_EPOCH,
            server: Some("plex".into()),
            person: None,
            event: "media.play".into(),
            title: Some("Heat".into()),
            verdict,
            reason: Some("a viewing begins".into()),
            rule: None,
            handled_at: None,
            payload: Some(serde_json::json!({ "event": "media.play" })),
        }
    }

    #[test]
    fn an_event_is_shown_with_its_verdict_and_the_reason() {
        let row = row(&event(Verdict::Ignored));
        assert_eq!(row[2..], ["plex", "-", "media.play", "Heat", "ignored", "a viewing begins"].map(str::to_owned));
        let sheet = sheet(&event(Verdict::Ignored));
        assert!(sheet.rows.iter().any(|row| row[0] == "it says" && row[1].contains("media.play")));
    }

    #[test]
    fn an_empty_inbox_says_how_events_come() {
        assert!(remark(&[], &Filter::default(), 50).contains("servers token"));
        let filter = Filter { title: Some("Heat"), ..Filter::default() };
        assert!(remark(&[], &filter, 50).contains("fits"));
        assert!(remark(&[event(Verdict::Accepted)], &Filter::default(), 1).contains("--limit"));
    }
}
