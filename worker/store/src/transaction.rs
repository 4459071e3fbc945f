//! Transactions on a connection that somebody holds: begun inside another one they are savepoints, so that a dry run can hold everything in
//! one transaction and take it back.

use sqlx::Connection as _;

use crate::{Connection, Result};

/// A transaction, or a savepoint inside one. Rolled back when dropped without a commit.
#[derive(Debug)]
pub struct Guard<'a>(sqlx::Transaction<'a, sqlx::Postgres>);

/// Begins one.
pub async fn begin(connection: &mut Connection) -> Result<Guard<'_>> {
    Ok(Guard(connection.begin().await?))
}

impl Guard<'_> {
    /// Makes what was done in it last.
    pub async fn commit(self) -> Result<()> {
        Ok(self.0.commit().await?)
    }

    /// Takes back what was done in it.
    pub async fn rollback(self) -> Result<()> {
        Ok(self.0.rollback().await?)
    }
}

impl std::ops::Deref for Guard<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl std::ops::DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}
