//! The bridge between our timestamps and Postgres'.

use jiff_sqlx::Timestamp as Stamp;

/// For binding one stamp.
pub(crate) fn bind(at: jiff::Timestamp) -> Stamp {
    at.into()
}

/// For reading one that may be missing.
pub(crate) fn read(at: Option<Stamp>) -> Option<jiff::Timestamp> {
    at.map(Stamp::to_jiff)
}

/// Play counts and numbers fit `integer` columns; absurd ones are cut.
pub(crate) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Back from an `integer` column.
pub(crate) fn number(int: i32) -> u32 {
    u32::try_from(int).unwrap_or_default()
}

/// Milliseconds fit `bigint` columns.
pub(crate) fn big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Back from a `bigint` column.
pub(crate) fn unsigned(big: i64) -> u64 {
    u64::try_from(big).unwrap_or_default()
}
