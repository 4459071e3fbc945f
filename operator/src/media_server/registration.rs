//! The webhook at the media server: set up where the resource asks for it, and taken away again.

use std::time::Duration;

use kube::ResourceExt;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use url::Url;
use watchstate_crds::MediaServer;
use watchstate_crds::condition::reason;
use watchstate_runtime::redact;
use watchstate_servers::{ErrorKind, MediaServer as Client, ServerError, Webhook};

use super::owned::{PATH, WebhookToken};
use super::probe::{Verdict, helps};
use crate::error::Kind;

/// How long a server may take to forget the webhook of a resource that goes.
pub const GOODBYE: Duration = Duration::from_secs(10);

/// Whether the resource asks for it.
pub fn is_wanted(server: &MediaServer) -> bool {
    server.spec.webhook.enabled && server.spec.webhook.register
}

/// What the server is to be told. None: we don't know where the receiver is, or have no token.
pub fn webhook(server: &MediaServer, base: Option<&Url>, token: Option<&WebhookToken>) -> Option<Webhook> {
    let (base, token) = (base?, token?);
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().push(PATH.trim_start_matches('/'));
    Some(Webhook { url, token: token.token.clone(), mark: mark(server), name: server.name_any() })
}

/// By this the entry at the server is known: as long-lived as the resource.
pub fn mark(server: &MediaServer) -> String {
    server.uid().unwrap_or_default()
}

/// All that the server is told, as a hash: what has been said once needn't be said again before the next probe.
pub fn fingerprint(webhook: &Webhook) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [webhook.url.as_str(), webhook.token.expose_secret(), &webhook.mark, &webhook.name] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

/// What is said where it isn't asked for.
pub fn not_asked_for(server: &MediaServer) -> Verdict {
    let message = if server.spec.webhook.enabled {
        "spec.webhook.register is off: enter the webhook's address at the server by hand (status.webhook says where it is)"
    } else {
        "spec.webhook.enabled is off: events of this server are ignored"
    };
    Verdict::fails(reason::NOT_REQUESTED, message, Kind::Stalled)
}

/// What is said where it can't be done for want of something of ours.
pub fn lacking(base: Option<&Url>) -> Verdict {
    if base.is_none() {
        let message = "the operator doesn't know where the webhook is reached: set webhook.url of the chart (WATCHSTATE_WEBHOOK_URL)";
        return Verdict::fails(reason::NO_WEBHOOK_URL, message, Kind::Stalled);
    }
    Verdict::unknown(reason::PENDING, "the webhook's token isn't there yet")
}

/// What is said while the server can't be asked.
pub fn unasked() -> Verdict {
    Verdict::unknown(reason::UNREACHABLE, "the server can't be asked")
}

/// What is said while it should no longer be there, and still is.
pub fn left(why: &str) -> Verdict {
    let message = format!("the webhook is still at the server, and can't be taken away: {why}");
    Verdict::fails(reason::REGISTRATION_FAILED, message, Kind::Transient)
}

/// Sets it up.
pub async fn set(client: &dyn Client, webhook: &Webhook) -> Verdict {
    match client.set_webhook(webhook).await {
        Ok(_) => Verdict::holds(reason::REGISTERED, format!("the server sends its events to {}", webhook.url)),
        Err(error) => refused(&error),
    }
}

fn refused(error: &ServerError) -> Verdict {
    let problem = redact::chain(error);
    match error.kind() {
        ErrorKind::Unsupported | ErrorKind::Forbidden | ErrorKind::Unauthorized => {
            Verdict::fails(reason::NOT_SUPPORTED, problem, Kind::Stalled)
        }
        _ => Verdict::fails(reason::REGISTRATION_FAILED, problem, helps(error)),
    }
}

/// Takes it away, or says within a moment why that can't be done.
pub async fn remove(client: &dyn Client, server: &MediaServer) -> Result<bool, String> {
    match tokio::time::timeout(GOODBYE, client.remove_webhook(&mark(server))).await {
        Ok(Ok(removed)) => Ok(removed),
        // Where none can be, none is.
        Ok(Err(error)) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Ok(Err(error)) => Err(redact::chain(&error)),
        Err(_) => Err(format!("no answer within {GOODBYE:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_server::testing;

    #[test]
    fn the_address_is_that_of_the_receiver_with_its_path_and_what_is_told_changes_with_each_part() {
        let server = testing::server("plex", "type: Plex, url: 'http://plex:32400', tokenSecretRef: {name: plex}");
        let token = |token: &str| testing::webhook_token(token);
        for (base, expected) in [
            ("http://watchstate-webhook.media.svc:8080", "http://watchstate-webhook.media.svc:8080/webhook"),
            ("https://home.example/", "https://home.example/webhook"),
            ("https://home.example/watchstate", "https://home.example/watchstate/webhook"),
        ] {
            let base: Url = base.parse().unwrap();
            assert_eq!(webhook(&server, Some(&base), Some(&token("t"))).unwrap().url.as_str(), expected);
        }
        let base: Url = "https://home.example".parse().unwrap();
        let one = webhook(&server, Some(&base), Some(&token("one"))).unwrap();
        let other = webhook(&server, Some(&base), Some(&token("other"))).unwrap();
        assert_eq!(fingerprint(&one), fingerprint(&one.clone()));
        assert_ne!(fingerprint(&one), fingerprint(&other));
        assert!(webhook(&server, None, Some(&token("t"))).is_none());
    }
}
