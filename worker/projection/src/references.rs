//! Which Secrets a MediaServer names, and the file that each value becomes in the folder of its server.

use secrecy::{ExposeSecret, SecretString};
use watchstate_crds::reference::{LoginSecretRef, TokenSecretRef};
use watchstate_crds::{MediaServerSpec, Secret};

use crate::layout;

/// A field of a resource that names a key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The field: `spec.users[1].pinSecretRef`.
    pub field: String,
    /// The Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
    /// The file in the server's folder, see [`layout`].
    pub file: String,
}

/// Why a Secret's value can't be used. Names field, Secret and keys, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The Secret has no such key.
    #[error("{field}: Secret {name} has no key {key}; its keys: {keys}")]
    NoSuchKey {
        /// The field that names it.
        field: String,
        /// The Secret.
        name: String,
        /// The key.
        key: String,
        /// Those that it has.
        keys: String,
    },
    /// The value can't be what the field needs.
    #[error("{field}: Secret {name}, key {key}{problem}")]
    Unusable {
        /// The field that names it.
        field: String,
        /// The Secret.
        name: String,
        /// The key.
        key: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What a server is reached with: its token or login, its authority, and what its users have of their own.
pub fn of_server(spec: &MediaServerSpec) -> Vec<Reference> {
    let mut references = Vec::new();
    let mut refer = |field: String, name: &str, key: &str, file: String| {
        references.push(Reference { field, name: name.to_owned(), key: key.to_owned(), file });
    };
    if let Some(TokenSecretRef { name, key }) = &spec.token_secret_ref {
        refer("spec.tokenSecretRef".to_owned(), name, key, layout::TOKEN.to_owned());
    }
    if let Some(LoginSecretRef { name }) = &spec.login_secret_ref {
        for (key, file) in [(LoginSecretRef::USERNAME, layout::USERNAME), (LoginSecretRef::PASSWORD, layout::PASSWORD)]
        {
            refer("spec.loginSecretRef".to_owned(), name, key, file.to_owned());
        }
    }
    if let Some(ca) = spec.tls.as_ref().and_then(|tls| tls.ca_secret_ref.as_ref()) {
        refer("spec.tls.caSecretRef".to_owned(), &ca.name, &ca.key, layout::CA_CRT.to_owned());
    }
    for (index, user) in spec.users.iter().enumerate() {
        if let Some(token) = &user.token_secret_ref {
            let file = layout::of_person(&user.person, layout::TOKEN);
            refer(format!("spec.users[{index}].tokenSecretRef"), &token.name, &token.key, file);
        }
        if let Some(pin) = &user.pin_secret_ref {
            let file = layout::of_person(&user.person, layout::PIN);
            refer(format!("spec.users[{index}].pinSecretRef"), &pin.name, &pin.key, file);
        }
    }
    references
}

/// The Secret in which the operator keeps the token that a login was exchanged for.
pub fn login_secret(server: &str) -> String {
    format!("{server}-login")
}

/// The Secret in which the operator keeps a webhook's token that it made.
pub fn webhook_secret(server: &str) -> String {
    format!("{server}-webhook")
}

/// What a worker pod mounts for a server: as [`of_server`], with the token that the operator has exchanged in the place of a login.
pub fn mounted(server: &str, spec: &MediaServerSpec) -> Vec<Reference> {
    let mut references = of_server(spec);
    if spec.login_secret_ref.is_some() {
        references.retain(|reference| ![layout::USERNAME, layout::PASSWORD].contains(&reference.file.as_str()));
        references.push(Reference {
            field: "spec.loginSecretRef".to_owned(),
            name: login_secret(server),
            key: layout::TOKEN.to_owned(),
            file: layout::TOKEN.to_owned(),
        });
    }
    references
}

/// The token that a server's webhook events carry, where the resource names one.
pub fn of_webhook(spec: &MediaServerSpec) -> Option<Reference> {
    spec.webhook.token_secret_ref.as_ref().map(|token| Reference {
        field: "spec.webhook.tokenSecretRef".to_owned(),
        name: token.name.clone(),
        key: token.key.clone(),
        file: layout::WEBHOOK_TOKEN.to_owned(),
    })
}

impl Reference {
    /// The value that it leads to in `secret`, without the line break that files often end with.
    pub fn value(&self, secret: &Secret) -> Result<SecretString, ValueError> {
        let Self { field, name, key, file } = self.clone();
        let Some(value) = secret.data.get(&key) else {
            let keys: Vec<&str> = secret.data.keys().map(String::as_str).collect();
            return Err(ValueError::NoSuchKey { field, name, key, keys: keys.join(", ") });
        };
        let value = layout::trimmed(value.expose_secret());
        let pem = file == layout::CA_CRT;
        let problem = if value.trim().is_empty() {
            Some(", is empty")
        } else if pem && !value.contains("-----BEGIN CERTIFICATE-----") {
            Some(": a certificate in PEM form is expected")
        } else if !pem && value.contains(char::is_control) {
            Some(": one line of text is expected")
        } else {
            None
        };
        match problem {
            Some(problem) => Err(ValueError::Unusable { field, name, key, problem }),
            None => Ok(SecretString::from(value)),
        }
    }
}
