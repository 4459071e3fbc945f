//! Objects as they are after our own writes. A watch tells of a write a moment later; a pass that comes before it would write the same again, and tell
//! the same events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::{Resource, ResourceExt};

use crate::watched;

/// What was written last, where the watch doesn't show it yet.
pub struct Current<K>(Mutex<HashMap<String, Written<K>>>);

struct Written<K> {
    /// The versions before it.
    before: Vec<String>,
    now: Arc<K>,
}

impl<K> Default for Current<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource> Current<K> {
    /// The object as it is, as far as is known. `shown`: as the watch shows it.
    pub fn of(&self, shown: Arc<K>) -> Arc<K> {
        self.shown(&shown);
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&shown.uid().unwrap_or_default()).map_or(shown, |written| written.now.clone())
    }

    /// Notes what the watch shows: what was written needn't be held any longer than that.
    pub fn shown(&self, object: &K) {
        let uid = object.uid().unwrap_or_default();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let behind =
            |written: &Written<K>| object.resource_version().is_some_and(|version| written.before.contains(&version));
        if all.get(&uid).is_some_and(|written| !behind(written)) {
            all.remove(&uid);
        }
    }

    /// Notes what an object became by a write.
    pub fn wrote(&self, before: &K, mut now: K) {
        watched::lean(&mut now);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = all.remove(&now.uid().unwrap_or_default());
        let mut versions: Vec<String> = before.resource_version().into_iter().collect();
        if let Some(earlier) = earlier {
            versions.extend(earlier.now.resource_version());
            versions.extend(earlier.before);
        }
        all.insert(now.uid().unwrap_or_default(), Written { before: versions, now: Arc::new(now) });
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, gone: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&gone.uid().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::ObjectMeta;

    use super::*;

    fn object(version: &str) -> ConfigMap {
        let (uid, resource_version) = (Some("u".to_owned()), Some(version.to_owned()));
        ConfigMap { metadata: ObjectMeta { uid, resource_version, ..ObjectMeta::default() }, ..ConfigMap::default() }
    }

    #[test]
    fn a_write_counts_until_the_watch_shows_it_or_something_later() {
        let current = Current::default();
        let seen = |version: &str| current.of(Arc::new(object(version))).resource_version().unwrap();
        assert_eq!(seen("1"), "1");
        current.wrote(&object("1"), object("2"));
        current.wrote(&object("1"), object("3"));
        for _ in 0..2 {
            assert_eq!((seen("1"), seen("2")), ("3".to_owned(), "3".to_owned()));
        }
        assert_eq!(seen("3"), "3");
        assert_eq!(seen("1"), "1", "what is shown now counts from now on");
        current.wrote(&object("3"), object("5"));
        assert_eq!(seen("4"), "4", "somebody else's");
        current.wrote(&object("4"), object("6"));
        current.forget(&object("7"));
        assert_eq!(seen("4"), "4");
    }
}
