//! Addresses of servers: one rule for all fields that take one. A user or a password in an address
//! would be shown by `kubectl get`, a query or fragment could not be joined with a path.

use std::sync::LazyLock;

use regex::Regex;

use crate::validate::Rule;

/// One text for both judges, the CEL rule and Rust.
macro_rules! pattern {
    () => {
        r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[^\s?#]*)?$"
    };
}

/// The rule as the schema carries it.
pub(crate) const RULE: Rule = (
    concat!("self.matches(r'", pattern!(), "')"),
    "an address such as http://media.example.org:8096 or https://media.example.org/jellyfin is needed: http or https, without user, password, query or fragment",
);

/// The rule in Rust.
pub(crate) fn is_address(text: &str) -> bool {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(pattern!()).ok());
    PATTERN.as_ref().is_some_and(|pattern| pattern.is_match(text))
}
