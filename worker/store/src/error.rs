//! What can go wrong with the database.

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address of the database can't be read.
    #[error("the database's address can't be read; expected postgres://user:password@host:port/name")]
    Address(#[source] sqlx::Error),
    /// No connection.
    #[error("no connection to the database at {address}")]
    Connect {
        /// Its host and port.
        address: String,
        /// Why.
        source: sqlx::Error,
    },
    /// It knows no such user, password or database.
    #[error(
        "the database at {address} lets nobody in with this address: {reason}; correct the user, password or name in DATABASE_URL (or --database)"
    )]
    Refused {
        /// Its host and port.
        address: String,
        /// In Postgres' words.
        reason: String,
    },
    /// The schema couldn't be brought up to date.
    #[error("the database's schema couldn't be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A query failed.
    #[error("a query failed")]
    Query(#[from] sqlx::Error),
    /// A row holds what no version of this program writes.
    #[error(
        "table {table}, column {column}: {found:?} can't be read; was it edited by hand, or written by a newer version?"
    )]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What stands there.
        found: String,
    },
    /// The embedded Postgres couldn't be started.
    #[error(
        "the embedded Postgres couldn't be started: {0}; name a database with --database or DATABASE_URL, or see the log in its folder"
    )]
    Embedded(String),
}

/// Postgres' codes for a wrong user or password, and for a database that doesn't exist.
const UNKNOWN: [&str; 3] = ["28P01", "28000", "3D000"];

impl StoreError {
    /// What became of an attempt to connect.
    pub(crate) fn of_connecting(address: String, source: sqlx::Error) -> Self {
        match &source {
            // By its message alone: the error's own text adds a line number of Postgres' source.
            sqlx::Error::Database(error) if error.code().is_some_and(|code| UNKNOWN.contains(&&*code)) => {
                Self::Refused { address, reason: error.message().to_owned() }
            }
            _ => Self::Connect { address, source },
        }
    }

    /// Postgres' code of the error, where Postgres refused something.
    fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Query(sqlx::Error::Database(error)) => error.code().map(std::borrow::Cow::into_owned),
            _ => None,
        }
    }

    /// True where the database refuses what it is given, however often it is tried.
    pub fn is_of_data(&self) -> bool {
        self.sqlstate().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
    }

    /// True where two waited for each other and Postgres has ended this one: it may begin anew at once.
    pub fn is_deadlock(&self) -> bool {
        self.sqlstate().as_deref() == Some("40P01")
    }

    /// True where only a person can help, if nobody waits for the database's owner.
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Address(_) | Self::Refused { .. })
    }

    /// True where trying again later may help.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Refused { .. } | Self::Query(_) | Self::Embedded(_))
    }

    /// True where a database that is just starting, or whose name and address aren't known everywhere yet, says so: soon it won't. Not where it knows no such
    /// user, password or database, though some day it may.
    pub fn is_of_a_start(&self) -> bool {
        let Self::Connect { source, .. } = self else { return false };
        match source {
            sqlx::Error::Io(_) => true,
            // Starting up or shutting down, and too many connections.
            sqlx::Error::Database(error) => {
                error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("53"))
            }
            _ => false,
        }
    }
}

/// The result of a call to the store.
pub type Result<T> = std::result::Result<T, StoreError>;
