//! Locks that live as long as a connection: two workers at once do no harm, and a killed one leaves nothing behind.

use crate::{Connection, PooledConnection, Result, Store};

/// What one worker at a time may do at one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Read it.
    Import,
    /// Write to it.
    Write,
}

impl Lane {
    /// The first key of the advisory lock; the second is the server.
    const fn key(self) -> i32 {
        match self {
            Self::Import => 0x5753_0001,
            Self::Write => 0x5753_0002,
        }
    }
}

/// The key under which titles are made and joined.
const TITLES: i64 = 0x5753_0000_0000_0003;

/// A lane that is held. It owns its connection: work that must not be done by two goes through [`Self::connection`], so that a lost
/// connection, and with it the lock, ends the work too.
#[derive(Debug)]
pub struct Held {
    connection: PooledConnection,
    lane: Lane,
    server: i32,
}

impl Store {
    /// Takes a lane; None when another worker has it.
    pub async fn try_lock(&self, lane: Lane, server_id: i64) -> Result<Option<Held>> {
        let mut connection = self.acquire().await?;
        let server = i32::try_from(server_id).unwrap_or(i32::MAX);
        let taken = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1, $2) as "taken!""#, lane.key(), server)
            .fetch_one(&mut *connection)
            .await?;
        Ok(taken.then_some(Held { connection, lane, server }))
    }

    /// Takes a lane, and waits for the worker that has it.
    pub async fn lock(&self, lane: Lane, server_id: i64) -> Result<Held> {
        let mut connection = self.acquire().await?;
        let server = i32::try_from(server_id).unwrap_or(i32::MAX);
        sqlx::query!("select pg_advisory_lock($1, $2)", lane.key(), server).execute(&mut *connection).await?;
        Ok(Held { connection, lane, server })
    }
}

impl Held {
    /// The connection that holds the lock.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Gives the lane back. A lane that is dropped instead is given back when its connection closes.
    pub async fn release(mut self) -> Result<()> {
        sqlx::query_scalar!("select pg_advisory_unlock($1, $2)", self.lane.key(), self.server)
            .fetch_one(&mut *self.connection)
            .await?;
        Ok(())
    }
}

/// How a transaction touches titles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Titles {
    /// It reads states of titles that must not be joined away meanwhile. Several at once.
    Use,
    /// It makes and joins titles. One at a time, so that no title is made twice.
    Change,
}

/// Locks titles until the transaction ends.
pub async fn titles(connection: &mut Connection, how: Titles) -> Result<()> {
    match how {
        Titles::Use => {
            sqlx::query!("select pg_advisory_xact_lock_shared($1)", TITLES).execute(connection).await?;
        }
        Titles::Change => {
            sqlx::query!("select pg_advisory_xact_lock($1)", TITLES).execute(connection).await?;
        }
    }
    Ok(())
}
