//! The agreed truth: events are joined into it and into the history of plays.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use watchstate_domain::matching::TitleId;
use watchstate_domain::merge::Rule;
use watchstate_domain::watch::{Event, Viewing};
use watchstate_store::watches::{self, Changed};
use watchstate_store::{Connection, Result};

/// Applies events to the agreed truth of a person, and plays to the history. `via`: the server that told them.
pub async fn apply(
    person_id: i64,
    via: &str,
    told: &[(TitleId, Event, Rule)],
    now: Timestamp,
    connection: &mut Connection,
) -> Result<()> {
    if told.is_empty() {
        return Ok(());
    }
    let titles: Vec<TitleId> = told.iter().map(|(title, _, _)| *title).collect();
    let mut agreed = watches::lock(connection, person_id, &titles, now).await?;
    let played: BTreeSet<TitleId> =
        told.iter().filter(|(_, event, _)| matches!(event, Event::Played { .. })).map(|(title, _, _)| *title).collect();
    let played: Vec<TitleId> = played.into_iter().collect();
    let mut histories = watches::histories(connection, person_id, &played).await?;
    let before = histories.clone();
    let mut rules: HashMap<TitleId, Rule> = HashMap::new();
    for (title, event, rule) in told {
        if let Some(agreed) = agreed.get_mut(title)
            && agreed.watch.apply(event)
        {
            rules.insert(*title, *rule);
        }
        if let Event::Played { stamp: Some(stamp), source, .. } = event
            && let Some((history, runtime_ms)) = histories.get_mut(title)
        {
            history.tell(Viewing::told(*stamp, *source, via), *runtime_ms);
        }
    }
    let mut changed = Vec::new();
    for (title, agreed) in &agreed {
        let last = histories.get(title).map_or(agreed.played_at, |(history, _)| history.last_played_at());
        let rule = rules.get(title).copied();
        if rule.is_some() || last != agreed.played_at {
            let rule = rule.unwrap_or(Rule::PlayedAgain).as_str().to_owned();
            changed.push(Changed { title_id: *title, watch: agreed.watch, played_at: last, via: via.to_owned(), rule });
        }
    }
    watches::save(connection, person_id, &changed, now).await?;
    let told: Vec<_> = histories
        .iter()
        .filter(|(title, now)| before.get(title) != Some(now))
        .map(|(title, (history, _))| (*title, history))
        .collect();
    watches::save_histories(connection, person_id, &told).await?;
    Ok(())
}
