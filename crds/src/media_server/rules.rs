//! What a schema's types and bounds cannot say about a `MediaServer`: each rule as CEL for the API
//! server, and as a line of Rust for those who have none. A table test holds both to the same verdict.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{MediaServer, MediaServerSpec, ServerType};
use crate::address::{self, is_address};
use crate::validate::{Problem, Rule, report};

/// Names become the value of a label.
pub(super) const NAME_LENGTH: Rule = (
    "size(self.metadata.name) <= 63",
    "the name of a MediaServer may have at most 63 characters, since it becomes the value of a label",
);

pub(super) const ONE_CREDENTIAL: Rule = (
    "has(self.tokenSecretRef) != has(self.loginSecretRef)",
    "exactly one of tokenSecretRef and loginSecretRef is needed",
);

pub(super) const LOGIN_NOT_ON_PLEX: Rule = (
    "self.type != 'Plex' || !has(self.loginSecretRef)",
    "loginSecretRef is for Jellyfin and Emby; Plex takes a token: use tokenSecretRef",
);

pub(super) const PIN_ONLY_ON_PLEX: Rule = (
    "self.type == 'Plex' || !has(self.users) || self.users.all(user, !has(user.pinSecretRef))",
    "pinSecretRef is for accounts of a Plex home; Jellyfin and Emby have no PIN",
);

/// Who watches with one account watches as one person: two would each get the other's plays.
pub(super) const ACCOUNTS_DIFFER: Rule = (
    "self.all(user, self.exists_one(other, other.account == user.account))",
    "two persons cannot share one account of a server: what one watches would be the other's, too",
);

pub(super) const TYPE_IS_FIXED: Rule =
    ("self == oldSelf", "the type of a MediaServer cannot be changed: make another MediaServer for the other server");

pub(super) const LIBRARY_IN_ONE_LIST: Rule = (
    "!has(self.include) || !has(self.exclude) || self.include.all(library, !(library in self.exclude))",
    "a library cannot be both included and excluded",
);

pub(super) const REGISTER_NEEDS_WEBHOOK: Rule =
    ("!self.register || self.enabled", "register needs enabled: the server would send events that are ignored");

pub(super) const CA_OR_NO_CHECK: Rule = (
    "!has(self.caSecretRef) || !self.insecureSkipVerify",
    "caSecretRef has no effect together with insecureSkipVerify: leave one of them out",
);

pub(super) const INTERVAL_AT_LEAST: Rule =
    ("duration(self) >= duration('30s')", "the interval may not be shorter than 30s");

pub(super) const TIMEOUT_AT_LEAST: Rule =
    ("duration(self) >= duration('1s')", "the timeout may not be shorter than 1s");

/// Every rule above that holds for an object by itself and that this one breaks.
pub(crate) fn problems(server: &MediaServer) -> Vec<Problem> {
    let MediaServerSpec {
        server_type,
        url,
        token_secret_ref,
        login_secret_ref,
        users,
        import: _,
        export: _,
        libraries,
        unplayed: _,
        webhook,
        tls,
        limits,
        path_rules: _,
        interval,
        suspend: _,
    } = &server.spec;
    let plex = *server_type == ServerType::Plex;
    let mut found = Vec::new();

    let name = server.metadata.name.as_deref().unwrap_or_default();
    report(&mut found, name.chars().count() <= 63, "metadata.name", NAME_LENGTH);
    report(&mut found, token_secret_ref.is_some() != login_secret_ref.is_some(), "spec", ONE_CREDENTIAL);
    report(&mut found, !plex || login_secret_ref.is_none(), "spec.loginSecretRef", LOGIN_NOT_ON_PLEX);
    if let Some(index) = users.iter().position(|user| user.pin_secret_ref.is_some()) {
        report(&mut found, plex, &format!("spec.users[{index}].pinSecretRef"), PIN_ONLY_ON_PLEX);
    }
    let mut seen = BTreeSet::new();
    if let Some(index) = users.iter().position(|user| !seen.insert(&user.account)) {
        report(&mut found, false, &format!("spec.users[{index}].account"), ACCOUNTS_DIFFER);
    }
    report(&mut found, is_address(url), "spec.url", address::RULE);
    if let Some(libraries) = libraries {
        let twice = libraries.include.iter().any(|library| libraries.exclude.contains(library));
        report(&mut found, !twice, "spec.libraries", LIBRARY_IN_ONE_LIST);
    }
    report(&mut found, !webhook.register || webhook.enabled, "spec.webhook.register", REGISTER_NEEDS_WEBHOOK);
    if let Some(tls) = tls {
        let both = tls.ca_secret_ref.is_some() && tls.insecure_skip_verify;
        report(&mut found, !both, "spec.tls", CA_OR_NO_CHECK);
    }
    report(&mut found, interval.get() >= Duration::from_secs(30), "spec.interval", INTERVAL_AT_LEAST);
    report(&mut found, limits.timeout.get() >= Duration::from_secs(1), "spec.limits.timeout", TIMEOUT_AT_LEAST);
    found
}

/// Every rule above that holds between an object and what it was before, and that this change breaks.
pub(crate) fn update_problems(server: &MediaServer, before: &MediaServer) -> Vec<Problem> {
    let mut found = Vec::new();
    report(&mut found, server.spec.server_type == before.spec.server_type, "spec.type", TYPE_IS_FIXED);
    found
}
