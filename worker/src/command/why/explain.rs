//! Gathers what is known of some titles: per person the truth and the history, per server and account the item, what was seen and written.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use watchstate_domain::item::ServerKind;
use watchstate_domain::matching::TitleId;
use watchstate_domain::merge::Rule;
use watchstate_store::candidates::{self, Candidate};
use watchstate_store::registry::{self, Server};
use watchstate_store::report::copies::{self, Copy, Viewer, Write};
use watchstate_store::report::titles::{self, Filter, Progress, Title, Watched};
use watchstate_store::{Connection, watches};

use super::verdict::{Case, Verdict, unheard, verdict};
use crate::app::App;
use crate::command::backup::format::Play;
use crate::command::state::{self, Contradiction};

/// The newest writes, and the newest events, that are shown of an item.
const SHOWN: i64 = 5;

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// How many titles match; only the first are explained.
    pub total: i64,
    /// The explanations.
    pub titles: Vec<Explanation>,
}

/// What is known of one title.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The title.
    #[serde(flatten)]
    pub title: Title,
    /// For a show: how much of it each person has watched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub progress: Vec<Progress>,
    /// For a show: the servers that have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// For all else: what each person has seen of it.
    pub persons: Vec<Person>,
}

/// One person's side.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// The agreed truth.
    #[serde(flatten)]
    pub watched: Watched,
    /// What the rule says in a sentence.
    pub sentence: Option<String>,
    /// The viewings, oldest first.
    pub history: Vec<Play>,
    /// Each item at each server.
    pub items: Vec<Item>,
}

/// Where an item is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The server.
    pub server: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ServerKind,
    /// The server's id of the item.
    pub item: String,
    /// Its name there.
    pub name: String,
    /// Its library, where it is known.
    pub library: Option<String>,
    /// The file's path as the server sees it.
    pub path: Option<String>,
    /// The ids that it carries.
    pub ids: Vec<String>,
    /// How many ids were dropped as junk.
    pub junk_ids: i32,
    /// How it found its title: `ids`, `numbering`, `path`, `new`.
    pub matched_by: Option<String>,
    /// Titles that it contradicts.
    pub conflicts: Vec<Contradiction>,
    /// How many titles the file holds.
    pub holds: i64,
    /// Since when it is known.
    pub first_seen_at: Timestamp,
    /// Since when nobody is shown it.
    pub gone_at: Option<Timestamp>,
}

/// An item as one account sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// The account's name.
    pub account: String,
    /// What was last seen; None: nothing ever was.
    pub seen: Option<Seen>,
    /// What keeps this server's word from being taken.
    pub unheard: Option<&'static str>,
    /// The newest events that its webhook brought, oldest first.
    pub events: Vec<Told>,
    /// The newest writes, oldest first.
    pub writes: Vec<Written>,
    /// Where it stands.
    pub verdict: Verdict,
}

/// What was last seen of an item. Stamps are on our clock.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The mark.
    pub played: bool,
    /// The play count.
    pub plays: u32,
    /// The last activity.
    pub last_played_at: Option<Timestamp>,
    /// The position, in milliseconds.
    pub position_ms: u64,
    /// The last moment at which this was known to be true.
    pub true_at: Timestamp,
    /// The rule that decided on the last change.
    pub rule: String,
    /// What it says in a sentence.
    pub sentence: String,
    /// When it decided.
    pub decided_at: Timestamp,
    /// Since when the account is no longer shown the item.
    pub gone_at: Option<Timestamp>,
}

/// An event of a webhook.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Its number: what `inbox show` takes.
    pub id: i64,
    /// The event in the server's words.
    pub event: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What became of it.
    pub verdict: String,
    /// Why.
    pub reason: Option<String>,
}

impl From<&copies::Told> for Told {
    fn from(told: &copies::Told) -> Self {
        Self {
            id: told.id,
            event: told.event.clone(),
            received_at: told.received_at,
            verdict: told.verdict.clone(),
            reason: told.reason.clone(),
        }
    }
}

/// A write, waiting or ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// Its number: what `outbox retry` takes.
    pub id: i64,
    /// `played`, `unplayed`, `position` or `no-position`.
    pub want: String,
    /// `pending`, `dead`, `written`, `already-right` or `dropped`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// What went wrong last, or why it was dropped.
    pub error: Option<String>,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl From<&Write> for Written {
    fn from(write: &Write) -> Self {
        Self {
            id: write.id,
            want: write.want.clone(),
            state: write.state.clone(),
            attempts: write.attempts,
            error: write.error.clone(),
            queued_at: write.enqueued_at,
            finished_at: write.finished_at,
        }
    }
}

/// Gathers everything. `person`: only that one's side.
pub async fn all(
    app: &App,
    found: Vec<Title>,
    total: i64,
    person: Option<i64>,
    connection: &mut Connection,
) -> Result<Explained> {
    let servers = registry::servers(connection).await?;
    let keys: Vec<i64> = found.iter().map(|title| title.title_id).collect();
    let copies = copies::of_titles(connection, &keys, person).await?;
    let items: Vec<i64> = copies.iter().map(|copy| copy.item_id).collect::<BTreeSet<_>>().into_iter().collect();
    let known = Known {
        app,
        servers: servers.iter().map(|server| (server.id, server)).collect(),
        candidates: candidates(&copies, connection).await?,
        writes: copies::writes(connection, &items, SHOWN).await?,
        events: copies::events(connection, &items, SHOWN).await?,
        held: copies::held(connection, &items)
            .await?
            .into_iter()
            .map(|(account, item, plan)| ((account, item), plan))
            .collect(),
    };
    let filter = Filter { titles: Some(&keys), person, ..Filter::default() };
    let watched = titles::watched(connection, &filter, i64::MAX).await?;
    let mut explained = Vec::with_capacity(found.len());
    for title in found {
        let mine: Vec<&Copy> = copies.iter().filter(|copy| copy.title_id == title.title_id).collect();
        let show = title.kind == "show";
        let mut explanation = Explanation { title, progress: Vec::new(), places: Vec::new(), persons: Vec::new() };
        if show {
            explanation.progress = titles::progress(connection, explanation.title.title_id, person).await?;
            explanation.places = known.places(&mine, connection).await?;
        } else {
            for watched in watched.iter().filter(|one| one.title.title_id == explanation.title.title_id) {
                explanation.persons.push(known.person(watched, &mine, connection).await?);
            }
        }
        explained.push(explanation);
    }
    Ok(Explained { total, titles: explained })
}

/// Every account's items as an export sees them.
async fn candidates(copies: &[Copy], connection: &mut Connection) -> Result<HashMap<(i64, i64), Candidate>> {
    let mut items: HashMap<i64, BTreeSet<i64>> = HashMap::new();
    for (viewer, item_id) in copies.iter().filter_map(|copy| Some((copy.viewer.as_ref()?, copy.item_id))) {
        items.entry(viewer.account_id).or_default().insert(item_id);
    }
    let mut candidates = HashMap::new();
    for (account_id, items) in items {
        let loaded = candidates::load(connection, account_id, &items.into_iter().collect::<Vec<_>>()).await?;
        candidates.extend(loaded.into_iter().map(|candidate| ((account_id, candidate.item_id), candidate)));
    }
    Ok(candidates)
}

/// What was loaded for all titles together. Keys are account and item.
struct Known<'a> {
    app: &'a App,
    servers: HashMap<i64, &'a Server>,
    candidates: HashMap<(i64, i64), Candidate>,
    writes: Vec<Write>,
    events: Vec<copies::Told>,
    held: HashMap<(i64, i64), i64>,
}

impl Known<'_> {
    /// Each item once, whoever sees it.
    async fn places(&self, copies: &[&Copy], connection: &mut Connection) -> Result<Vec<Place>> {
        let mut told = BTreeSet::new();
        let mut places = Vec::new();
        for copy in copies.iter().filter(|copy| told.insert(copy.item_id)) {
            places.extend(self.place(copy, connection).await?);
        }
        Ok(places)
    }

    async fn place(&self, copy: &Copy, connection: &mut Connection) -> Result<Option<Place>> {
        let Some(server) = self.servers.get(&copy.server_id) else { return Ok(None) };
        Ok(Some(Place {
            server: server.name.clone(),
            kind: server.kind,
            item: copy.remote_id.clone(),
            name: copy.name.clone(),
            library: copy.library.clone(),
            path: copy.path.clone(),
            ids: copy.ids.clone(),
            junk_ids: copy.junk_ids,
            matched_by: copy.matched_by.clone(),
            conflicts: state::contradictions(&copy.conflicts, connection).await?,
            holds: copy.titles,
            first_seen_at: copy.first_seen_at,
            gone_at: copy.gone_at,
        }))
    }

    async fn person(&self, watched: &Watched, copies: &[&Copy], connection: &mut Connection) -> Result<Person> {
        let title = TitleId(watched.title.title_id);
        let histories = watches::histories(connection, watched.person_id, &[title]).await?;
        let history = histories.get(&title).map(|(history, _)| history.viewings().iter().map(Play::from).collect());
        let mut items = Vec::new();
        for copy in copies {
            let Some(viewer) = copy.viewer.as_ref().filter(|viewer| viewer.person_id == watched.person_id) else {
                continue;
            };
            let Some(server) = self.servers.get(&copy.server_id) else { continue };
            let Some(place) = self.place(copy, connection).await? else { continue };
            items.push(self.item(place, server, copy, viewer));
        }
        Ok(Person {
            sentence: watched.rule.as_deref().filter(|rule| !rule.is_empty()).map(sentence),
            watched: watched.clone(),
            history: history.unwrap_or_default(),
            items,
        })
    }

    fn item(&self, place: Place, server: &Server, copy: &Copy, viewer: &Viewer) -> Item {
        let key = (viewer.account_id, copy.item_id);
        let candidate = self.candidates.get(&key);
        let writes: Vec<&Write> = self.writes.iter().filter(|write| (write.account_id, write.item_id) == key).collect();
        let gone = viewer.seen.as_ref().is_some_and(|seen| seen.gone_at.is_some());
        let verdict = verdict(&Case {
            policy: &server.policy,
            offset: server.clock_offset,
            progress: self.app.policy.progress,
            now: self.app.clock.now(),
            there: candidate.map(|candidate| &candidate.observation),
            gone,
            agreed: candidate.map(|candidate| candidate.agreed).unwrap_or_default(),
            runtime_ms: candidate.and_then(|candidate| candidate.runtime_ms),
            titles: (copy.titles, copy.titles_played),
            held: self.held.get(&key).copied(),
            open: writes.iter().copied().find(|write| matches!(write.state.as_str(), "pending" | "dead")),
        });
        Item {
            place,
            account: viewer.account.clone(),
            seen: viewer.seen.as_ref().map(|seen| {
                let state = seen.observation.state;
                Seen {
                    played: state.played,
                    plays: state.plays,
                    last_played_at: state.last_played_at.map(|stamp| server.clock_offset.to_ours(stamp)),
                    position_ms: state.position_ms,
                    true_at: seen.observation.true_at,
                    rule: seen.rule.clone(),
                    sentence: sentence(&seen.rule),
                    decided_at: seen.decided_at,
                    gone_at: seen.gone_at,
                }
            }),
            unheard: unheard(&server.policy),
            events: self
                .events
                .iter()
                .filter(|told| told.item_id == copy.item_id && told.account_id.is_none_or(|id| id == viewer.account_id))
                .map(Told::from)
                .collect(),
            writes: writes.into_iter().map(Written::from).collect(),
            verdict,
        }
    }
}

/// What a rule says. Not every word is a rule: commands change the truth too.
fn sentence(rule: &str) -> String {
    match rule.parse::<Rule>() {
        Ok(rule) => rule.sentence().to_owned(),
        Err(_) if rule == crate::command::restore::RULE => "restored from a backup".to_owned(),
        Err(_) => rule.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_commands_are_told_in_a_sentence() {
        assert_eq!(sentence("newly-played"), Rule::NewlyPlayed.sentence());
        assert_eq!(sentence("restore"), "restored from a backup");
        assert_eq!(sentence("of a newer version"), "of a newer version");
    }
}
