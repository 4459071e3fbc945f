//! What a change of one resource means to others: to servers that name nobody, to those that share a Secret, to the registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::channel::mpsc;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use tokio::sync::Notify;
use watchstate_crds::MediaServer;
use watchstate_projection::references;

use super::memory::Memory;

/// What is noticed on the way from the watch to the reconciles.
pub struct Noticed {
    memory: Memory,
    gone: Arc<Notify>,
    household: mpsc::UnboundedSender<()>,
    /// Who watches where, by the servers' names.
    persons: BTreeMap<String, Vec<String>>,
}

impl Noticed {
    /// `gone` is told when servers may have gone, `household` when the persons may have changed.
    pub fn new(memory: Memory, gone: Arc<Notify>, household: mpsc::UnboundedSender<()>) -> Self {
        Self { memory, gone, household, persons: BTreeMap::new() }
    }

    /// Passes an event on to whom it concerns.
    pub fn notice(&mut self, event: &Event<MediaServer>) {
        match event {
            Event::Apply(server) => {
                let persons = server.spec.users.iter().map(|user| user.person.clone()).collect();
                if self.persons.insert(server.name_any(), persons) != self.persons.get(&server.name_any()).cloned() {
                    self.household_changed();
                }
            }
            Event::InitApply(server) => {
                let persons = server.spec.users.iter().map(|user| user.person.clone()).collect();
                self.persons.insert(server.name_any(), persons);
            }
            Event::Delete(server) => {
                self.memory.forget(&server.uid().unwrap_or_default());
                self.persons.remove(&server.name_any());
                self.household_changed();
                self.gone.notify_one();
            }
            Event::InitDone => self.gone.notify_one(),
            Event::Init => self.persons.clear(),
        }
    }

    /// A server that names nobody belongs to the one person of the household, whoever that is now.
    fn household_changed(&self) {
        // Nobody listens once the controller ends.
        self.household.unbounded_send(()).ok();
    }
}

/// The servers whose reconcile depends on a Secret: those that name it, and those that own it.
pub fn naming(servers: &[Arc<MediaServer>], secret: &str) -> Vec<ObjectRef<MediaServer>> {
    let names = |server: &MediaServer| {
        let own = server.name_any();
        references::of_server(&server.spec)
            .iter()
            .chain(&references::of_webhook(&server.spec))
            .any(|it| it.name == secret)
            || references::login_secret(&own) == secret
            || references::webhook_secret(&own) == secret
    };
    servers.iter().filter(|server| names(server)).map(|server| ObjectRef::from_obj(server.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_server::testing;

    #[test]
    fn a_secret_concerns_those_who_name_it_or_own_it() {
        let spec =
            "type: Jellyfin, url: 'http://a', loginSecretRef: {name: root}, webhook: {tokenSecretRef: {name: shared}}";
        let servers = [
            Arc::new(testing::server("one", spec)),
            Arc::new(testing::server("two", "type: Plex, url: 'http://b', tokenSecretRef: {name: root}")),
        ];
        let concerned =
            |secret: &str| naming(&servers, secret).into_iter().map(|found| found.name).collect::<Vec<String>>();
        assert_eq!(concerned("root"), ["one", "two"]);
        assert_eq!(concerned("shared"), ["one"]);
        assert_eq!(concerned("one-login"), ["one"]);
        assert_eq!(concerned("two-webhook"), ["two"]);
        assert!(concerned("other").is_empty());
    }

    #[test]
    fn the_household_hears_of_persons_that_come_and_go_and_not_of_statuses() {
        let (told, mut heard) = mpsc::unbounded();
        let mut noticed = Noticed::new(Memory::default(), Arc::default(), told);
        let server = |users: &str| {
            testing::server(
                "plex",
                &format!("type: Plex, url: 'http://b', tokenSecretRef: {{name: s}}, users: [{users}]"),
            )
        };
        let anna = server("{person: anna, account: a}");
        let mut with_status = anna.clone();
        with_status.status = Some(watchstate_crds::MediaServerStatus::default());
        for (event, expected) in [
            (Event::Init, false),
            (Event::InitApply(anna.clone()), false),
            (Event::InitDone, false),
            (Event::Apply(with_status), false),
            (Event::Apply(server("{person: ben, account: a}")), true),
            (Event::Delete(anna), true),
        ] {
            noticed.notice(&event);
            assert_eq!(heard.try_recv().is_ok(), expected, "{event:?}");
        }
    }
}
