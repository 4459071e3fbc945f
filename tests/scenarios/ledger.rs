//! What stays behind: everything in a household's database, the truths and histories apart from keys and moments that differ from run to run;
//! and libraries of any size.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use watchstate_tests::household::Household;
use watchstate_tests::library::{Size, Titles, give_past};
use watchstate_tests::world::{UserState, World};

use crate::builders::{ADDED, ANNA, at};
use crate::circle::until;

/// A household's database.
pub struct Ledger(PgPool);

impl Ledger {
    /// Opens it.
    pub async fn open(household: &Household) -> Result<Self> {
        Ok(Self(PgPool::connect(&household.database).await?))
    }

    /// Rows as JSON.
    pub async fn rows(&self, query: &str) -> Result<Vec<Value>> {
        let wrapped = format!("select to_jsonb(one) from ({query}) one");
        Ok(sqlx::query_scalar(AssertSqlSafe(wrapped)).fetch_all(&self.0).await?)
    }

    /// One number.
    pub async fn number(&self, query: &str) -> Result<i64> {
        Ok(sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&self.0).await?)
    }

    /// Changes something by hand.
    pub async fn change(&self, statement: &str) -> Result<()> {
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&self.0).await?;
        Ok(())
    }

    /// Every row of every table, as text.
    pub async fn everything(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let tables: Vec<String> =
            sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
                .fetch_all(&self.0)
                .await?;
        let mut dump = BTreeMap::new();
        for table in tables {
            let rows = format!("select to_jsonb(one)::text from {table} one order by 1");
            dump.insert(table, sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(&self.0).await?);
        }
        Ok(dump)
    }

    /// What is agreed of every title.
    pub async fn truths(&self) -> Result<Vec<Value>> {
        self.rows(
            "select p.name as person, t.kind, s.name as show, t.season, t.episode, t.name, w.played, w.played_at, w.position_ms
             from watch_state w join person p on p.id = w.person_id join title t on t.id = w.title_id left join title s on s.id = t.show_id
             order by 1, 2, 3, 4, 5, 6",
        )
        .await
    }

    /// Every viewing.
    pub async fn viewings(&self) -> Result<Vec<Value>> {
        self.rows(
            "select p.name as person, t.kind, s.name as show, t.season, t.episode, t.name, y.played_at, y.first_at, y.last_at, y.source
             from play y join person p on p.id = y.person_id join title t on t.id = y.title_id left join title s on s.id = t.show_id
             order by 1, 2, 3, 4, 5, 6, 7",
        )
        .await
    }

    /// Waits until the database has noticed that a killed worker is gone.
    pub async fn lanes_are_free(&self) -> Result<()> {
        self.change(
            "do $$ declare lane integer; one record; begin
                     for one in select id::integer as id from server loop
                         foreach lane in array array[x'57530001'::integer, x'57530002'::integer] loop
                             perform pg_advisory_lock(lane, one.id);
                             perform pg_advisory_unlock(lane, one.id);
                         end loop;
                     end loop; end $$",
        )
        .await
    }

    /// Waits until so many connections wait for locks of others.
    pub async fn waiting(&self, connections: i64) -> Result<()> {
        let waiting =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let what = format!("{connections} connections wait for locks");
        until(&what, async || Ok(self.number(waiting).await? >= connections)).await
    }

    /// Waits until all events that came are merged. One that somebody is merging counts as waiting until that is done.
    pub async fn merged(&self) -> Result<()> {
        let waiting = "select count(*) from inbox where handled_at is null and verdict = 'waiting'";
        until("all events are merged", async || Ok(self.number(waiting).await? == 0)).await
    }

    /// Waits until nothing is left to be merged, looked up or written by now. Suspended servers have nobody who would do it.
    pub async fn nothing_is_due(&self) -> Result<()> {
        let due = "select count(*) from (
                select server_id from inbox where handled_at is null
                    and (verdict = 'waiting' or verdict = 'lookup' and coalesce(next_try_at, received_at) <= now())
                union all
                select a.server_id from outbox o join account a on a.id = o.account_id
                where o.state = 'pending' and o.next_try_at <= now()
            ) due join server s on s.id = due.server_id where not coalesce((s.policy->>'suspend')::boolean, false)";
        until("nothing is due", async || Ok(self.number(due).await? == 0)).await
    }

    /// How many writes wait or were given up.
    pub async fn open_writes(&self) -> Result<i64> {
        self.number("select count(*) from outbox where state in ('pending', 'dead')").await
    }
}

/// Adds so many films, and shows of two seasons with ten episodes each, all of them there for long.
pub fn fill(world: &World, films: usize, shows: usize) {
    Titles::synthetic(7, Size::usual(films, shows)).fill(world);
    age(world);
}

/// Nothing of what the server holds is new.
pub fn age(world: &World) {
    world.edit(|model| {
        for media in model.media.values_mut() {
            (media.added_at, media.saved_at) = (at(ADDED), at(ADDED));
        }
    });
}

/// Gives anna a past: so many percent were played, some of the others are under way.
pub fn past(world: &World, seed: u64, percent: u64) {
    give_past(world, ANNA, seed, percent).unwrap();
}

/// As above, with nothing under way: after a sync, all servers must hold the same.
pub fn plain_past(world: &World, seed: u64, percent: u64) {
    past(world, seed, percent);
    world.edit(|model| {
        for states in model.states.values_mut() {
            states.retain(|_, state| state.played);
        }
    });
}

/// Marks the first `count` of anna's films and episodes as watched, one a day.
pub fn watch_first(world: &World, count: usize) {
    let ids: Vec<String> = world.states(ANNA).into_keys().take(count).collect();
    assert_eq!(ids.len(), count, "the library is too small");
    for (day, id) in ids.iter().enumerate() {
        let when = at("2020-01-01T20:00:00Z") + jiff::SignedDuration::from_hours(24 * i64::try_from(day).unwrap());
        let state = UserState { played: true, plays: 1, last_played_at: Some(when), ..UserState::default() };
        world.set_state(ANNA, id, &state).unwrap();
    }
}
