//! What watches tell of objects whose contents nobody keeps: which there are, and in which version. Who has read an object and finds it in the same
//! version needn't read it again.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// Longer nobody waits for what watches tell.
const PATIENCE: Duration = Duration::from_secs(5);

/// A watch of all objects. Those that are there at first come fifty at a time: read with their managed fields, five hundred at once are thirty megabytes
/// that come and go.
pub fn all() -> Config {
    Config::default().page_size(50)
}

/// What happens to the objects of a kind. After an error the watch backs off, and no other with it.
pub fn watch<K>(api: Api<K>, config: Config) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher::watcher(api, config).default_backoff()
}

/// How long a controller waits after an error of one of its watches: not at all, since each [`watch()`] backs off by itself. By default it would look at none of them
/// meanwhile, longer with each error; six watches of an API server that restarts twice hold it up for minutes.
#[derive(Debug)]
pub struct EachByItself;

impl Iterator for EachByItself {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

impl Backoff for EachByItself {
    fn reset(&mut self) {}
}

/// Takes off an object in memory what nobody reads, and which is the larger part of it.
pub fn lean<K: Resource>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

/// An object: its kind and its name.
pub type Key = (&'static str, String);
/// Objects, each with its version, in the order of their keys. They are few, and there are thousands of such lists: a map would take ten times as much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions(Vec<(Key, String)>);

impl Versions {
    /// Notes the version of an object.
    pub fn insert(&mut self, key: Key, version: String) {
        match self.0.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(index) => self.0[index].1 = version,
            Err(index) => {
                self.0.reserve_exact(1);
                self.0.insert(index, (key, version));
            }
        }
    }

    /// Whether there is any object of a kind.
    pub fn has(&self, kind: &str) -> bool {
        self.0.iter().any(|((known, _), _)| *known == kind)
    }

    fn retain(&mut self, keep: impl Fn(&Key) -> bool) {
        self.0.retain(|(key, _)| keep(key));
    }
}

impl FromIterator<(Key, String)> for Versions {
    fn from_iter<I: IntoIterator<Item = (Key, String)>>(all: I) -> Self {
        let mut versions = Self::default();
        for (key, version) in all {
            versions.insert(key, version);
        }
        versions
    }
}

impl IntoIterator for Versions {
    type Item = (Key, String);
    type IntoIter = std::vec::IntoIter<(Key, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// What the watches of some kinds have told, in groups. Clones are handles of the same.
#[derive(Debug, Clone)]
pub struct Watched {
    kinds: usize,
    state: Arc<Mutex<State>>,
    listed: Arc<watch::Sender<bool>>,
}

#[derive(Debug, Default)]
struct State {
    /// The kinds of which all is known.
    listed: BTreeSet<&'static str>,
    /// What a watch that begins anew has told so far.
    incoming: HashMap<&'static str, Vec<(String, Key, String)>>,
    groups: HashMap<String, Versions>,
}

impl Watched {
    /// Nothing was told yet of so many kinds.
    pub fn new(kinds: usize) -> Self {
        Self { kinds, state: Arc::default(), listed: Arc::new(watch::Sender::new(false)) }
    }

    /// Takes in what a watch tells. `group`: what the object is looked for by; one without a group is nothing to us.
    pub fn notice<K: Resource>(&self, kind: &'static str, event: &Event<K>, group: impl Fn(&K) -> Option<String>) {
        let found = |object: &K| {
            Some((group(object)?, (kind, object.name_any()), object.resource_version().unwrap_or_default()))
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => drop(state.incoming.insert(kind, Vec::new())),
            Event::InitApply(object) => state.incoming.entry(kind).or_default().extend(found(object)),
            Event::InitDone => {
                let incoming = state.incoming.remove(kind).unwrap_or_default();
                for versions in state.groups.values_mut() {
                    versions.retain(|(of, _)| *of != kind);
                }
                state.groups.retain(|_, versions| !versions.0.is_empty());
                for (group, key, version) in incoming {
                    state.groups.entry(group).or_default().insert(key, version);
                }
                state.listed.insert(kind);
                if state.listed.len() == self.kinds {
                    self.listed.send_replace(true);
                }
            }
            Event::Apply(object) => {
                if let Some((group, key, version)) = found(object) {
                    state.groups.entry(group).or_default().insert(key, version);
                }
            }
            Event::Delete(object) => {
                if let Some((group, key, _)) = found(object)
                    && let Some(versions) = state.groups.get_mut(&group)
                {
                    versions.retain(|known| *known != key);
                    if versions.0.is_empty() {
                        state.groups.remove(&group);
                    }
                }
            }
        }
    }

    /// Waits until all kinds are known, though not for long: a watch that doesn't come holds up nothing else.
    pub async fn settle(&self) {
        let mut listed = self.listed.subscribe();
        // That it didn't come is seen by whoever asks.
        tokio::time::timeout(PATIENCE, listed.wait_for(|listed| *listed)).await.map(drop).ok();
    }

    /// The objects of a group. None: not all kinds are known yet.
    pub fn group(&self, group: &str) -> Option<Versions> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.listed.len() == self.kinds).then(|| state.groups.get(group).cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use kube::core::ObjectMeta;

    use super::*;

    fn meta(name: &str, version: &str) -> ObjectMeta {
        ObjectMeta { name: Some(name.into()), resource_version: Some(version.into()), ..ObjectMeta::default() }
    }

    #[test]
    fn what_is_there_follows_the_watches_and_is_known_once_all_have_told_it() {
        let secret = |name: &str, version: &str| Secret { metadata: meta(name, version), ..Secret::default() };
        let map = |name: &str, version: &str| ConfigMap { metadata: meta(name, version), ..ConfigMap::default() };
        let watched = Watched::new(2);
        let secrets =
            |event| watched.notice("Secret", &event, |found: &Secret| found.name_any().get(..1).map(str::to_owned));
        let maps = |event| {
            watched.notice("ConfigMap", &event, |found: &ConfigMap| found.name_any().get(..1).map(str::to_owned));
        };
        let group = |group: &str| {
            let found = watched.group(group)?;
            Some(
                found.into_iter().map(|((kind, name), version)| format!("{kind} {name} {version}")).collect::<Vec<_>>(),
            )
        };
        for event in
            [Event::Init, Event::InitApply(secret("a1", "1")), Event::InitApply(secret("b1", "2")), Event::InitDone]
        {
            secrets(event);
        }
        assert_eq!(group("a"), None, "of the other kind nothing is known");
        maps(Event::Init);
        maps(Event::InitDone);
        assert_eq!(group("a").unwrap(), ["Secret a1 1"]);
        maps(Event::Apply(map("a1", "3")));
        secrets(Event::Apply(secret("a2", "4")));
        secrets(Event::Apply(secret("a1", "5")));
        assert_eq!(group("a").unwrap(), ["ConfigMap a1 3", "Secret a1 5", "Secret a2 4"]);
        secrets(Event::Delete(secret("a1", "6")));
        assert_eq!(group("a").unwrap(), ["ConfigMap a1 3", "Secret a2 4"]);

        // A watch that begins anew tells all of its kind, and until it has, what was known holds.
        secrets(Event::Init);
        secrets(Event::InitApply(secret("a3", "7")));
        assert_eq!(group("a").unwrap(), ["ConfigMap a1 3", "Secret a2 4"]);
        secrets(Event::InitDone);
        assert_eq!(group("a").unwrap(), ["ConfigMap a1 3", "Secret a3 7"]);
        assert_eq!(group("b").unwrap(), Vec::<String>::new());
    }
}
