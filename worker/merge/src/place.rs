//! Finding the titles of items: shows first, then the items themselves, each batch with one look into the store.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use watchstate_domain::ids::{ExternalId, Ids, Kind, Provider};
use watchstate_domain::item::{Item, ServerKind};
use watchstate_domain::matching::{By, Changes, Conflict, Facts, Numbering, TitleId};
use watchstate_store::items::{self, Placed};
use watchstate_store::observations;
use watchstate_store::registry::{PathRule, Server};
use watchstate_store::titles::{self, Naming, Wanted};
use watchstate_store::{Connection, StoreError};

/// A file that claims more episodes than this is taken for its first one: its name was misread.
const MOST_EPISODES: u32 = 10;

/// By what an item is recognised as unchanged.
#[derive(Debug, Clone)]
pub struct Fingerprint {
    /// Its path after the server's path rules.
    pub path_key: Option<String>,
    /// A hash of its facts.
    pub hash: i64,
}

/// The fingerprint of an item.
pub fn fingerprint(server: &Server, item: &Item) -> Fingerprint {
    let path_key = item.path.as_deref().and_then(|path| path_key(&server.policy.path_rules, path));
    let hash = items::fingerprint(item, path_key.as_deref());
    Fingerprint { path_key, hash }
}

/// The path after the longest rule that fits; None where none does. Separators and case are evened out: Windows and Linux name the same file.
fn path_key(rules: &[PathRule], path: &str) -> Option<String> {
    let even = |path: &str| path.replace('\\', "/");
    let path = even(path);
    rules
        .iter()
        .filter_map(|rule| {
            let from = even(&rule.from);
            let from = from.trim_end_matches('/');
            let rest = path.strip_prefix(from).filter(|rest| rest.starts_with('/') || rest.is_empty())?;
            Some((from.len(), format!("{}{rest}", even(&rule.to).trim_end_matches('/'))))
        })
        .max_by_key(|(length, _)| *length)
        .map(|(_, key)| key.to_lowercase())
}

/// An item that is to be placed.
pub struct Task<'a> {
    /// What the server said.
    pub item: &'a Item,
    /// By what it will be recognised.
    pub print: &'a Fingerprint,
    /// Its key, if it is known.
    pub known: Option<i64>,
}

/// Where an item ended up.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its key.
    pub item_id: i64,
    /// It was linked to other titles before, or its server has begun it anew: what was seen of it says nothing of what it is now.
    pub moved: bool,
}

/// Where all of them ended up.
#[derive(Debug, Default)]
pub struct Outcome<'a> {
    /// By the server's id.
    pub items: HashMap<&'a str, Found>,
    /// Titles that became one.
    pub joined: u64,
    /// Items that contradict a title.
    pub conflicts: u64,
}

/// Places items and stores them. Call it under [`watchstate_store::locks::Titles::Change`].
pub async fn all<'a>(
    server: &Server,
    library_id: i64,
    tasks: &[Task<'a>],
    now: Timestamp,
    connection: &mut Connection,
) -> Result<Outcome<'a>, StoreError> {
    if tasks.is_empty() {
        return Ok(Outcome::default());
    }
    let known: Vec<i64> = tasks.iter().filter_map(|task| task.known).collect();
    let mut linked: HashMap<i64, Vec<TitleId>> = HashMap::new();
    for (item_id, title) in items::titles_of(connection, &known).await? {
        linked.entry(item_id).or_default().push(title);
    }
    let earlier = items::ids_of(connection, &known).await?;
    let shows = shows(server, tasks, now, connection).await?;
    let shared = shared(tasks, &elsewhere(server, tasks, &known, &shows, connection).await?);
    let parts: Vec<Vec<Part>> = tasks.iter().map(|task| parts(task, &shows, &shared)).collect();
    let wanted = wanted(tasks, &parts, &linked);
    let mut catalogue = titles::load(connection, &wanted).await?;
    let mut names = Vec::new();
    let mut placements = Vec::with_capacity(tasks.len());
    for (task, parts) in tasks.iter().zip(&parts) {
        let before = task.known.and_then(|known| linked.get(&known));
        let mut titles = Vec::with_capacity(parts.len());
        let mut by = None;
        let mut conflicts: Vec<Conflict> = Vec::new();
        for (position, part) in parts.iter().enumerate() {
            let facts = Facts {
                kind: task.item.kind,
                ids: &part.ids,
                numbering: part.numbering,
                path: task.print.path_key.as_deref().filter(|_| parts.len() == 1),
                linked: before.and_then(|before| before.get(position).copied()),
            };
            let placement = catalogue.place(&facts);
            if position == 0 {
                by = placement.title.map(|_| placement.by);
            }
            conflicts.extend(placement.conflicts);
            if let Some(title) = placement.title {
                if placement.by == By::New {
                    names.push(naming(task.item, part, title, parts.len()));
                }
                titles.push(title);
            }
        }
        placements.push((titles, by, conflicts));
    }
    // Joins later in the page may have moved earlier placements.
    for (titles, _, _) in &mut placements {
        for title in titles.iter_mut() {
            *title = catalogue.resolve(*title);
        }
        titles.dedup();
    }
    let moved: Vec<bool> = tasks
        .iter()
        .zip(&placements)
        .map(|(task, (titles, _, _))| {
            let before = task.known.and_then(|known| linked.get(&known));
            let anew = task.known.and_then(|known| earlier.get(&known));
            before.is_some_and(|before| before.iter().map(|title| catalogue.resolve(*title)).ne(titles.iter().copied()))
                || anew.is_some_and(|earlier| begun_anew(server.kind, earlier, &task.item.ids))
        })
        .collect();
    let changes = catalogue.into_changes();
    save(&changes, &names, now, connection).await?;
    let placed: Vec<Placed<'_>> = tasks
        .iter()
        .zip(placements)
        .map(|(task, (titles, by, conflicts))| Placed {
            item: task.item,
            path_key: task.print.path_key.clone(),
            hash: task.print.hash,
            titles,
            by,
            conflicts,
        })
        .collect();
    let ids = items::save(connection, server.id, library_id, &placed, now).await?;
    // First sight of their new titles, for every account: what was seen of the old ones says nothing of them.
    let elsewhere: Vec<i64> = ids.iter().zip(&moved).filter(|(_, moved)| **moved).map(|(id, _)| *id).collect();
    observations::forget(connection, &elsewhere).await?;
    let conflicts = placed.iter().filter(|placed| !placed.conflicts.is_empty()).count() as u64;
    let items = tasks
        .iter()
        .zip(ids)
        .zip(moved)
        .map(|((task, item_id), moved)| (task.item.remote_id.as_str(), Found { item_id, moved }))
        .collect();
    Ok(Outcome { items, joined: changes.joined.len() as u64, conflicts })
}

/// True where a server has begun an item anew though it has its old key: it was matched to something else. Plex keeps states by its own guid, and one that
/// has changed takes none of them along.
fn begun_anew(kind: ServerKind, earlier: &Ids, now: &Ids) -> bool {
    let (was, is) = (earlier.get(Provider::Plex), now.get(Provider::Plex));
    match kind {
        // Legacy agents make their guid of the only id that they give.
        ServerKind::Plex if was.is_none() && is.is_none() => earlier != now,
        ServerKind::Plex => was != is,
        // One id of several that was corrected is no other film.
        ServerKind::Jellyfin | ServerKind::Emby => {
            !earlier.contradictions(now).is_empty() && earlier.shared(now).next().is_none()
        }
    }
}

/// The places of other episodes of the page's shows that carry ids of the page.
async fn elsewhere(
    server: &Server,
    tasks: &[Task<'_>],
    known: &[i64],
    shows: &Shows,
    connection: &mut Connection,
) -> Result<Vec<(Ids, (u32, u32))>, StoreError> {
    let episodes = tasks.iter().map(|task| task.item).filter(|item| item.kind == Kind::Episode);
    let ids: Vec<ExternalId> = episodes.flat_map(|item| item.ids.iter()).collect();
    let shows: Vec<TitleId> = shows.by_remote_id.values().chain(shows.by_ids.values()).copied().collect();
    items::places_of(connection, server.id, &shows, &ids, known).await
}

/// Ids that several episodes carry, those of a page and those `elsewhere`: ids of a show or a season, which some write on every episode. They name none of
/// them.
fn shared(tasks: &[Task<'_>], elsewhere: &[(Ids, (u32, u32))]) -> HashSet<ExternalId> {
    let mut places: HashMap<ExternalId, (u32, u32)> =
        elsewhere.iter().flat_map(|(ids, place)| ids.iter().map(|id| (id, *place))).collect();
    let mut shared = HashSet::new();
    for item in tasks.iter().map(|task| task.item).filter(|item| item.kind == Kind::Episode) {
        let Some(place) = item.season.zip(item.episode) else { continue };
        for id in item.ids.iter() {
            if *places.entry(id.clone()).or_insert(place) != place {
                shared.insert(id);
            }
        }
    }
    shared
}

/// One title that a file holds.
#[derive(Debug, Clone)]
struct Part {
    ids: Ids,
    numbering: Option<Numbering>,
}

/// The titles that a file holds: one, or an episode each. Ids on a file of several episodes are those of the first. `shared`: ids that name none.
fn parts(task: &Task<'_>, shows: &Shows, shared: &HashSet<ExternalId>) -> Vec<Part> {
    let item = task.item;
    if item.kind != Kind::Episode {
        return vec![Part { ids: item.ids.clone(), numbering: None }];
    }
    let show = item.show.as_ref().and_then(|show| shows.of(show.remote_id.as_deref(), &show.ids));
    let of_show = |id: &ExternalId| {
        let told = item.show.as_ref().is_some_and(|show| show.ids.get(id.provider) == Some(&id.value));
        let known =
            show.and_then(|show| shows.ids.get(&show)).is_some_and(|ids| ids.get(id.provider) == Some(&id.value));
        told || known
    };
    let own: Ids = item.ids.iter().filter(|id| !shared.contains(id) && !of_show(id)).collect();
    let place = |episode| {
        let (show, season) = (show?, item.season?);
        (episode > 0).then_some(Numbering { show, season, episode })
    };
    let first = item.episode.unwrap_or_default();
    let last = item.episode_end.filter(|last| *last > first && *last - first < MOST_EPISODES).unwrap_or(first);
    let mut parts = vec![Part { ids: own, numbering: place(first) }];
    parts.extend(
        (first + 1..=last).filter_map(place).map(|numbering| Part { ids: Ids::default(), numbering: Some(numbering) }),
    );
    parts
}

fn wanted(tasks: &[Task<'_>], parts: &[Vec<Part>], linked: &HashMap<i64, Vec<TitleId>>) -> Wanted {
    let mut wanted = Wanted::default();
    for (task, parts) in tasks.iter().zip(parts) {
        for part in parts {
            wanted.ids.extend(part.ids.iter().map(|id| (task.item.kind, id)));
            wanted.places.extend(part.numbering);
            wanted.fresh += 1;
        }
        wanted.paths.extend(task.print.path_key.clone().map(|path| (task.item.kind, path)));
        wanted.linked.extend(task.known.and_then(|known| linked.get(&known)).into_iter().flatten());
    }
    let paths = wanted.paths.iter().map(|(kind, path)| {
        let id = ExternalId { provider: Provider::Path, value: path.clone() };
        (*kind, id)
    });
    let paths: Vec<_> = paths.collect();
    wanted.ids.extend(paths);
    wanted
}

fn naming(item: &Item, part: &Part, id: TitleId, parts: usize) -> Naming {
    let parts = u64::try_from(parts).unwrap_or(1).max(1);
    Naming {
        id,
        name: item.title.clone(),
        year: item.year,
        runtime_ms: item.runtime_ms.map(|runtime| runtime / parts),
        place: part.numbering,
    }
}

async fn save(
    changes: &Changes,
    names: &[Naming],
    now: Timestamp,
    connection: &mut Connection,
) -> Result<(), StoreError> {
    if *changes == Changes::default() {
        return Ok(());
    }
    titles::save(connection, changes, names, now).await
}

/// The titles of the shows that a page's episodes belong to.
#[derive(Debug, Default)]
struct Shows {
    by_remote_id: HashMap<String, TitleId>,
    by_ids: HashMap<Ids, TitleId>,
    /// The ids of those that were known.
    ids: HashMap<TitleId, Ids>,
}

impl Shows {
    fn of(&self, remote_id: Option<&str>, ids: &Ids) -> Option<TitleId> {
        remote_id.and_then(|id| self.by_remote_id.get(id)).or_else(|| self.by_ids.get(ids)).copied()
    }
}

/// Shows were read before their episodes, so most are known by the server's id. Episodes of legacy agents carry the show's ids themselves.
async fn shows(
    server: &Server,
    tasks: &[Task<'_>],
    now: Timestamp,
    connection: &mut Connection,
) -> Result<Shows, StoreError> {
    let mut shows = Shows::default();
    let mut remote_ids: Vec<String> =
        tasks.iter().filter_map(|task| task.item.show.as_ref()?.remote_id.clone()).collect();
    remote_ids.sort_unstable();
    remote_ids.dedup();
    if !remote_ids.is_empty() {
        shows.by_remote_id = items::shows(connection, server.id, &remote_ids).await?.into_iter().collect();
        let known: Vec<TitleId> = shows.by_remote_id.values().copied().collect();
        shows.ids = titles::ids_of(connection, &known).await?;
    }
    let unknown: BTreeMap<String, (&Ids, &Item)> = tasks
        .iter()
        .filter_map(|task| task.item.show.as_ref().map(|show| (show, task.item)))
        .filter(|(show, _)| !show.ids.is_empty() && shows.of(show.remote_id.as_deref(), &Ids::default()).is_none())
        .map(|(show, item)| (show.ids.to_string(), (&show.ids, item)))
        .collect();
    if unknown.is_empty() {
        return Ok(shows);
    }
    let wanted = Wanted {
        ids: unknown.values().flat_map(|(ids, _)| ids.iter().map(|id| (Kind::Show, id))).collect(),
        fresh: unknown.len(),
        ..Wanted::default()
    };
    let mut catalogue = titles::load(connection, &wanted).await?;
    let mut names = Vec::new();
    for (ids, item) in unknown.values() {
        let placement = catalogue.place(&Facts { kind: Kind::Show, ids, numbering: None, path: None, linked: None });
        let Some(title) = placement.title else { continue };
        if placement.by == By::New {
            let name = item.show.as_ref().map_or_else(String::new, |show| show.title.clone());
            names.push(Naming { id: title, name, year: item.year, runtime_ms: None, place: None });
        }
        shows.by_ids.insert((*ids).clone(), title);
    }
    for title in shows.by_ids.values_mut() {
        *title = catalogue.resolve(*title);
    }
    save(&catalogue.into_changes(), &names, now, connection).await?;
    Ok(shows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_rule_that_fits_is_used() {
        let rule = |from: &str, to: &str| PathRule { from: from.into(), to: to.into() };
        let rules = [rule("/data", "/media"), rule("/data/films/", "/films"), rule("D:\\Serien", "/media/tv")];
        let cases = [
            ("/data/films/Heat.mkv", Some("/films/heat.mkv")),
            ("/data/tv/a.mkv", Some("/media/tv/a.mkv")),
            ("/database/a.mkv", None),
            ("D:\\Serien\\A\\b.mkv", Some("/media/tv/a/b.mkv")),
            ("/other/a.mkv", None),
        ];
        for (path, expected) in cases {
            assert_eq!(path_key(&rules, path).as_deref(), expected, "{path}");
        }
    }
}
