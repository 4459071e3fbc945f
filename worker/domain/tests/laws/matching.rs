//! The laws of matching, over random libraries: which items are one title depends neither on their order nor on how they are split over
//! batches, as long as nothing contradicts; and whatever contradicts, an id names one title, a title has one value a provider, and kinds never mix.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use watchstate_domain::ids::{ExternalId, Ids, Kind, Provider};
use watchstate_domain::matching::{Catalogue, Changes, Facts, Numbering, Title, TitleId};

const KINDS: [Kind; 3] = [Kind::Movie, Kind::Show, Kind::Episode];

#[derive(Debug, Clone)]
struct Entry {
    kind: Kind,
    ids: Ids,
    numbering: Option<Numbering>,
    path: Option<String>,
}

/// What the worker stores: titles by key, links of items, and paths of items.
#[derive(Debug, Default)]
struct Store {
    titles: BTreeMap<TitleId, (Kind, BTreeSet<ExternalId>, Option<Numbering>)>,
    links: BTreeMap<usize, TitleId>,
    next: i64,
}

impl Store {
    /// Places the items in one batch; returns what that changed.
    fn batch(&mut self, items: &[(usize, Entry)], all: &[Entry]) -> Changes {
        let titles: Vec<Title> = self
            .titles
            .iter()
            .map(|(id, (kind, ids, numbering))| Title {
                id: *id,
                kind: *kind,
                ids: ids.iter().cloned().collect(),
                numbering: *numbering,
                tellers: u32::try_from(self.links.values().filter(|link| *link == id).count()).unwrap_or(u32::MAX),
            })
            .collect();
        let paths: Vec<_> = self
            .links
            .iter()
            .filter_map(|(item, title)| Some((all[*item].kind, all[*item].path.clone()?, *title)))
            .collect();
        let mut catalogue = Catalogue::new(titles, paths, (self.next..).map(TitleId));
        for (item, entry) in items {
            let placement = catalogue.place(&Facts {
                kind: entry.kind,
                ids: &entry.ids,
                numbering: entry.numbering,
                path: entry.path.as_deref(),
                linked: self.links.get(item).copied(),
            });
            if let Some(title) = placement.title {
                self.links.insert(*item, title);
            }
        }
        for link in self.links.values_mut() {
            *link = catalogue.resolve(*link);
        }
        let changes = catalogue.into_changes();
        self.save(&changes);
        changes
    }

    fn save(&mut self, changes: &Changes) {
        for (from, into) in &changes.joined {
            let (kind, ids, numbering) = self.titles.remove(from).expect("only what is stored is joined");
            let title = self.titles.get_mut(into).expect("joins go into what is stored");
            assert_eq!(title.0, kind, "kinds never mix");
            title.1.extend(ids);
            title.2 = title.2.or(numbering);
        }
        for (id, old) in &changes.forgotten {
            assert!(
                self.titles.get_mut(id).is_some_and(|title| title.1.remove(old)),
                "only what is stored is forgotten: {old}"
            );
        }
        for title in &changes.created {
            self.next = self.next.max(title.id.0 + 1);
            self.titles.insert(title.id, (title.kind, title.ids.iter().collect(), title.numbering));
        }
        for (id, own) in &changes.learned {
            self.titles.get_mut(id).expect("what learns is stored").1.insert(own.clone());
        }
        for (id, numbering) in &changes.numbered {
            self.titles.get_mut(id).expect("what is numbered is stored").2.get_or_insert(*numbering);
        }
    }

    fn check(&self, all: &[Entry]) {
        let mut named = BTreeSet::new();
        let mut placed = BTreeSet::new();
        for (id, (kind, ids, numbering)) in &self.titles {
            let mut providers = BTreeSet::new();
            for own in ids {
                assert!(named.insert((*kind, own.clone())), "{own} names two titles");
                assert!(
                    own.provider == Provider::Path || providers.insert(own.provider),
                    "{id:?} has two ids of {}",
                    own.provider
                );
            }
            assert!(numbering.is_none_or(|numbering| placed.insert(numbering)), "{numbering:?} is two titles");
        }
        for (item, title) in &self.links {
            assert_eq!(self.titles[title].0, all[*item].kind, "kinds never mix");
        }
    }

    /// Places the same items until that changes neither titles nor links.
    fn comes_to_rest(&mut self, items: &[(usize, Entry)], all: &[Entry]) -> bool {
        (0..8).any(|_| {
            let links = self.links.clone();
            let changes = self.batch(items, all);
            self.check(all);
            changes == Changes::default() && links == self.links
        })
    }

    /// Which items are one title.
    fn groups(&self) -> BTreeSet<BTreeSet<usize>> {
        let mut groups: BTreeMap<TitleId, BTreeSet<usize>> = BTreeMap::new();
        for (item, title) in &self.links {
            groups.entry(*title).or_default().insert(*item);
        }
        groups.into_values().collect()
    }
}

/// Ids that tell the truth: title `n` of a kind has number n at every provider. An item knows some of them; an episode its place, an item of a
/// path the IMDb id, if any, since items that have ids and nothing but a path in common are not known to be one.
fn truthful() -> impl Strategy<Value = Entry> {
    (0..3_usize, 1..4_u32, any::<[bool; 3]>(), any::<bool>(), any::<bool>()).prop_map(
        |(kind, title, knows, placed, filed)| {
            let kind = KINDS[kind];
            let providers = [Provider::Imdb, Provider::Tmdb, Provider::Tvdb];
            let known =
                providers.into_iter().zip(knows).filter(|(_, known)| *known).map(|(provider, _)| id(provider, title));
            let ids: Ids = known.collect();
            let numbering = (kind == Kind::Episode && placed).then_some(place(title));
            let path = (filed && (knows[0] || ids.is_empty() && numbering.is_none())).then(|| format!("/{title}.mkv"));
            Entry { kind, ids, numbering, path }
        },
    )
}

/// Ids, places and paths at random.
fn any_entry() -> impl Strategy<Value = Entry> {
    let ids = proptest::collection::btree_map(0..3_usize, 1..4_u32, 0..3);
    (0..3_usize, ids, proptest::option::of(1..4_u32), proptest::option::of(1..4_u32)).prop_map(
        |(kind, ids, numbering, path)| Entry {
            kind: KINDS[kind],
            ids: ids
                .into_iter()
                .map(|(provider, value)| id([Provider::Imdb, Provider::Tmdb, Provider::Tvdb][provider], value))
                .collect(),
            numbering: numbering.map(place),
            path: path.map(|path| format!("/{path}.mkv")),
        },
    )
}

fn id(provider: Provider, number: u32) -> ExternalId {
    let value = if provider == Provider::Imdb { format!("tt{number:07}") } else { number.to_string() };
    ExternalId { provider, value }
}

const fn place(episode: u32) -> Numbering {
    Numbering { show: TitleId(1_000_000), season: 1, episode }
}

type Library = (Vec<Entry>, Vec<usize>, usize);

fn shuffled(entry: impl Strategy<Value = Entry>) -> impl Strategy<Value = Library> {
    (proptest::collection::vec(entry, 1..12), 1..5_usize).prop_flat_map(|(entries, batch)| {
        let order: Vec<usize> = (0..entries.len()).collect();
        (Just(entries), Just(order).prop_shuffle(), Just(batch))
    })
}

fn place_all(entries: &[Entry], order: &[usize], batch: usize) -> Store {
    let mut store = Store { next: 1, ..Store::default() };
    for batch in order.chunks(batch) {
        let items: Vec<_> = batch.iter().map(|item| (*item, entries[*item].clone())).collect();
        store.batch(&items, entries);
        store.check(entries);
    }
    store
}

proptest! {
    #![proptest_config(super::config(400))]

    #[test]
    fn titles_depend_neither_on_order_nor_on_batches((entries, order, batch) in shuffled(truthful())) {
        let in_order: Vec<usize> = (0..entries.len()).collect();
        let one = place_all(&entries, &in_order, entries.len());
        let other = place_all(&entries, &order, batch);
        prop_assert_eq!(one.groups(), other.groups());
    }

    #[test]
    fn placing_again_changes_nothing((entries, order, batch) in shuffled(truthful())) {
        let mut store = place_all(&entries, &order, batch);
        let items: Vec<_> = order.iter().map(|item| (*item, entries[*item].clone())).collect();
        prop_assert_eq!(store.batch(&items, &entries), Changes::default());
    }

    /// With contradictions the first placing again may still join what later items have made known; then it stands.
    #[test]
    fn contradictions_never_mix_titles_and_come_to_rest((entries, order, batch) in shuffled(any_entry())) {
        let mut store = place_all(&entries, &order, batch);
        let items: Vec<_> = order.iter().map(|item| (*item, entries[*item].clone())).collect();
        prop_assert!(store.comes_to_rest(&items, &entries), "the same items go to and fro");
    }

    /// An item whose ids are corrected, to those of another title or of none, leaves no id in two titles.
    #[test]
    fn corrected_ids_come_to_rest((entries, order, batch) in shuffled(any_entry()), corrected in any_entry(), at in 0..12_usize) {
        let mut store = place_all(&entries, &order, batch);
        let mut entries = entries;
        let at = at % entries.len();
        entries[at] = Entry { kind: entries[at].kind, ..corrected };
        let items: Vec<_> = order.iter().map(|item| (*item, entries[*item].clone())).collect();
        prop_assert!(store.comes_to_rest(&items, &entries), "the same items go to and fro");
    }
}
