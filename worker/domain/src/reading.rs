//! How much of a library must be read: only what is newer than the cursor, or all of it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The exact numbers of a library for one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Films and episodes.
    pub total: i64,
    /// Played.
    pub played: i64,
    /// With a position.
    pub resumable: i64,
}

impl std::ops::Sub for Numbers {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            total: self.total - other.total,
            played: self.played - other.played,
            resumable: self.resumable - other.resumable,
        }
    }
}

/// How far incremental reading of one library got for one account. Stamps are on the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Activity before this is known.
    pub activity: Timestamp,
    /// New and changed items before this are known.
    pub changes: Timestamp,
    /// By how much the server's own numbers differ from what it lists, as seen twice around a full read: servers count merged versions differently.
    pub skew: Numbers,
}

/// Why a library is read in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It was asked for.
    Asked,
    /// It was never read in full.
    FirstTime,
    /// The server's numbers don't fit what is known: something was un-played, removed, or played with an old date.
    NumbersDiffer,
}

/// Stamps are rounded, and a server writes an item a little after it stamps it: so much of what is known is read again.
const OVERLAP: SignedDuration = SignedDuration::from_mins(2);

impl Cursor {
    /// The cursor after everything until `now` (server's clock) was read and stored.
    pub fn at(now: Timestamp, skew: Numbers) -> Self {
        let from = now.saturating_sub(OVERLAP).unwrap_or(now);
        Self { activity: from, changes: from, skew }
    }

    /// True when what the server counts is what is known, apart from the skew.
    pub fn fits(&self, server: Numbers, known: Numbers) -> bool {
        server - known == self.skew
    }
}

/// The skew to remember after a full read: the difference, if the server's numbers stood still around the read; else none, so that the next
/// incremental read, finding a difference, reads in full again.
pub fn settled_skew(before: Numbers, after: Numbers, known: Numbers) -> Numbers {
    if before == after { after - known } else { Numbers::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(total: i64, played: i64, resumable: i64) -> Numbers {
        Numbers { total, played, resumable }
    }

    #[test]
    fn numbers_that_differ_ask_for_a_full_read() {
        let cursor = Cursor::at(Timestamp::UNIX_EPOCH, Numbers::default());
        assert!(cursor.fits(numbers(10, 4, 1), numbers(10, 4, 1)));
        for other in [numbers(9, 4, 1), numbers(10, 3, 1), numbers(10, 5, 1), numbers(10, 4, 0)] {
            assert!(!cursor.fits(other, numbers(10, 4, 1)), "{other:?}");
        }
    }

    #[test]
    fn a_server_that_counts_differently_is_not_read_in_full_each_time() {
        let skew = settled_skew(numbers(12, 5, 1), numbers(12, 5, 1), numbers(10, 4, 1));
        assert!(Cursor::at(Timestamp::UNIX_EPOCH, skew).fits(numbers(12, 5, 1), numbers(10, 4, 1)));
    }

    #[test]
    fn a_change_during_the_read_is_not_taken_for_skew() {
        assert_eq!(settled_skew(numbers(10, 5, 1), numbers(10, 4, 1), numbers(10, 5, 1)), Numbers::default());
    }
}
