//! `/_sim/…`: control of a running simulator from outside, for demos and for tests in other languages.

use crate::http::{Answer, Call};
use crate::world::World;

/// Answers a control call; none for any other path.
pub fn answer(world: &World, call: &Call) -> Option<Answer> {
    let _ = (world, call);
    None
}
