//! All webhooks of one server. The world tells them of each change; those that nobody else holds are kept here.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Webhooks;
use super::delivery::Delivery;
use crate::world::{Change, Model};

/// The webhooks of one server. Clones are handles of the same.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Hooks>>);

#[derive(Default)]
struct Hooks {
    /// Weak, so that a webhook ends with its handle.
    all: Vec<Weak<Delivery>>,
    kept: Vec<Webhooks>,
    set_up: Vec<Webhooks>,
}

impl Registry {
    /// Keeps a webhook running as long as the world, or until [`clear`](Self::clear).
    pub fn keep(&self, webhooks: Webhooks) {
        self.with(|hooks| hooks.kept.push(webhooks));
    }

    /// Keeps those that are set up at the server itself, in the place of all that were before.
    pub fn set_up(&self, webhooks: Vec<Webhooks>) {
        // The old ones end behind the lock, which their end may want.
        drop(self.with(|hooks| std::mem::replace(&mut hooks.set_up, webhooks)));
    }

    /// Looks at the webhooks that were given to [`keep`](Self::keep).
    pub fn kept<T>(&self, look: impl FnOnce(&[Webhooks]) -> T) -> T {
        self.with(|hooks| look(&hooks.kept))
    }

    /// Ends the webhooks that were given to [`keep`](Self::keep).
    pub fn clear(&self) {
        self.with(|hooks| hooks.kept.clear());
    }

    pub(super) fn add(&self, delivery: &Arc<Delivery>) {
        self.with(|hooks| hooks.all.push(Arc::downgrade(delivery)));
    }

    /// Writes a change down for all of them. `model` is as the change left it.
    pub(crate) fn tell(&self, model: &Model, change: &Change) {
        self.with(|hooks| {
            hooks.all.retain(|hook| {
                let hook = hook.upgrade();
                hook.is_some_and(|hook| {
                    hook.tell(model, change);
                    true
                })
            });
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Hooks) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({} webhooks)", self.with(|hooks| hooks.all.len()))
    }
}
