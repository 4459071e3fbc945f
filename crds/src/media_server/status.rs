//! What the operator saw of a media server. All of it can be found out again: nothing is kept here only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was seen of a media server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MediaServerStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reachable, Authenticated, UsersResolved, Registered and WebhookRegistered; Reconciling and Stalled
    /// only while they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
    /// What the server says about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerIdentity>,
    /// The persons of this server and the accounts that were found for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["person"])
    )]
    pub users: Vec<UserStatus>,
    /// The server's libraries, and which of them take part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 500),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
    )]
    pub libraries: Vec<LibraryStatus>,
    /// Where events of this server are to be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookStatus>,
    /// Seconds by which the server's clock is ahead of ours (negative: behind). Times it reports are corrected by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_seconds: Option<i64>,
    /// The last value of the annotation watchstate.dev/requestedAt that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_requested_at: Option<String>,
}

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerIdentity {
    /// The server's own unique id. A URL that leads to another id later is refused.
    pub id: String,
    /// The server's name, as its users see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The server's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The account that was found for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserStatus {
    /// The person.
    pub person: String,
    /// Id of the account on the server. Missing: it was not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name of the account on the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why the account cannot be used. Missing: it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A library of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LibraryStatus {
    /// Id of the library on the server.
    pub id: String,
    /// Title of the library.
    pub title: String,
    /// What the server says the library holds, in the server's own word.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub library_type: Option<String>,
    /// Whether libraries of this type can be synced: those of films, shows, or both.
    pub supported: bool,
    /// Whether the library takes part: it is supported, and spec.libraries does not leave it out.
    pub included: bool,
}

/// Where events of a server are to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookStatus {
    /// Path of the webhook, to be put behind the address of the webhook's Service or Ingress. It holds no token.
    pub path: String,
    /// The Secret that holds the token events have to carry.
    pub token_secret_name: String,
    /// The key of the token in that Secret.
    pub token_secret_key: String,
    /// The last value of the annotation watchstate.dev/rotate-webhook-token that was acted on, or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_rotation: Option<String>,
}
