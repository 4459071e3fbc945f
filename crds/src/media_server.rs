//! The `MediaServer` resource: one Plex, Jellyfin or Emby server, who watches there, and what may be
//! read from it and written to it. Its CEL rules are in `rules`, each with its twin in Rust.

#![expect(clippy::struct_excessive_bools, reason = "switches that users set one by one")]
#![expect(clippy::doc_markdown, reason = "field docs are what kubectl explain shows: plain text")]
#![expect(rustdoc::bare_urls, reason = "as above")]

mod rules;
mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::rules::{problems, update_problems};
pub use self::status::{LibraryStatus, MediaServerStatus, ServerIdentity, UserStatus, WebhookStatus};
use crate::address;
use crate::duration::Duration;
use crate::pattern;
use crate::reference::{CaSecretRef, LoginSecretRef, PinSecretRef, TokenSecretRef};

/// What the user wants of one media server.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "watchstate.dev",
    version = "v1alpha1",
    kind = "MediaServer",
    plural = "mediaservers",
    shortname = "ms",
    category = "watchstate",
    namespaced,
    status = "MediaServerStatus",
    derive = "PartialEq",
    doc = "A Plex, Jellyfin or Emby server whose watch states are kept in agreement with the other MediaServers of its namespace. Ready means: it answers, the token is good, all accounts were found.",
    selectable = ".spec.type",
    selectable = ".spec.suspend",
    validation = rules::NAME_LENGTH,
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type", description = "Plex, Jellyfin or Emby"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url", description = "Where the server is reached"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether it can be synced"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.server.version", description = "Version the server reports", priority = 1),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend", description = "Whether it is left alone", priority = 1),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "Why it is ready or not", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Since when the resource exists")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::ONE_CREDENTIAL,
    validation = rules::LOGIN_NOT_ON_PLEX,
    validation = rules::PIN_ONLY_ON_PLEX
)]
pub struct MediaServerSpec {
    /// What runs there: Plex, Jellyfin or Emby. Cannot be changed: a server of another type is another MediaServer.
    #[serde(rename = "type")]
    #[x_kube(validation = rules::TYPE_IS_FIXED)]
    pub server_type: ServerType,
    /// Where workers reach the server, for example http://plex.media.svc:32400 or https://media.example.org/jellyfin.
    /// http or https, with port and path where needed; no user, password, query or fragment.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = address::RULE)]
    pub url: String,
    /// The token (Plex: X-Plex-Token of the server's owner; Jellyfin and Emby: an API key or an administrator's access token).
    /// Exactly one of tokenSecretRef and loginSecretRef is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<TokenSecretRef>,
    /// Jellyfin and Emby only, in place of a token: a Secret with username and password, exchanged for a token once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_secret_ref: Option<LoginSecretRef>,
    /// Who watches here, one entry a person. The accounts of one person on several servers are joined by the person's name.
    /// Missing: the account of the token is the one person of a single-user set-up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["person"])
    )]
    #[x_kube(validation = rules::ACCOUNTS_DIFFER)]
    pub users: Vec<User>,
    /// What is read from this server.
    #[serde(default)]
    pub import: ImportPolicy,
    /// Whether anything is written to this server.
    #[serde(default)]
    pub export: ExportPolicy,
    /// Which libraries take part. Missing: all libraries of films and shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libraries: Option<Libraries>,
    /// What it means when a title is marked unplayed on this server. Follow: the person's other servers follow.
    /// Ignore: the title stays played, and is marked played here again. Default: Follow.
    #[serde(default)]
    pub unplayed: Unplayed,
    /// How events of this server are received.
    #[serde(default)]
    pub webhook: WebhookPolicy,
    /// How the server's certificate is checked. Missing: against the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How gently the server is treated.
    #[serde(default)]
    pub limits: Limits,
    /// For items that carry no ids: how paths on this server read on the others. The longest rule that fits is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 50),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["from"])
    )]
    pub path_rules: Vec<PathRule>,
    /// How often the operator looks whether the server answers and the token is good, as a duration with
    /// units such as 90s or 5m. At least 30s. Default: 5m.
    #[serde(default = "five_minutes")]
    #[schemars(length(max = 24), regex(pattern = pattern::DURATION))]
    #[x_kube(validation = rules::INTERVAL_AT_LEAST)]
    pub interval: Duration,
    /// true: nothing is read from or written to this server, its events are ignored, and the status stays as it is. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// What runs at the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ServerType {
    /// Plex Media Server.
    Plex,
    /// Jellyfin.
    Jellyfin,
    /// Emby Server.
    Emby,
}

/// One person's account on this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Name of the person, the same on all servers, for example anna. The name is yours to choose.
    #[schemars(length(min = 1, max = 63), regex(pattern = pattern::LINE))]
    pub person: String,
    /// The person's account on this server: its name or its id there.
    #[schemars(length(min = 1, max = 253), regex(pattern = pattern::LINE))]
    pub account: String,
    /// A token of this account, where the server's token may not act for it (on Plex: friends who are not in the home).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<TokenSecretRef>,
    /// Plex only: the PIN that protects this account of the Plex home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_secret_ref: Option<PinSecretRef>,
}

/// What is read from a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportPolicy {
    /// false: nothing is imported from this server. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Full: titles, ids and what was watched. MetadataOnly: titles and ids, so that it can be written to, while
    /// what was watched here counts for nothing. Default: Full.
    #[serde(default)]
    pub mode: ImportMode,
}

impl Default for ImportPolicy {
    fn default() -> Self {
        Self { enabled: true, mode: ImportMode::default() }
    }
}

/// How much an import takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImportMode {
    /// Titles, ids and watch states.
    #[default]
    Full,
    /// Titles and ids.
    MetadataOnly,
}

/// What is written to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportPolicy {
    /// false: nothing is ever written to this server. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Default for ExportPolicy {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Which libraries take part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::LIBRARY_IN_ONE_LIST)]
pub struct Libraries {
    /// Only these take part, each by its title or id on the server. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(min = 1, max = 200), regex(pattern = pattern::LINE)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub include: Vec<String>,
    /// These never take part, each by its title or id on the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(min = 1, max = 200), regex(pattern = pattern::LINE)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub exclude: Vec<String>,
}

/// What an un-play on a server means to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unplayed {
    /// The other servers follow.
    #[default]
    Follow,
    /// The title stays played.
    Ignore,
}

/// How events of a server are received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::REGISTER_NEEDS_WEBHOOK)]
pub struct WebhookPolicy {
    /// false: events of this server are answered and ignored; changes are seen by the next import only. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The token that events have to carry. Missing: the operator makes one, in the Secret that
    /// status.webhook.tokenSecretName names. Servers that name the same Secret share the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<TokenSecretRef>,
    /// true: events of accounts that belong to no person of spec.users are ignored. Default: true.
    #[serde(default = "yes")]
    pub match_user: bool,
    /// true: events that name another server than this one are ignored. Default: true.
    #[serde(default = "yes")]
    pub match_server: bool,
    /// true: the operator enters the webhook's address on the server by itself, where the server can be told
    /// (Plex Pass, Emby Premiere, Jellyfin's Webhook plug-in). Default: false.
    #[serde(default)]
    pub register: bool,
}

impl Default for WebhookPolicy {
    fn default() -> Self {
        Self { enabled: true, token_secret_ref: None, match_user: true, match_server: true, register: false }
    }
}

/// How a server's certificate is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::CA_OR_NO_CHECK)]
pub struct Tls {
    /// A Secret with the certificates of a private authority that signed the server's certificate, or with that certificate itself where nobody signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,
    /// true: any certificate is taken. Whoever sits between can read the token; prefer caSecretRef. Default: false.
    #[serde(default)]
    pub insecure_skip_verify: bool,
}

/// How gently a server is treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Requests under way at the same time. Default: 4.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: i32,
    /// Requests a second at most. Missing: as fast as the server answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub requests_per_second: Option<i32>,
    /// How long one request may take, as a duration with units such as 30s or 2m. At least 1s. Default: 60s.
    #[serde(default = "sixty_seconds")]
    #[schemars(length(max = 24), regex(pattern = pattern::DURATION))]
    #[x_kube(validation = rules::TIMEOUT_AT_LEAST)]
    pub timeout: Duration,
    /// Items a page when a library is read. Smaller pages ask less memory of the server. Default: 1000.
    #[serde(default = "thousand")]
    #[schemars(range(min = 10, max = 10_000))]
    pub page_size: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: four(), requests_per_second: None, timeout: sixty_seconds(), page_size: thousand() }
    }
}

/// How a path on this server reads on the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathRule {
    /// The beginning of a path on this server, for example /data/movies.
    #[schemars(length(min = 1, max = 1024), regex(pattern = pattern::LINE))]
    pub from: String,
    /// What takes its place, for example /media/films.
    #[schemars(length(min = 1, max = 1024), regex(pattern = pattern::LINE))]
    pub to: String,
}

fn yes() -> bool {
    true
}

fn four() -> i32 {
    4
}

fn thousand() -> i32 {
    1000
}

fn sixty_seconds() -> Duration {
    Duration::seconds(60)
}

fn five_minutes() -> Duration {
    Duration::minutes(5)
}
