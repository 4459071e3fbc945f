//! Finding the titles of a backup's lines as an import finds those of items: by ids, else by show, season and episode. Titles that no
//! server has told yet are made, so that their history isn't lost.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use jiff::Timestamp;
use watchstate_domain::ids::{ExternalId, Ids, Kind, Provider};
use watchstate_domain::matching::{By, Changes, Facts, Numbering, TitleId};
use watchstate_store::Connection;
use watchstate_store::restored::{self, Nameless};
use watchstate_store::titles::{self, Naming, Wanted};

use crate::command::backup::format::{Line, Show};

/// Where the lines of a batch belong.
#[derive(Debug, Default)]
pub struct Placed {
    /// A title a line; None where nothing can be matched by.
    pub titles: Vec<Option<TitleId>>,
    /// Films and episodes that were made.
    pub created: u64,
    /// Titles that became one.
    pub joined: u64,
    /// Lines whose ids contradict a title's.
    pub conflicts: u64,
}

/// What is remembered from one batch to the next.
#[derive(Debug, Default)]
pub struct Places {
    /// Lines without ids, by what they are recognised by: a second one can't be told from the first.
    nameless: HashSet<String>,
}

/// A line's ids as matching takes them: a path is a thing of its own.
struct Facets {
    ids: Ids,
    path: Option<String>,
    numbering: Option<Numbering>,
}

impl Facets {
    fn of(ids: &Ids, numbering: Option<Numbering>) -> Self {
        let mut ids = ids.clone();
        let path = ids.remove(Provider::Path);
        Self { ids, path, numbering }
    }

    fn facts(&self, kind: Kind) -> Facts<'_> {
        // A path names a title only where nothing better does.
        let path = self.path.as_deref().filter(|_| self.ids.is_empty());
        Facts { kind, ids: &self.ids, numbering: self.numbering, path, linked: None }
    }

    fn wanted(&self, kind: Kind, wanted: &mut Wanted) {
        wanted.ids.extend(self.ids.iter().map(|id| (kind, id)));
        wanted
            .ids
            .extend(self.path.iter().map(|path| (kind, ExternalId { provider: Provider::Path, value: path.clone() })));
        wanted.paths.extend(self.path.iter().map(|path| (kind, path.clone())));
        wanted.places.extend(self.numbering);
        wanted.fresh += 1;
    }
}

impl Places {
    /// Finds or makes the titles of a batch. Call it under [`watchstate_store::locks::Titles::Change`].
    pub async fn batch(
        &mut self,
        batch: &[(u64, Line)],
        now: Timestamp,
        connection: &mut Connection,
    ) -> Result<Placed> {
        let shows = shows(batch, now, connection).await?;
        let facets: Vec<Facets> =
            batch.iter().map(|(_, line)| Facets::of(&line.ids, numbering(line, &shows))).collect();
        let mut wanted = Wanted::default();
        for ((_, line), facets) in batch.iter().zip(&facets) {
            facets.wanted(line.kind, &mut wanted);
        }
        let mut catalogue = titles::load(connection, &wanted).await?;
        let mut placed = Placed::default();
        let mut names = Vec::new();
        for ((_, line), facets) in batch.iter().zip(&facets) {
            let placement = catalogue.place(&facets.facts(line.kind));
            placed.conflicts += u64::from(!placement.conflicts.is_empty());
            if let Some(title) = placement.title.filter(|_| placement.by == By::New) {
                names.push(Naming {
                    id: title,
                    name: line.title.clone(),
                    year: line.year,
                    runtime_ms: None,
                    place: facets.numbering,
                });
            }
            placed.titles.push(placement.title);
        }
        // Later lines may have joined the titles of earlier ones.
        for title in placed.titles.iter_mut().flatten() {
            *title = catalogue.resolve(*title);
        }
        let changes = catalogue.into_changes();
        placed.created += changes.created.len() as u64;
        placed.joined += changes.joined.len() as u64;
        save(&changes, &names, now, connection).await?;
        for ((_, line), title) in batch.iter().zip(&mut placed.titles) {
            if title.is_none() {
                *title = self.nameless(line, &mut placed.created, now, connection).await?;
            }
        }
        Ok(placed)
    }

    /// A line without anything to match by is the one title without ids that is called like it; where there is none, it is made.
    async fn nameless(
        &mut self,
        line: &Line,
        created: &mut u64,
        now: Timestamp,
        connection: &mut Connection,
    ) -> Result<Option<TitleId>> {
        if line.title.is_empty() {
            return Ok(None);
        }
        let wanted = Nameless {
            kind: line.kind,
            name: &line.title,
            year: line.year,
            show: line.show.as_ref().map(|show| show.title.as_str()).filter(|show| !show.is_empty()),
            season: line.season,
            episode: line.episode,
        };
        if !self.nameless.insert(format!("{wanted:?}").to_lowercase()) {
            return Ok(None);
        }
        match restored::nameless(connection, &wanted).await?[..] {
            [] => {
                *created += 1;
                Ok(Some(restored::make_nameless(connection, &wanted, now).await?))
            }
            [one] => Ok(Some(one)),
            _ => Ok(None),
        }
    }
}

/// An episode's place in a show that is known.
fn numbering(line: &Line, shows: &HashMap<Ids, TitleId>) -> Option<Numbering> {
    let show = shows.get(&line.show.as_ref()?.ids)?;
    let (season, episode) = line.season.zip(line.episode)?;
    (line.kind == Kind::Episode && episode > 0).then_some(Numbering { show: *show, season, episode })
}

/// Finds or makes the shows of a batch's episodes, by their ids.
async fn shows(batch: &[(u64, Line)], now: Timestamp, connection: &mut Connection) -> Result<HashMap<Ids, TitleId>> {
    let shows: BTreeMap<String, &Show> = batch
        .iter()
        .filter(|(_, line)| line.kind == Kind::Episode)
        .filter_map(|(_, line)| line.show.as_ref())
        .filter(|show| !show.ids.is_empty())
        .map(|show| (show.ids.to_string(), show))
        .collect();
    let mut found = HashMap::new();
    if shows.is_empty() {
        return Ok(found);
    }
    let mut wanted = Wanted::default();
    let facets: Vec<(&Show, Facets)> = shows.values().map(|show| (*show, Facets::of(&show.ids, None))).collect();
    for (_, facets) in &facets {
        facets.wanted(Kind::Show, &mut wanted);
    }
    let mut catalogue = titles::load(connection, &wanted).await?;
    let mut names = Vec::new();
    for (show, facets) in &facets {
        let placement = catalogue.place(&facets.facts(Kind::Show));
        let Some(title) = placement.title else { continue };
        if placement.by == By::New {
            names.push(Naming { id: title, name: show.title.clone(), year: None, runtime_ms: None, place: None });
        }
        found.insert(show.ids.clone(), title);
    }
    for title in found.values_mut() {
        *title = catalogue.resolve(*title);
    }
    save(&catalogue.into_changes(), &names, now, connection).await?;
    Ok(found)
}

async fn save(changes: &Changes, names: &[Naming], now: Timestamp, connection: &mut Connection) -> Result<()> {
    if *changes != Changes::default() {
        titles::save(connection, changes, names, now).await?;
    }
    Ok(())
}
