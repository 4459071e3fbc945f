//! The projection of a MediaServer into the registry. Nothing is written where the registry says the same already.

use jiff::Timestamp;
use kube::ResourceExt;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use watchstate_crds::MediaServer;
use watchstate_projection::household::Users;
use watchstate_projection::policy;
use watchstate_store::registry::{self, Registered, WantedServer};
use watchstate_store::{Connection, Store, StoreError};

use super::owned::WebhookToken;
use super::probe::Findings;

/// What the registry shall hold of a server.
pub struct Projection<'a> {
    /// The server.
    pub wanted: WantedServer,
    /// What was found at it, where it answered.
    pub findings: Option<&'a Findings>,
    /// Nothing is known of it in its status: what the registry knows by this name was left by an earlier one.
    pub fresh: bool,
}

/// A server as its resource wants it.
pub fn wanted(server: &MediaServer, people: &Users, webhook: Option<&WebhookToken>) -> WantedServer {
    WantedServer {
        name: server.name_any(),
        kind: policy::kind(server.spec.server_type),
        url: server.spec.url.clone(),
        policy: policy::server_policy(&server.spec),
        users: people.clone(),
        webhook_token_sha256: webhook.map(|webhook| Sha256::digest(webhook.token.expose_secret().as_bytes()).to_vec()),
    }
}

/// Makes the registry hold it. True: something was written.
pub async fn project(store: &Store, projection: &Projection<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let mut transaction = store.begin().await?;
    let written = write(&mut transaction, projection, now).await?;
    if written {
        transaction.commit().await?;
    }
    Ok(written)
}

async fn write(connection: &mut Connection, projection: &Projection<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let Projection { wanted, findings, fresh } = projection;
    let mut before = registry::registered(connection, &wanted.name).await?;
    let found = findings.and_then(|findings| findings.identity.as_ref());
    let mut written = false;
    if let (true, Some(left), Some(found)) = (*fresh, &before, found)
        && left.server.remote_id.as_ref().is_some_and(|id| *id != found.id)
    {
        registry::remove_server(connection, &wanted.name).await?;
        before = None;
        written = true;
    }
    if before.as_ref().is_none_or(|before| !says(before, wanted)) {
        registry::put_server(connection, wanted, now).await?;
        before = registry::registered(connection, &wanted.name).await?;
        written = true;
    }
    let (Some(before), Some(findings), Some(found)) = (before, findings, found) else { return Ok(written) };
    let (name, version) = (found.name.clone().unwrap_or_default(), found.version.clone().unwrap_or_default());
    let known = &before.server;
    let offset = known.clock_offset.settled(findings.clock_offset.unwrap_or(known.clock_offset));
    let same = known.remote_id.as_ref() == Some(&found.id)
        && known.remote_name.as_ref() == Some(&name)
        && known.version.as_ref() == Some(&version)
        && known.clock_offset == offset;
    if !same {
        registry::contacted(connection, known.id, &found.id, &name, &version, offset, now).await?;
        written = true;
    }
    for account in &before.accounts {
        let found = findings.accounts.iter().rfind(|(configured, _)| *configured == account.configured);
        let Some((_, remote)) = found else { continue };
        let same = account.remote_id.as_ref() == Some(&remote.id) && account.remote_name.as_ref() == Some(&remote.name);
        if !same {
            registry::resolved(connection, account.id, &remote.id, &remote.name).await?;
            written = true;
        }
    }
    Ok(written)
}

/// Whether the registry holds all that is wanted. A token of the webhook that isn't wanted any more may stay: events are refused by the policy.
fn says(before: &Registered, wanted: &WantedServer) -> bool {
    let WantedServer { name, kind, url, policy, users, webhook_token_sha256 } = wanted;
    let mut accounts: Vec<(&str, &str)> =
        before.accounts.iter().map(|account| (account.person.as_str(), account.configured.as_str())).collect();
    let mut wanted: Vec<(&str, &str)> =
        users.iter().map(|(person, account)| (person.as_str(), account.as_str())).collect();
    accounts.sort_unstable();
    wanted.sort_unstable();
    before.server.name == *name
        && before.server.kind == *kind
        && before.server.url == *url
        && before.server.policy == *policy
        && accounts == wanted
        && (webhook_token_sha256.is_none() || before.webhook_token_sha256 == *webhook_token_sha256)
}
