//! What Jellyfin and Emby have in common: routes, authorization, items.

use http::StatusCode;

use crate::http::{Answer, Call, Group, Operation};
use crate::world::World;

/// Which route a call takes.
pub fn operation(call: &Call) -> Operation {
    let _ = call;
    Operation { label: "unknown", group: Group::Other }
}

/// Carries a call out.
pub fn answer(world: &World, call: &Call) -> Answer {
    let _ = (world, call);
    Answer::status(StatusCode::NOT_FOUND)
}
