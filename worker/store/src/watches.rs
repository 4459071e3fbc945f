//! The agreed truth and the history of plays, one row a person and title.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use jiff_sqlx::Timestamp as Stamp;
use watchstate_domain::matching::TitleId;
use watchstate_domain::watch::{History, Position, Source, Viewing, Watch};

use crate::stamp::{big, bind, unsigned};
use crate::{Connection, Result};

/// The agreed truth of one title as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The truth.
    pub watch: Watch,
    /// When it was last watched.
    pub played_at: Option<Timestamp>,
    /// Counts the changes; 0 for a title of which nothing is known.
    pub version: i64,
}

/// A changed truth, to be stored.
#[derive(Debug, Clone)]
pub struct Changed {
    /// Of which title.
    pub title_id: TitleId,
    /// The truth.
    pub watch: Watch,
    /// When it was last watched.
    pub played_at: Option<Timestamp>,
    /// The server whose word changed it.
    pub via: String,
    /// The rule that decided, or the command (`restore`).
    pub rule: String,
}

/// Loads the truths of a person and keeps others from changing them until the transaction ends. Titles of which nothing is known come back
/// with version 0.
pub async fn lock(
    connection: &mut Connection,
    person_id: i64,
    titles: &[TitleId],
    now: Timestamp,
) -> Result<HashMap<TitleId, Agreed>> {
    let mut keys: Vec<i64> = titles.iter().map(|title| title.0).collect();
    keys.sort_unstable();
    keys.dedup();
    // A row to lock must be there: two servers may tell of a title at the same moment for the first time.
    sqlx::query!(
        r#"insert into watch_state (person_id, title_id, played, via, rule, changed_at, version)
           select $1, new.id, false, '', '', $3, 0 from unnest($2::bigint[]) as new (id)
           on conflict (person_id, title_id) do nothing"#,
        person_id,
        &keys,
        bind(now),
    )
    .execute(&mut *connection)
    .await?;
    known(connection, person_id, titles).await
}

/// The same, for those of which something is known; the others are missing.
pub async fn known(
    connection: &mut Connection,
    person_id: i64,
    titles: &[TitleId],
) -> Result<HashMap<TitleId, Agreed>> {
    let keys: Vec<i64> = titles.iter().map(|title| title.0).collect();
    let rows = sqlx::query!(
        r#"select title_id, marked_at, played, played_at, position_ms, position_at, version from watch_state
           where person_id = $1 and title_id = any($2) order by title_id for update"#,
        person_id,
        &keys,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let watch = watch(row.marked_at, row.played, row.position_ms, row.position_at);
            (
                TitleId(row.title_id),
                Agreed { watch, played_at: crate::stamp::read(row.played_at), version: row.version },
            )
        })
        .collect())
}

/// Stores truths of titles of which nothing was known. Returns those that were stored; of the others somebody told meanwhile or before. In the order of
/// their keys: two servers may tell of the same titles at the same moment, and the second waits for the first.
pub async fn begin(
    connection: &mut Connection,
    person_id: i64,
    fresh: &[Changed],
    now: Timestamp,
) -> Result<HashSet<TitleId>> {
    if fresh.is_empty() {
        return Ok(HashSet::new());
    }
    let mut fresh: Vec<&Changed> = fresh.iter().collect();
    fresh.sort_by_key(|one| one.title_id);
    let stored = sqlx::query_scalar!(
        r#"insert into watch_state (person_id, title_id, marked_at, played, played_at, position_ms, position_at, via, rule, changed_at, version)
           select $1, new.title_id, new.marked_at, new.played, new.played_at, new.position_ms, new.position_at, new.via, new.rule, $2, 1
           from unnest($3::bigint[], $4::timestamptz[], $5::boolean[], $6::timestamptz[], $7::bigint[], $8::timestamptz[], $9::text[], $10::text[])
               as new (title_id, marked_at, played, played_at, position_ms, position_at, via, rule)
           on conflict (person_id, title_id) do nothing returning title_id"#,
        person_id,
        bind(now),
        &fresh.iter().map(|one| one.title_id.0).collect::<Vec<_>>(),
        &fresh.iter().map(|one| one.watch.changed_at().map(Stamp::from)).collect::<Vec<_>>() as _,
        &fresh.iter().map(|one| one.watch.played()).collect::<Vec<_>>(),
        &fresh.iter().map(|one| one.played_at.map(Stamp::from)).collect::<Vec<_>>() as _,
        &fresh.iter().map(|one| one.watch.told_position().map(|position| big(position.position_ms))).collect::<Vec<_>>() as _,
        &fresh.iter().map(|one| one.watch.told_position().map(|position| Stamp::from(position.at))).collect::<Vec<_>>() as _,
        &fresh.iter().map(|one| one.via.clone()).collect::<Vec<_>>(),
        &fresh.iter().map(|one| one.rule.clone()).collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    Ok(stored.into_iter().map(TitleId).collect())
}

/// Stores changed truths of a person.
pub async fn save(connection: &mut Connection, person_id: i64, changed: &[Changed], now: Timestamp) -> Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"update watch_state w set marked_at = new.marked_at, played = new.played, played_at = new.played_at,
               position_ms = new.position_ms, position_at = new.position_at, via = new.via, rule = new.rule,
               changed_at = $2, version = w.version + 1
           from unnest($3::bigint[], $4::timestamptz[], $5::boolean[], $6::timestamptz[], $7::bigint[], $8::timestamptz[], $9::text[], $10::text[])
               as new (title_id, marked_at, played, played_at, position_ms, position_at, via, rule)
           where w.person_id = $1 and w.title_id = new.title_id"#,
        person_id,
        bind(now),
        &changed.iter().map(|one| one.title_id.0).collect::<Vec<_>>(),
        &changed.iter().map(|one| one.watch.changed_at().map(Stamp::from)).collect::<Vec<_>>() as _,
        &changed.iter().map(|one| one.watch.played()).collect::<Vec<_>>(),
        &changed.iter().map(|one| one.played_at.map(Stamp::from)).collect::<Vec<_>>() as _,
        &changed.iter().map(|one| one.watch.told_position().map(|position| big(position.position_ms))).collect::<Vec<_>>() as _,
        &changed.iter().map(|one| one.watch.told_position().map(|position| Stamp::from(position.at))).collect::<Vec<_>>() as _,
        &changed.iter().map(|one| one.via.clone()).collect::<Vec<_>>(),
        &changed.iter().map(|one| one.rule.clone()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The histories of a person for some titles, each with the title's running time. Titles without plays are there too, with an empty one. Each is looked
/// up by its key, which `offset` makes sure of: where statistics are missing or old, Postgres would go through all plays.
pub async fn histories(
    connection: &mut Connection,
    person_id: i64,
    titles: &[TitleId],
) -> Result<HashMap<TitleId, (History, Option<u64>)>> {
    let keys: Vec<i64> = titles.iter().map(|title| title.0).collect();
    let rows = sqlx::query!(
        r#"select t.id, t.runtime_ms, p.first_at as "first_at?", p.last_at as "last_at?", p.played_at as "played_at?",
               p.source as "source?", p.via as "via?"
           from title t
           left join lateral (select * from play where title_id = t.id and person_id = $1 offset 0) p on true
           where t.id = any($2)"#,
        person_id,
        &keys,
    )
    .fetch_all(connection)
    .await?;
    let mut viewings: HashMap<TitleId, (Vec<Viewing>, Option<u64>)> = HashMap::with_capacity(titles.len());
    for row in rows {
        let entry = viewings.entry(TitleId(row.id)).or_insert_with(|| (Vec::new(), row.runtime_ms.map(unsigned)));
        if let (Some(first), Some(last), Some(played_at), Some(source), Some(via)) =
            (row.first_at, row.last_at, row.played_at, row.source, row.via)
        {
            entry.0.push(Viewing {
                played_at: played_at.to_jiff(),
                source: source_of(&source),
                via,
                first: first.to_jiff(),
                last: last.to_jiff(),
            });
        }
    }
    Ok(viewings
        .into_iter()
        .map(|(title, (viewings, runtime_ms))| (title, (History::new(viewings, runtime_ms), runtime_ms)))
        .collect())
}

/// A history that has changed, to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Of which title.
    pub title_id: TitleId,
    /// What was stored before.
    pub before: &'a History,
    /// What is to be stored.
    pub history: &'a History,
}

/// Stores the histories of a person in place of what was there.
pub async fn save_histories(connection: &mut Connection, person_id: i64, told: &[Told<'_>]) -> Result<()> {
    if told.is_empty() {
        return Ok(());
    }
    let rows: Vec<(i64, &Viewing)> = told
        .iter()
        .flat_map(|told| told.history.viewings().iter().map(move |viewing| (told.title_id.0, viewing)))
        .collect();
    let known: Vec<i64> =
        told.iter().filter(|told| !told.before.viewings().is_empty()).map(|told| told.title_id.0).collect();
    let titles: Vec<i64> = rows.iter().map(|(title, _)| *title).collect();
    let stamps = |read: fn(&Viewing) -> Timestamp| {
        rows.iter().map(|(_, viewing)| Stamp::from(read(viewing))).collect::<Vec<_>>()
    };
    let firsts = stamps(|viewing| viewing.first);
    if !known.is_empty() {
        sqlx::query!(
            r#"delete from play where person_id = $1 and title_id = any($2)
               and (title_id, first_at) not in (select * from unnest($3::bigint[], $4::timestamptz[]))"#,
            person_id,
            &known,
            &titles,
            &firsts as _,
        )
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query!(
        r#"insert into play (person_id, title_id, first_at, last_at, played_at, source, via)
           select $1, new.title_id, new.first_at, new.last_at, new.played_at, new.source, new.via
           from unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[])
               as new (title_id, first_at, last_at, played_at, source, via)
           on conflict (person_id, title_id, first_at) do update set last_at = excluded.last_at, played_at = excluded.played_at,
               source = excluded.source, via = excluded.via
           where (play.last_at, play.played_at, play.source, play.via) is distinct from
               (excluded.last_at, excluded.played_at, excluded.source, excluded.via)"#,
        person_id,
        &titles,
        &firsts as _,
        &stamps(|viewing| viewing.last) as _,
        &stamps(|viewing| viewing.played_at) as _,
        &rows.iter().map(|(_, viewing)| source_word(viewing.source).to_owned()).collect::<Vec<_>>(),
        &rows.iter().map(|(_, viewing)| viewing.via.clone()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Joins the truths and histories of two titles that are one.
pub(crate) async fn join(connection: &mut Connection, from: TitleId, into: TitleId) -> Result<()> {
    let rows = sqlx::query!(
        r#"select person_id, marked_at, played, position_ms, position_at, via, rule, changed_at from watch_state
           where title_id = $1 order by person_id for update"#,
        from.0,
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let now = row.changed_at.to_jiff();
        let theirs = watch(row.marked_at, row.played, row.position_ms, row.position_at);
        let ours = lock(connection, row.person_id, &[into], now).await?.remove(&into).unwrap_or_default();
        let mut histories = histories(connection, row.person_id, &[from, into]).await?;
        let (told, _) = histories.remove(&from).unwrap_or_default();
        let (before, runtime_ms) = histories.remove(&into).unwrap_or_default();
        let mut history = before.clone();
        for viewing in told.viewings() {
            history.tell(viewing.clone(), runtime_ms);
        }
        save_histories(connection, row.person_id, &[Told { title_id: into, before: &before, history: &history }])
            .await?;
        let joined = ours.watch.join(theirs);
        if joined != ours.watch || history.last_played_at() != ours.played_at {
            let changed = Changed {
                title_id: into,
                watch: joined,
                played_at: history.last_played_at(),
                via: row.via,
                rule: row.rule,
            };
            save(connection, row.person_id, &[changed], now).await?;
        }
    }
    Ok(())
}

fn watch(marked_at: Option<Stamp>, played: bool, position_ms: Option<i64>, position_at: Option<Stamp>) -> Watch {
    let position = position_ms
        .zip(position_at)
        .map(|(position_ms, at)| Position { at: at.to_jiff(), position_ms: unsigned(position_ms) });
    Watch::from_parts(marked_at.map(|at| (at.to_jiff(), played)), position)
}

fn source_of(word: &str) -> Source {
    if word == "playback" { Source::Playback } else { Source::Mark }
}

const fn source_word(source: Source) -> &'static str {
    match source {
        Source::Playback => "playback",
        Source::Mark => "mark",
    }
}
