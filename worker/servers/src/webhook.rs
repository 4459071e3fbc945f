//! The webhook that a server is told of: where it sends its events, and by what its entry is told from those of others.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// The parameter of the address that holds the mark. The receiver passes it over.
const MARK: &str = "watchstate";

/// The words of kinds of events, by which a person finds them in the server's settings.
pub(crate) const NAME: &str = "Watch State Sync";

/// Where a server shall send its events.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The address, without a token.
    pub url: Url,
    /// What events carry, so that they are taken.
    pub token: SecretString,
    /// Tells this entry from all others at the server, also when address and token change.
    pub mark: String,
    /// What people at the server read beside it.
    pub name: String,
}

impl Webhook {
    /// The address with the mark.
    pub(crate) fn marked(&self) -> Url {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair(MARK, &self.mark);
        url
    }

    /// The address with mark and token, for servers that send no header of ours.
    pub(crate) fn with_token(&self) -> Url {
        let mut url = self.marked();
        url.query_pairs_mut().append_pair("apikey", self.token.expose_secret());
        url
    }

    /// The entry's name.
    pub(crate) fn title(&self) -> String {
        format!("{NAME} ({})", self.name)
    }
}

/// Whether an entry's address bears a mark.
pub(crate) fn bears(address: &str, mark: &str) -> bool {
    Url::parse(address).is_ok_and(|url| url.query_pairs().any(|(name, value)| name == MARK && value == mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_known_by_its_mark_wherever_it_leads() {
        let webhook = Webhook {
            url: "https://home.example/webhook".parse().unwrap(),
            token: "s3cret".into(),
            mark: "uid-1".to_owned(),
            name: "plex".to_owned(),
        };
        assert_eq!(webhook.with_token().as_str(), "https://home.example/webhook?watchstate=uid-1&apikey=s3cret");
        for (address, known) in [
            (webhook.with_token().as_str(), true),
            ("http://old.example:8080/?watchstate=uid-1", true),
            ("https://home.example/webhook?watchstate=uid-2&apikey=s3cret", false),
            ("https://home.example/webhook?apikey=s3cret", false),
            ("not an address", false),
        ] {
            assert_eq!(bears(address, &webhook.mark), known, "{address}");
        }
        assert!(!format!("{webhook:?}").contains("s3cret"));
    }
}
