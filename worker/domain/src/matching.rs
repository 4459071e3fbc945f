//! Which title an item is: by its own ids, for episodes by show, season and episode, for items without ids by path.
//!
//! A [`Catalogue`] holds the known titles that a batch of items may mean and places the items one after the other. It never takes the
//! first hit: ids of two titles that contradict each other nowhere join them, ids that do contradict keep them apart and are told as a
//! [`Conflict`]. What must be stored is in [`Changes`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::ids::{ExternalId, Ids, Kind, Provider};

/// The key of a title in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TitleId(pub i64);

/// An episode's place in its show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Numbering {
    /// The show.
    pub show: TitleId,
    /// 0 holds the specials.
    pub season: u32,
    /// From 1.
    pub episode: u32,
}

/// A title as far as matching needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// Its key.
    pub id: TitleId,
    /// What it is.
    pub kind: Kind,
    /// The ids that name it, and no other title of its kind.
    pub ids: Ids,
    /// For an episode: its place, where it is known and no other title has it.
    pub numbering: Option<Numbering>,
    /// How many items of all servers are linked to it; `u32::MAX` where nobody counted, which matters only for titles that an item was linked to.
    pub tellers: u32,
}

/// What is known of an item that is to be placed.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its own valid ids.
    pub ids: &'a Ids,
    /// For an episode: its place in a show that is known.
    pub numbering: Option<Numbering>,
    /// The file's path after the server's path rules, where a rule applies.
    pub path: Option<&'a str>,
    /// The title that it was linked to until now.
    pub linked: Option<TitleId>,
}

/// How an item found its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// By ids of its own.
    Ids,
    /// By show, season and episode.
    Numbering,
    /// By the path of its file.
    Path,
    /// It is the first of its title.
    New,
}

/// Two titles claim what only one can be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Conflict {
    /// The other title: it carries an id of the item, or its place, and yet can't be the same.
    pub with: TitleId,
    /// The providers for which the two have different values; empty when it is the place that contradicts.
    pub providers: Vec<Provider>,
}

/// Where an item belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Its title; None for an item with nothing to match by.
    pub title: Option<TitleId>,
    /// How it was found.
    pub by: By,
    /// What contradicts; the item stays apart from those titles.
    pub conflicts: Vec<Conflict>,
}

/// What placing has changed, for the store to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Titles that are new, with all their ids.
    pub created: Vec<Title>,
    /// Ids that known titles have learned.
    pub learned: Vec<(TitleId, ExternalId)>,
    /// Ids that a title no longer carries, since the only item that told them was corrected.
    pub forgotten: Vec<(TitleId, ExternalId)>,
    /// Places that known titles have learned.
    pub numbered: Vec<(TitleId, Numbering)>,
    /// Titles that turned out to be one: the first goes into the second.
    pub joined: Vec<(TitleId, TitleId)>,
}

/// The titles that a batch of items may mean.
#[derive(Debug)]
pub struct Catalogue<I> {
    titles: BTreeMap<TitleId, Title>,
    by_id: HashMap<(Kind, ExternalId), TitleId>,
    by_numbering: HashMap<Numbering, TitleId>,
    by_path: HashMap<(Kind, String), TitleId>,
    joined: BTreeMap<TitleId, TitleId>,
    created: BTreeSet<TitleId>,
    changes: Changes,
    fresh: I,
}

impl<I: Iterator<Item = TitleId>> Catalogue<I> {
    /// A catalogue of the known titles. `paths`: files of known items after path rules, with their titles. `fresh` gives keys for new titles.
    pub fn new(
        titles: impl IntoIterator<Item = Title>,
        paths: impl IntoIterator<Item = (Kind, String, TitleId)>,
        fresh: I,
    ) -> Self {
        let mut catalogue = Self {
            titles: BTreeMap::new(),
            by_id: HashMap::new(),
            by_numbering: HashMap::new(),
            by_path: HashMap::new(),
            joined: BTreeMap::new(),
            created: BTreeSet::new(),
            changes: Changes::default(),
            fresh,
        };
        for title in titles {
            catalogue.index(title);
        }
        for (kind, path, title) in paths {
            // Of several the oldest, so that it is the same one each time.
            let place = catalogue.by_path.entry((kind, path)).or_insert(title);
            *place = title.min(*place);
        }
        catalogue
    }

    /// Finds or makes the title of an item. None for the title when the item has neither ids, place nor path, or no fresh key is left.
    pub fn place(&mut self, facts: &Facts<'_>) -> Placement {
        let candidates = self.candidates(facts);
        let (same, conflicts) = self.compatible(facts, &candidates);
        let found = match same.iter().next() {
            Some(first) => {
                let title = self.join_all(*first, &same);
                let by = if candidates.own.iter().any(|own| same.contains(own)) {
                    By::Ids
                } else if candidates.numbering.is_some_and(|numbering| same.contains(&numbering)) {
                    By::Numbering
                } else {
                    By::Path
                };
                Some((title, by))
            }
            None => self.kept_apart(facts, &conflicts).or_else(|| self.create(facts)).map(|title| (title, By::New)),
        };
        let Some((title, by)) = found else {
            return Placement { title: None, by: By::New, conflicts };
        };
        self.learn(title, facts);
        Placement { title: Some(title), by, conflicts }
    }

    /// The title that `id` has become.
    pub fn resolve(&self, id: TitleId) -> TitleId {
        let mut id = id;
        while let Some(next) = self.joined.get(&id) {
            id = *next;
        }
        id
    }

    /// What must be stored. Titles that were made and joined away in the same batch don't appear.
    pub fn into_changes(mut self) -> Changes {
        self.changes.created = self.created.iter().filter_map(|id| self.titles.remove(id)).collect();
        // Joins are stored first: what was learned before a join belongs to the title that is left.
        let mut changes = std::mem::take(&mut self.changes);
        let titles = changes.learned.iter_mut().map(|(id, _)| id).chain(changes.forgotten.iter_mut().map(|(id, _)| id));
        for id in titles.chain(changes.numbered.iter_mut().map(|(id, _)| id)) {
            *id = self.resolve(*id);
        }
        changes
    }

    fn index(&mut self, title: Title) {
        for id in title.ids.iter() {
            self.by_id.insert((title.kind, id), title.id);
        }
        if let Some(numbering) = title.numbering {
            self.by_numbering.insert(numbering, title.id);
        }
        self.titles.insert(title.id, title);
    }

    fn candidates(&self, facts: &Facts<'_>) -> Candidates {
        let resolved = |id: &TitleId| self.resolve(*id);
        let own: BTreeSet<TitleId> =
            facts.ids.iter().filter_map(|id| self.by_id.get(&(facts.kind, id)).map(resolved)).collect();
        let numbering = place_of(facts).and_then(|numbering| self.by_numbering.get(&numbering).map(resolved));
        let made_for_path = facts.path.and_then(|path| self.made_for(facts.kind, path)).filter(|title| {
            // A path speaks only for items without ids: for this one, or for the title that such an item has made.
            facts.ids.is_empty() || self.titles.get(title).is_some_and(|title| only_path(&title.ids))
        });
        let at_path = facts.path.filter(|_| facts.ids.is_empty()).and_then(|path| self.title_at(facts.kind, path));
        Candidates { own, numbering, made_for_path, at_path }
    }

    /// The title that an item with nothing but this path has made.
    fn made_for(&self, kind: Kind, path: &str) -> Option<TitleId> {
        let id = ExternalId { provider: Provider::Path, value: path.to_owned() };
        self.by_id.get(&(kind, id)).map(|title| self.resolve(*title))
    }

    /// As above, else the title of some item with this path.
    fn title_at(&self, kind: Kind, path: &str) -> Option<TitleId> {
        let known = || self.by_path.get(&(kind, path.to_owned())).map(|title| self.resolve(*title));
        self.made_for(kind, path).or_else(known)
    }

    /// The candidates that can be one title with the item, and those that can't.
    fn compatible(&self, facts: &Facts<'_>, candidates: &Candidates) -> (BTreeSet<TitleId>, Vec<Conflict>) {
        let mut same = BTreeSet::new();
        let mut conflicts = BTreeSet::new();
        let linked = facts.linked.map(|linked| self.resolve(linked));
        let only_this_tells = |id: &TitleId| linked == Some(*id) && self.titles.get(id).is_some_and(|t| t.tellers <= 1);
        for id in &candidates.own {
            let Some(title) = self.titles.get(id) else { continue };
            let providers = facts.ids.contradictions(&title.ids);
            // A title that only this item tells follows the item: its ids were corrected, and nobody else contradicts.
            if providers.is_empty() || only_this_tells(id) {
                same.insert(*id);
            } else {
                conflicts.insert(Conflict { with: *id, providers });
            }
        }
        // What contradicts there are the item's own former ids: they don't keep it from the title that its corrected ids name.
        if same.len() > 1
            && let Some(former) = same.iter().copied().find(only_this_tells)
            && self.contradicting_pairs(&same).iter().any(|pair| pair.0 == former || pair.1 == former)
        {
            same.remove(&former);
        }
        for pair in self.contradicting_pairs(&same) {
            // The item would bridge two titles that can't be one: it belongs to neither more than to the other.
            same.remove(&pair.0);
            same.remove(&pair.1);
            for (with, providers) in [(pair.0, pair.2.clone()), (pair.1, pair.2)] {
                conflicts.insert(Conflict { with, providers });
            }
        }
        if let Some(numbering) = candidates.numbering.filter(|numbering| !same.contains(numbering))
            && let Some(title) = self.titles.get(&numbering)
        {
            let providers: BTreeSet<Provider> = facts
                .ids
                .contradictions(&title.ids)
                .into_iter()
                .chain(
                    same.iter()
                        .filter_map(|id| self.titles.get(id))
                        .flat_map(|other| other.ids.contradictions(&title.ids)),
                )
                .collect();
            let another_place = same.iter().filter_map(|id| self.titles.get(id)).any(|other| other.numbering.is_some());
            if !providers.is_empty() {
                // Servers number episodes differently (aired, DVD, absolute): where the ids name a title with a place of its own, that is no conflict.
                if !another_place {
                    conflicts.insert(Conflict { with: numbering, providers: providers.into_iter().collect() });
                }
            } else if !another_place && conflicts.is_empty() {
                same.insert(numbering);
            }
        }
        // The path of an item that has more than a path finds a title where all else fails, and joins none: what lies there may well be kept apart.
        let path = candidates.made_for_path.or_else(|| candidates.at_path.filter(|_| same.is_empty()));
        if let Some(path) = path.filter(|path| conflicts.is_empty() && self.path_fits(*path, facts, &same)) {
            same.insert(path);
        }
        (same, conflicts.into_iter().collect())
    }

    /// True when the title found by path has no other place and no other ids than the item and the titles it was found to be: one file may
    /// hold several episodes, and then its path says nothing of which.
    fn path_fits(&self, path: TitleId, facts: &Facts<'_>, same: &BTreeSet<TitleId>) -> bool {
        let Some(title) = self.titles.get(&path) else { return false };
        let one_place = !matches!((title.numbering, place_of(facts)), (Some(a), Some(b)) if a != b);
        let with_path: BTreeSet<TitleId> = same.iter().copied().chain([path]).collect();
        one_place
            && facts.ids.contradictions(&title.ids).is_empty()
            && !self.contradicting_pairs(&with_path).iter().any(|pair| pair.0 == path || pair.1 == path)
    }

    fn contradicting_pairs(&self, same: &BTreeSet<TitleId>) -> Vec<(TitleId, TitleId, Vec<Provider>)> {
        let titles: Vec<&Title> = same.iter().filter_map(|id| self.titles.get(id)).collect();
        let mut pairs = Vec::new();
        for (position, one) in titles.iter().enumerate() {
            for other in &titles[position + 1..] {
                let providers = one.ids.contradictions(&other.ids);
                let two_places = matches!((one.numbering, other.numbering), (Some(a), Some(b)) if a != b);
                if !providers.is_empty() || two_places {
                    pairs.push((one.id, other.id, providers));
                }
            }
        }
        pairs
    }

    /// An item that is kept apart already stays with the title that was made for it.
    fn kept_apart(&self, facts: &Facts<'_>, conflicts: &[Conflict]) -> Option<TitleId> {
        let linked = self.resolve(facts.linked?);
        let title = self.titles.get(&linked)?;
        let named = !title.ids.is_empty() && !only_path(&title.ids);
        let in_conflict = conflicts.iter().any(|conflict| conflict.with == linked);
        let nothing_to_go_by = facts.ids.is_empty() && place_of(facts).is_none() && facts.path.is_none();
        // No id names it and none contradicts: a title of its own, or one that was found by path or place.
        (title.kind == facts.kind
            && !named
            && !in_conflict
            && !nothing_to_go_by
            && title.numbering.is_none_or(|place| place_of(facts) == Some(place)))
        .then_some(linked)
    }

    fn create(&mut self, facts: &Facts<'_>) -> Option<TitleId> {
        if facts.ids.is_empty() && place_of(facts).is_none() && facts.path.is_none() {
            return None;
        }
        let id = self.fresh.next()?;
        self.titles.insert(id, Title { id, kind: facts.kind, ids: Ids::default(), numbering: None, tellers: 0 });
        self.created.insert(id);
        Some(id)
    }

    fn join_all(&mut self, into: TitleId, same: &BTreeSet<TitleId>) -> TitleId {
        for from in same.iter().filter(|from| **from != into) {
            let Some(gone) = self.titles.remove(from) else { continue };
            self.joined.insert(*from, into);
            for id in gone.ids.iter() {
                self.by_id.insert((gone.kind, id), into);
            }
            let mut numbered = None;
            if let Some(title) = self.titles.get_mut(&into) {
                title.tellers = title.tellers.saturating_add(gone.tellers);
                for id in gone.ids.iter() {
                    title.ids.insert(id);
                }
                if title.numbering.is_none() {
                    title.numbering = gone.numbering;
                    numbered = gone.numbering;
                }
            }
            if let Some(numbering) = gone.numbering {
                self.by_numbering.insert(numbering, into);
            }
            // A title of this very batch goes without a trace: nothing but this batch knows it.
            if self.created.remove(from) {
                let ids: Vec<ExternalId> = gone.ids.iter().collect();
                if !self.created.contains(&into) {
                    self.changes.learned.extend(ids.into_iter().map(|id| (into, id)));
                    self.changes.numbered.extend(numbered.map(|numbering| (into, numbering)));
                }
            } else {
                self.changes.joined.push((*from, into));
            }
        }
        into
    }

    /// Gives the title what the item knows and no other title claims.
    fn learn(&mut self, id: TitleId, facts: &Facts<'_>) {
        let new = self.created.contains(&id);
        self.count(id, facts.linked);
        let path = (facts.ids.is_empty() && place_of(facts).is_none())
            .then_some(facts.path)
            .flatten()
            .filter(|path| self.title_at(facts.kind, path).is_none())
            .map(|path| ExternalId { provider: Provider::Path, value: path.to_owned() });
        let unclaimed: Vec<ExternalId> =
            facts.ids.iter().chain(path).filter(|own| !self.by_id.contains_key(&(facts.kind, own.clone()))).collect();
        let place = place_of(facts).filter(|numbering| !self.by_numbering.contains_key(numbering));
        let Some(title) = self.titles.get_mut(&id) else { return };
        for own in unclaimed {
            if let Some(old) = title.ids.remove(own.provider) {
                let old = ExternalId { provider: own.provider, value: old };
                self.by_id.remove(&(facts.kind, old.clone()));
                if !new {
                    self.changes.forgotten.push((id, old));
                }
            }
            self.by_id.insert((facts.kind, own.clone()), id);
            title.ids.insert(own.clone());
            if !new {
                self.changes.learned.push((id, own));
            }
        }
        if title.numbering.is_none()
            && let Some(place) = place
        {
            title.numbering = Some(place);
            self.by_numbering.insert(place, id);
            if !new {
                self.changes.numbered.push((id, place));
            }
        }
        if let Some(path) = facts.path {
            self.by_path.entry((facts.kind, path.to_owned())).or_insert(id);
        }
    }

    /// The item tells this title from now on, and no longer the one that it was linked to.
    fn count(&mut self, id: TitleId, linked: Option<TitleId>) {
        let linked = linked.map(|linked| self.resolve(linked));
        if linked == Some(id) {
            return;
        }
        if let Some(title) = self.titles.get_mut(&id) {
            title.tellers = title.tellers.saturating_add(1);
        }
        if let Some(former) = linked.and_then(|linked| self.titles.get_mut(&linked)) {
            former.tellers = former.tellers.saturating_sub(1);
        }
    }
}

struct Candidates {
    own: BTreeSet<TitleId>,
    numbering: Option<TitleId>,
    made_for_path: Option<TitleId>,
    at_path: Option<TitleId>,
}

/// The item's place: only episodes have one.
fn place_of(facts: &Facts<'_>) -> Option<Numbering> {
    facts.numbering.filter(|_| facts.kind == Kind::Episode)
}

fn only_path(ids: &Ids) -> bool {
    ids.len() == 1 && ids.get(Provider::Path).is_some()
}

#[cfg(test)]
mod tests;
