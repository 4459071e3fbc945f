//! The agreed truth: events are joined into it and into the history of plays.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use watchstate_domain::item::ServerKind;
use watchstate_domain::matching::TitleId;
use watchstate_domain::merge::Rule;
use watchstate_domain::watch::{Event, History, Source, Viewing};
use watchstate_store::watches::{self, Agreed, Changed, Told};
use watchstate_store::{Connection, Result};

/// An event, the title that it tells of, and the rule by which it was found.
type Telling = (TitleId, Event, Rule);
/// Histories by title, each with the title's running time.
type Histories = HashMap<TitleId, (History, Option<u64>)>;

/// The server that tells.
#[derive(Debug, Clone, Copy)]
pub struct Via<'a> {
    /// Its name.
    pub server: &'a str,
    /// What it is.
    pub kind: ServerKind,
}

/// Applies events to the agreed truth of a person, and plays to the history.
pub async fn apply(
    person_id: i64,
    via: Via<'_>,
    told: &[Telling],
    now: Timestamp,
    connection: &mut Connection,
) -> Result<()> {
    if told.is_empty() {
        return Ok(());
    }
    // At first all titles are taken for unknown: of a new library most are, and they are stored as they shall be.
    let before = watches::histories(connection, person_id, &played(told)).await?;
    let unknown = told.iter().map(|(title, _, _)| (*title, Agreed::default())).collect();
    let (changed, histories) = tell(via, told, unknown, &before);
    let begun = watches::begin(connection, person_id, &changed, now).await?;
    let fresh = histories.iter().filter(|(title, _)| begun.contains(*title));
    save(person_id, &before, fresh, connection).await?;

    let told: Vec<Telling> = told.iter().filter(|(title, _, _)| !begun.contains(title)).copied().collect();
    if told.is_empty() {
        return Ok(());
    }
    let titles: Vec<TitleId> = told.iter().map(|(title, _, _)| *title).collect();
    let known = watches::known(connection, person_id, &titles).await?;
    let before = watches::histories(connection, person_id, &played(&told)).await?;
    let (changed, histories) = tell(via, &told, known, &before);
    watches::save(connection, person_id, &changed, now).await?;
    save(person_id, &before, histories.iter(), connection).await
}

/// The titles that were played.
fn played(told: &[Telling]) -> Vec<TitleId> {
    let played = told.iter().filter(|(_, event, _)| matches!(event, Event::Played { .. }));
    played.map(|(title, _, _)| *title).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What becomes of the truths `agreed` and the histories `before`: those that change.
fn tell(
    via: Via<'_>,
    told: &[Telling],
    mut agreed: HashMap<TitleId, Agreed>,
    before: &Histories,
) -> (Vec<Changed>, HashMap<TitleId, History>) {
    let mut rules: HashMap<TitleId, Rule> = HashMap::new();
    let mut histories: HashMap<TitleId, History> = HashMap::new();
    for (title, event, rule) in told {
        let Some(agreed) = agreed.get_mut(title) else { continue };
        if agreed.watch.apply(event) {
            rules.insert(*title, *rule);
        }
        if let Event::Played { stamp: Some(stamp), source, .. } = event
            && let Some((before, runtime_ms)) = before.get(title)
        {
            let history = histories.entry(*title).or_insert_with(|| before.clone());
            // An event told when that viewing ended, and the server's record tells when it began: to whoever sees a copy of the file, or sees it anew.
            let told = *source == Source::Mark && via.kind.counts_at_start() && history.ends(*stamp, via.server);
            if !told {
                history.tell(Viewing::told(*stamp, *source, via.server), *runtime_ms);
            }
        }
    }
    let mut changed = Vec::new();
    for (title, agreed) in &agreed {
        let history = histories.get(title).or_else(|| before.get(title).map(|(before, _)| before));
        let last = history.map_or(agreed.played_at, History::last_played_at);
        let rule = rules.get(title).copied();
        if rule.is_some() || last != agreed.played_at {
            let rule = rule.unwrap_or(Rule::PlayedAgain).as_str().to_owned();
            changed.push(Changed {
                title_id: *title,
                watch: agreed.watch,
                played_at: last,
                via: via.server.to_owned(),
                rule,
            });
        }
    }
    histories.retain(|title, history| before.get(title).is_none_or(|(before, _)| before != history));
    (changed, histories)
}

async fn save(
    person_id: i64,
    before: &Histories,
    histories: impl Iterator<Item = (&TitleId, &History)>,
    connection: &mut Connection,
) -> Result<()> {
    let told: Vec<Told<'_>> = histories
        .filter_map(|(title, history)| Some(Told { title_id: *title, before: &before.get(title)?.0, history }))
        .collect();
    watches::save_histories(connection, person_id, &told).await
}
