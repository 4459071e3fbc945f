//! What was watched, by whom, and how the tellings of several servers become one truth.
//!
//! Pure: no IO, no async, no clock. In the order in which data flows:
//! [`ids`] (what a server calls a title) → [`item`] (what a server says of one item) → [`matching`] (which title
//! that is) → [`merge`] (what its state means, three ways) → [`watch`] (the agreed truth, and the history of plays)
//! → [`write`] (what a server should be told) → [`brake`] (what is too much to do unasked).

pub mod brake;
pub mod clock;
pub mod ids;
pub mod item;
pub mod matching;
pub mod merge;
pub mod notice;
pub mod policy;
pub mod reading;
pub mod watch;
pub mod write;
