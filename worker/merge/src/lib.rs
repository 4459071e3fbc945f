//! What servers tell, by pages of an import or by events of webhooks, merged into the shared state.
//!
//! [`place`] finds the titles of items, [`truth`] joins events into the agreed truth and the history, [`queue`] tells other servers of it through the
//! outbox, [`events`] does all of that for events in the inbox. Nothing here talks to a media server: receiver and workers share it.

pub mod events;
pub mod household;
pub mod place;
pub mod queue;
pub mod truth;
