//! References to Secrets beside the resource. There is no namespace field: what lives in another
//! namespace cannot be read through a resource here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pattern;

fn token() -> String {
    "token".to_owned()
}

fn pin() -> String {
    "pin".to_owned()
}

fn ca_crt() -> String {
    "ca.crt".to_owned()
}

/// Names a Secret of the same namespace and the key in it that holds a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenSecretRef {
    /// Name of a Secret in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = pattern::NAME))]
    pub name: String,
    /// Key in that Secret whose value is the token. Default: token.
    #[serde(default = "token")]
    #[schemars(length(min = 1, max = 253), regex(pattern = pattern::KEY))]
    pub key: String,
}

/// Names a Secret of the same namespace and the key in it that holds a PIN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PinSecretRef {
    /// Name of a Secret in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = pattern::NAME))]
    pub name: String,
    /// Key in that Secret whose value is the PIN. Default: pin.
    #[serde(default = "pin")]
    #[schemars(length(min = 1, max = 253), regex(pattern = pattern::KEY))]
    pub key: String,
}

/// Names a Secret of the same namespace and the key in it that holds certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaSecretRef {
    /// Name of a Secret in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = pattern::NAME))]
    pub name: String,
    /// Key in that Secret whose value is one or more certificates in PEM form. Default: ca.crt.
    #[serde(default = "ca_crt")]
    #[schemars(length(min = 1, max = 253), regex(pattern = pattern::KEY))]
    pub key: String,
}

/// Names a Secret of the same namespace with the keys username and password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginSecretRef {
    /// Name of a Secret in the same namespace. Its keys username and password are used.
    #[schemars(length(min = 1, max = 253), regex(pattern = pattern::NAME))]
    pub name: String,
}

impl LoginSecretRef {
    /// The key of the user's name.
    pub const USERNAME: &str = "username";
    /// The key of the password.
    pub const PASSWORD: &str = "password";
}

/// Names a Secret of the same namespace with the keys accessKeyId and secretAccessKey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BucketSecretRef {
    /// Name of a Secret in the same namespace. Its keys accessKeyId and secretAccessKey are used.
    #[schemars(length(min = 1, max = 253), regex(pattern = pattern::NAME))]
    pub name: String,
}

impl BucketSecretRef {
    /// The key of the access key's id.
    pub const ACCESS_KEY_ID: &str = "accessKeyId";
    /// The key of the access key itself.
    pub const SECRET_ACCESS_KEY: &str = "secretAccessKey";
}
