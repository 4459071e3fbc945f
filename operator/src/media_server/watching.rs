//! What a change of one resource means to others: to servers that name nobody, to those that share a Secret, to the registry.

use std::collections::{BTreeSet, HashMap};
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
    concerned: mpsc::UnboundedSender<ObjectRef<MediaServer>>,
    /// Who watches where.
    persons: HashMap<ObjectRef<MediaServer>, Vec<String>>,
}

impl Noticed {
    /// `gone` is told when servers may have gone, `concerned` hears of the servers that the household's persons concern, when those change.
    pub fn new(memory: Memory, gone: Arc<Notify>, concerned: mpsc::UnboundedSender<ObjectRef<MediaServer>>) -> Self {
        Self { memory, gone, concerned, persons: HashMap::new() }
    }

    /// Passes an event on to whom it concerns.
    pub fn notice(&mut self, event: &Event<MediaServer>) {
        match event {
            Event::Apply(server) => self.watch_there(server, Some(persons(server))),
            Event::InitApply(server) => {
                self.persons.insert(ObjectRef::from_obj(server), persons(server));
            }
            Event::Delete(server) => {
                self.memory.forget(&server.uid().unwrap_or_default());
                self.watch_there(server, None);
                self.gone.notify_one();
            }
            Event::InitDone => self.gone.notify_one(),
            Event::Init => self.persons.clear(),
        }
    }

    /// A server that names nobody belongs to the one person of the household, whoever that is now. The others know whose they are.
    fn watch_there(&mut self, server: &MediaServer, now: Option<Vec<String>>) {
        let key = ObjectRef::from_obj(server);
        if self.persons.get(&key) == now.as_ref() {
            return;
        }
        let before = self.household();
        match now {
            Some(now) => self.persons.insert(key, now),
            None => self.persons.remove(&key),
        };
        if before != self.household() {
            for (server, _) in self.persons.iter().filter(|(_, persons)| persons.is_empty()) {
                // Nobody listens once the controller ends.
                self.concerned.unbounded_send(server.clone()).ok();
            }
        }
    }

    fn household(&self) -> BTreeSet<String> {
        self.persons.values().flatten().cloned().collect()
    }
}

fn persons(server: &MediaServer) -> Vec<String> {
    server.spec.users.iter().map(|user| user.person.clone()).collect()
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
    fn who_names_nobody_hears_of_persons_that_come_and_go_and_nobody_of_statuses() {
        let (told, mut heard) = mpsc::unbounded();
        let mut noticed = Noticed::new(Memory::default(), Arc::default(), told);
        let server = |name: &str, users: &str| {
            testing::server(
                name,
                &format!("type: Plex, url: 'http://b', tokenSecretRef: {{name: s}}, users: [{users}]"),
            )
        };
        let anna = server("plex", "{person: anna, account: a}");
        let mut with_status = anna.clone();
        with_status.status = Some(watchstate_crds::MediaServerStatus::default());
        let nobody = server("nobody", "");
        for (event, expected) in [
            (Event::Init, None),
            (Event::InitApply(anna.clone()), None),
            (Event::InitApply(nobody), None),
            (Event::InitDone, None),
            (Event::Apply(with_status), None),
            (Event::Apply(server("other", "{person: anna, account: b}")), None),
            (Event::Apply(server("plex", "{person: ben, account: a}")), Some("nobody")),
            (Event::Apply(server("another", "")), None),
            (Event::Delete(server("another", "")), None),
            (Event::Delete(anna), Some("nobody")),
        ] {
            noticed.notice(&event);
            assert_eq!(heard.try_recv().ok().map(|server| server.name).as_deref(), expected, "{event:?}");
            assert!(heard.try_recv().is_err(), "{event:?}");
        }
    }
}
