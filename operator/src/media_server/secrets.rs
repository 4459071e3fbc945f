//! The Secrets that a MediaServer names: read, and only for the server that they are for.
//!
//! Whoever may make MediaServers shall not learn other people's tokens by naming their Secrets with an address of their own: [`refusal`].

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, ResourceExt};
use secrecy::{ExposeSecret, SecretString};
use watchstate_crds::condition::reason;
use watchstate_crds::{MediaServer, Secret as Values};
use watchstate_projection::layout;
use watchstate_projection::references::{self, Reference, ValueError};
use watchstate_servers::{AccountSecret, Credentials};

use super::owned;
use super::probe::Verdict;
use crate::context::Context;
use crate::error::{Error, Kind};
use crate::watched::{Versions, Watched};

/// On a Secret: the only URL that it may be sent to. Set by the operator on tokens that it makes, and by whoever wants to bind a Secret.
pub const ONLY_FOR: &str = "watchstate.dev/url";

/// Types of Secrets that are nothing for a media server.
const FOREIGN: [&str; 6] = [
    "bootstrap.kubernetes.io/token",
    "helm.sh/release.v1",
    "kubernetes.io/dockercfg",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/service-account-token",
    "kubernetes.io/ssh-auth",
];

/// As watches name the kind.
pub const KIND: &str = "Secret";

/// One state of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Which Secret.
    pub uid: String,
    /// Which state of it.
    pub resource_version: String,
}

impl Version {
    fn of(secret: &Secret) -> Self {
        Self { uid: secret.uid().unwrap_or_default(), resource_version: secret.resource_version().unwrap_or_default() }
    }

    /// As one word.
    pub fn word(&self) -> String {
        format!("{}.{}", self.uid, self.resource_version)
    }
}

/// What is needed for reaching a server.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// Token or login, and the secrets of single accounts.
    pub credentials: Credentials,
    /// Certificates of a private authority.
    pub ca_pem: Option<Vec<u8>>,
    /// The states that were read, by the Secrets' names.
    pub versions: Vec<(String, Version)>,
    /// The login's Secret, where there is one.
    pub login: Option<Version>,
    /// The token that the login was exchanged for before, for this very address and login.
    pub kept: Option<SecretString>,
}

/// Why a Secret can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// A reason of conditions.
    pub reason: &'static str,
    /// What is missing and what to do. Names Secrets and keys, never a value.
    pub message: String,
}

impl Lack {
    /// As a condition says it.
    pub fn verdict(&self) -> Verdict {
        Verdict::fails(self.reason, self.message.clone(), self.helps())
    }

    /// What helps: who makes Secrets may come after who makes MediaServers. One that is there and isn't for this server, somebody must change.
    pub fn helps(&self) -> Kind {
        if [reason::SECRET_NOT_FOUND, reason::SECRET_KEY_MISSING].contains(&self.reason) {
            Kind::Waiting
        } else {
            Kind::Stalled
        }
    }
}

impl From<ValueError> for Lack {
    fn from(error: ValueError) -> Self {
        Self { reason: reason::SECRET_KEY_MISSING, message: error.to_string() }
    }
}

/// The versions of all Secrets that a server has to do with, as the watch shows them. None: it doesn't yet.
pub fn shown(watched: &Watched, server: &MediaServer) -> Option<Versions> {
    let own = server.name_any();
    let references = references::of_server(&server.spec).into_iter().chain(references::of_webhook(&server.spec));
    let own = [references::login_secret(&own), references::webhook_secret(&own)];
    let names = references.map(|reference| reference.name).chain(own);
    let mut versions = Versions::default();
    for name in names {
        for (key, version) in watched.group(&name)? {
            versions.insert(key, version);
        }
    }
    Some(versions)
}

/// Reads all Secrets that a server is reached with.
pub async fn gather(context: &Context, server: &MediaServer) -> Result<Result<Gathered, Lack>, Error> {
    let api = Api::namespaced(context.client.clone(), &context.namespace);
    let wanted = references::of_server(&server.spec);
    let mut secrets = BTreeMap::new();
    for reference in &wanted {
        if !secrets.contains_key(&reference.name) {
            match read(&api, context, server, reference).await? {
                Ok(secret) => secrets.insert(reference.name.clone(), secret),
                Err(lack) => return Ok(Err(lack)),
            };
        }
    }
    let kept = match &server.spec.login_secret_ref {
        Some(login) => match secrets.get(&login.name) {
            Some(secret) => owned::kept_token(&api, server, &Version::of(secret)).await?,
            None => None,
        },
        None => None,
    };
    Ok(collect(server, &wanted, &secrets, kept))
}

/// The Secret that a reference names, if it may be used for this server.
pub async fn read(
    api: &Api<Secret>,
    context: &Context,
    server: &MediaServer,
    reference: &Reference,
) -> Result<Result<Secret, Lack>, Error> {
    let Reference { field, name, .. } = reference;
    let Some(secret) = api.get_opt(name).await.map_err(Error::kubernetes("reading a Secret"))? else {
        let message = format!("{field}: there is no Secret {name} in this namespace: create it, or correct the name");
        return Ok(Err(Lack { reason: reason::SECRET_NOT_FOUND, message }));
    };
    // Certificates are not sent to anybody.
    let sent = reference.file != layout::CA_CRT;
    if sent && let Some(why) = refusal(&secret, server, reference, &context.worker.database_secret) {
        return Ok(Err(Lack { reason: reason::SECRET_REFUSED, message: format!("{field}: Secret {name} {why}") }));
    }
    Ok(Ok(secret))
}

/// Whether an owner is this MediaServer, in this life or an earlier one: there is one of a name at a time.
pub fn is(owner: &OwnerReference, server: &MediaServer) -> bool {
    owner.kind == "MediaServer" && owner.name == server.name_any()
}

/// Why a Secret may not be sent to a server; None: it may.
fn refusal(secret: &Secret, server: &MediaServer, reference: &Reference, database: &str) -> Option<String> {
    // A webhook's token is made to be shared between servers, and opens none.
    let shared = reference.file == layout::WEBHOOK_TOKEN;
    let kind = secret.type_.as_deref().unwrap_or_default();
    let of_another = secret.owner_references().iter().find(|owner| owner.kind == "MediaServer" && !is(owner, server));
    let bound = secret.annotations().get(ONLY_FOR).filter(|url| **url != server.spec.url);
    if secret.name_any() == database {
        Some("holds the database's address, which is nothing for a media server".to_owned())
    } else if FOREIGN.contains(&kind) {
        Some(format!("is of the type {kind}, which is nothing for a media server"))
    } else if let (Some(owner), false) = (of_another, shared) {
        Some(format!("belongs to the MediaServer {}: name a Secret of your own", owner.name))
    } else if let (Some(url), false) = (bound, shared) {
        Some(format!("is bound to {url} by its annotation {ONLY_FOR}, and is not sent anywhere else"))
    } else {
        None
    }
}

fn collect(
    server: &MediaServer,
    wanted: &[Reference],
    secrets: &BTreeMap<String, Secret>,
    kept: Option<SecretString>,
) -> Result<Gathered, Lack> {
    let mut values = BTreeMap::new();
    for reference in wanted {
        let Some(secret) = secrets.get(&reference.name) else { continue };
        values.insert(reference.file.as_str(), reference.value(&texts(secret))?);
    }
    let value = |file: &str| values.get(file).cloned();
    let person = |person: &str, file: &str| value(&layout::of_person(person, file));
    let login = value(layout::USERNAME)
        .zip(value(layout::PASSWORD))
        .map(|(username, password)| (username.expose_secret().to_owned(), password));
    let accounts = server
        .spec
        .users
        .iter()
        .map(|user| {
            let secret =
                AccountSecret { token: person(&user.person, layout::TOKEN), pin: person(&user.person, layout::PIN) };
            (user.account.clone(), secret)
        })
        .filter(|(_, secret)| secret.token.is_some() || secret.pin.is_some())
        .collect();
    let ca_pem = value(layout::CA_CRT).map(|pem| pem.expose_secret().as_bytes().to_vec());
    let named = server.spec.login_secret_ref.as_ref().and_then(|login| secrets.get(&login.name));
    Ok(Gathered {
        credentials: Credentials { token: value(layout::TOKEN), login, accounts },
        ca_pem,
        versions: secrets.iter().map(|(name, secret)| (name.clone(), Version::of(secret))).collect(),
        login: named.map(Version::of),
        kept,
    })
}

/// The values of a Secret that are text; others are none of ours.
pub fn texts(secret: &Secret) -> Values {
    let data = secret.data.iter().flatten().filter_map(|(key, value)| {
        let text = String::from_utf8(value.0.clone()).ok()?;
        Some((key.clone(), SecretString::from(text)))
    });
    Values { name: secret.name_any(), namespace: secret.namespace(), data: data.collect() }
}

#[cfg(test)]
mod tests;
