//! `state`: who has watched what, with filters; and the items that fit nowhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use watchstate_domain::ids::Provider;
use watchstate_merge::queue::wanted;
use watchstate_runtime::Exit;
use watchstate_store::candidates::{self, Candidate};
use watchstate_store::registry::{self, Server};
use watchstate_store::report::copies;
use watchstate_store::report::oddities::{self, Odd, Oddity};
use watchstate_store::report::titles::{self, Question, Watched};
use watchstate_store::{Connection, report};

use crate::Misconfigured;
use crate::app::App;
use crate::args::{Since, StateArgs};
use crate::command::{question, servers};
use crate::output::{self, Sheet};

/// Titles that are looked up at a time.
const BATCH: usize = 1_000;

/// Prints states, conflicts or unmatched items.
pub async fn run(app: &App, args: &StateArgs) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    let servers = registry::servers(&mut connection).await?;
    let server = args.server.as_deref().map(|name| servers::named(&servers, name)).transpose()?.map(|server| server.id);
    if args.conflict || args.unmatched {
        let odd = if args.conflict { Odd::Conflicting } else { Odd::Unmatched };
        return oddities(app, args, server, odd, &mut connection).await;
    }
    let asked = match args.title.as_deref() {
        Some(text) => exactly(text, &mut connection).await?,
        None => None,
    };
    let filter = titles::Filter {
        person: person(args.person.as_deref(), &mut connection).await?,
        titles: asked.as_deref(),
        name: args.title.as_deref().filter(|_| asked.is_none()),
        show: args.show.as_deref(),
        server,
        played: match (args.played, args.unplayed) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        changed_since: args.changed_since.map(|since| since_when(since, app.clock.now())).transpose()?,
    };
    let mut watched = titles::watched(&mut connection, &filter, args.limit + 1).await?;
    let more = cut(&mut watched, args.limit);
    let lines = lines(app, &servers, watched, &mut connection).await?;
    output::print(app.format, &lines, |lines| {
        vec![sheet(lines).remark(remark(lines.len(), more, "Nothing matches."))]
    })?;
    Ok(Exit::Done)
}

fn since_when(since: Since, now: Timestamp) -> Result<Timestamp, Misconfigured> {
    since.before(now).ok_or_else(|| Misconfigured("--changed-since: no calendar goes back so far".to_owned()))
}

/// The keys of the titles that a question means which is more than a part of a name; None where it is no such question, or nothing is called so.
async fn exactly(text: &str, connection: &mut Connection) -> Result<Option<Vec<i64>>> {
    let asked = if text.trim().is_empty() { return Ok(None) } else { question::read(text)? };
    if matches!(asked, Question::Name(_)) {
        return Ok(None);
    }
    let (found, _) = titles::find(connection, &asked, i64::MAX).await?;
    Ok((!found.is_empty()).then(|| found.into_iter().map(|title| title.title_id).collect()))
}

/// The key of the person who was named, or an error that names those who are known.
pub(super) async fn person(name: Option<&str>, connection: &mut Connection) -> Result<Option<i64>> {
    let Some(name) = name else { return Ok(None) };
    let persons = report::persons(connection).await?;
    if let Some((id, _)) = persons.iter().find(|(_, person)| person == name) {
        return Ok(Some(*id));
    }
    let known: Vec<&str> = persons.iter().map(|(_, person)| person.as_str()).collect();
    Err(Misconfigured(format!("there is no person {name:?}; known: {}", output::or_dash(Some(&known.join(", ")))))
        .into())
}

/// Cuts what was asked for to find out whether there is more. True when there is.
fn cut<T>(rows: &mut Vec<T>, limit: i64) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    more
}

fn remark(shown: usize, more: bool, nothing: &str) -> String {
    match (shown, more) {
        (0, _) => nothing.to_owned(),
        (_, true) => format!("Only the first {shown} are shown; more with --limit."),
        _ => String::new(),
    }
}

/// One person's truth of one title, with the servers that have it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(flatten)]
    watched: Watched,
    /// Servers that show it to the person.
    servers: Vec<String>,
    /// Those that hold another state than the agreed one.
    disagree: Vec<String>,
}

async fn lines(app: &App, servers: &[Server], watched: Vec<Watched>, connection: &mut Connection) -> Result<Vec<Line>> {
    let servers: HashMap<i64, &Server> = servers.iter().map(|server| (server.id, server)).collect();
    let mut lines = Vec::with_capacity(watched.len());
    let mut rest = watched.into_iter();
    loop {
        let batch: Vec<Watched> = rest.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(lines);
        }
        let mut held = held(app, &servers, &batch, connection).await?;
        lines.extend(batch.into_iter().map(|watched| {
            let (servers, disagree) = held.remove(&(watched.person_id, watched.title.title_id)).unwrap_or_default();
            Line { watched, servers: servers.into_iter().collect(), disagree: disagree.into_iter().collect() }
        }));
    }
}

type Held = HashMap<(i64, i64), (BTreeSet<String>, BTreeSet<String>)>;

/// The servers that show the titles to the persons, and those of them that hold another state.
async fn held(
    app: &App,
    servers: &HashMap<i64, &Server>,
    watched: &[Watched],
    connection: &mut Connection,
) -> Result<Held> {
    let keys: BTreeSet<i64> = watched.iter().map(|one| one.title.title_id).collect();
    let copies = copies::of_titles(connection, &keys.into_iter().collect::<Vec<_>>(), None).await?;
    let mut items: BTreeMap<i64, (i64, BTreeSet<i64>)> = BTreeMap::new();
    let mut held = Held::new();
    let mut places: HashMap<(i64, i64), Vec<(i64, i64)>> = HashMap::new();
    for copy in &copies {
        let Some(viewer) = copy.viewer.as_ref().filter(|v| v.seen.as_ref().is_some_and(|seen| seen.gone_at.is_none()))
        else {
            continue;
        };
        let Some(server) = servers.get(&copy.server_id) else { continue };
        held.entry((viewer.person_id, copy.title_id)).or_default().0.insert(server.name.clone());
        items.entry(viewer.account_id).or_insert_with(|| (copy.server_id, BTreeSet::new())).1.insert(copy.item_id);
        places.entry((viewer.account_id, copy.item_id)).or_default().push((viewer.person_id, copy.title_id));
    }
    for (account_id, (server_id, items)) in items {
        let Some(server) = servers.get(&server_id) else { continue };
        let candidates = candidates::load(connection, account_id, &items.into_iter().collect::<Vec<_>>()).await?;
        let now = app.clock.now();
        let differs = |candidate: &&Candidate| wanted(server, app.policy.progress, candidate, now).is_some();
        for candidate in candidates.iter().filter(differs) {
            for key in places.get(&(account_id, candidate.item_id)).into_iter().flatten() {
                held.entry(*key).or_default().1.insert(server.name.clone());
            }
        }
    }
    Ok(held)
}

fn sheet(lines: &[Line]) -> Sheet {
    let rows = lines
        .iter()
        .map(|line| {
            let Watched { person, title, played, played_at, plays, position_ms, changed_at, via, rule, .. } =
                &line.watched;
            vec![
                person.clone(),
                title.kind.clone(),
                title.label(),
                if *played { "yes" } else { "no" }.to_owned(),
                output::time(*played_at),
                plays.to_string(),
                position_ms.map_or_else(|| "-".to_owned(), output::position),
                output::time(*changed_at),
                output::or_dash(via.as_deref()),
                output::or_dash(rule.as_deref()),
                places(&line.servers, &line.disagree),
            ]
        })
        .collect();
    let columns = vec![
        "person",
        "kind",
        "title",
        "played",
        "played at (UTC)",
        "plays",
        "position",
        "changed at (UTC)",
        "via",
        "rule",
        "servers (! differs)",
    ];
    Sheet::new(columns, rows)
}

/// `emby, plex!`: a mark for the servers that hold another state.
fn places(servers: &[String], disagree: &[String]) -> String {
    let words: Vec<String> = servers
        .iter()
        .map(|server| if disagree.contains(server) { format!("{server}!") } else { server.clone() })
        .collect();
    output::or_dash(Some(&words.join(", ")))
}

/// An item that fits nowhere, as it is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OddLine {
    title: String,
    #[serde(flatten)]
    item: Oddity,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contradicts: Vec<Contradiction>,
}

/// A title that an item contradicts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Contradiction {
    pub title_id: i64,
    pub title: String,
    /// Providers for which the two have different values; empty when their places contradict.
    pub providers: Vec<Provider>,
    /// The title's ids.
    pub ids: Vec<String>,
}

impl Contradiction {
    /// `Heat (1995) by tmdb`.
    pub(super) fn sentence(&self) -> String {
        let providers: Vec<&str> = self.providers.iter().map(|provider| provider.as_str()).collect();
        let by = if providers.is_empty() { "season and episode".to_owned() } else { providers.join(", ") };
        format!("{} by {by}", self.title)
    }
}

/// The titles of conflicts, with their names.
pub(super) async fn contradictions(
    conflicts: &[watchstate_domain::matching::Conflict],
    connection: &mut Connection,
) -> Result<Vec<Contradiction>> {
    if conflicts.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<i64> = conflicts.iter().map(|conflict| conflict.with.0).collect();
    let titles = oddities::titles(connection, &keys).await?;
    Ok(conflicts
        .iter()
        .map(|conflict| {
            let title = titles.get(&conflict.with.0);
            Contradiction {
                title_id: conflict.with.0,
                title: title.map_or_else(
                    || format!("title {} (joined or removed since)", conflict.with.0),
                    titles::Title::label,
                ),
                providers: conflict.providers.clone(),
                ids: title.map(|title| title.ids.clone()).unwrap_or_default(),
            }
        })
        .collect())
}

async fn oddities(
    app: &App,
    args: &StateArgs,
    server: Option<i64>,
    odd: Odd,
    connection: &mut Connection,
) -> Result<Exit> {
    let filter = oddities::Filter { server, name: args.title.as_deref(), show: args.show.as_deref() };
    let mut items = oddities::list(connection, odd, filter, args.limit + 1).await?;
    let more = cut(&mut items, args.limit);
    let conflicts: Vec<_> = items.iter().flat_map(|item| item.conflicts.iter().cloned()).collect();
    let mut named = contradictions(&conflicts, connection).await?.into_iter();
    let lines: Vec<OddLine> = items
        .into_iter()
        .map(|item| OddLine {
            title: item.named.label(),
            contradicts: named.by_ref().take(item.conflicts.len()).collect(),
            item,
        })
        .collect();
    output::print(app.format, &lines, |lines| {
        let nothing = if odd == Odd::Conflicting { "No item contradicts a title." } else { "Every item has a title." };
        vec![odd_sheet(lines, odd).remark(remark(lines.len(), more, nothing))]
    })?;
    Ok(Exit::Done)
}

fn odd_sheet(lines: &[OddLine], odd: Odd) -> Sheet {
    let rows = lines
        .iter()
        .map(|line| {
            let item = &line.item;
            let mut row = vec![
                item.server.clone(),
                output::or_dash(item.library.as_deref()),
                item.item.clone(),
                item.kind.clone(),
                line.title.clone(),
                output::or_dash(Some(&item.ids.join(" "))),
            ];
            if odd == Odd::Conflicting {
                let sentences: Vec<String> = line.contradicts.iter().map(Contradiction::sentence).collect();
                row.push(output::or_dash(Some(&sentences.join("; "))));
            } else {
                row.push(item.junk_ids.to_string());
                row.push(output::or_dash(item.path.as_deref()));
            }
            row
        })
        .collect();
    let mut columns = vec!["server", "library", "item", "kind", "name", "ids"];
    columns.extend(if odd == Odd::Conflicting { &["contradicts"][..] } else { &["junk ids", "path"][..] });
    Sheet::new(columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_hold_another_state_are_marked() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(places(&names(&["emby", "plex"]), &names(&["plex"])), "emby, plex!");
        assert_eq!(places(&[], &[]), "-");
    }

    #[test]
    fn a_list_that_is_cut_says_so_and_one_that_fits_does_not() {
        let cases =
            [(3, 2, true, "Only the first 2 are shown; more with --limit."), (2, 2, false, ""), (0, 2, false, "none")];
        for (found, limit, expected, told) in cases {
            let mut rows = vec![(); found];
            let more = cut(&mut rows, limit);
            assert_eq!((more, remark(rows.len(), more, "none").as_str()), (expected, told), "{found} of {limit}");
        }
    }

    #[test]
    fn a_contradiction_names_the_providers_or_the_place() {
        let by = |providers: Vec<Provider>| {
            Contradiction { title_id: 1, title: "Heat (1995)".into(), providers, ids: Vec::new() }.sentence()
        };
        assert_eq!(by(vec![Provider::Imdb, Provider::Tmdb]), "Heat (1995) by imdb, tmdb");
        assert_eq!(by(vec![]), "Heat (1995) by season and episode");
    }
}
