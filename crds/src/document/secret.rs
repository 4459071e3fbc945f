//! A Kubernetes `Secret` as a document gives it: `stringData` as it stands, `data` in base64. Its values are
//! kept out of every `Debug` and error.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::Value;

use crate::validate::Problem;

/// A Secret: a name and values by key.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The name that references give.
    pub name: String,
    /// The namespace, where the document names one.
    pub namespace: Option<String>,
    /// The values by key. `stringData` wins over `data`, as in a cluster.
    pub data: BTreeMap<String, SecretString>,
}

impl Secret {
    /// Reads a value that fits the schema of a Secret.
    pub(super) fn from_value(value: &Value) -> Result<Self, Vec<Problem>> {
        let text = |pointer| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let entries = |field: &str| value.get(field).and_then(Value::as_object).into_iter().flatten();
        let mut data = BTreeMap::new();
        let mut problems = Vec::new();
        for (key, encoded) in entries("data") {
            match encoded.as_str().map_or(Err("must be a text"), decode) {
                Ok(secret) => {
                    data.insert(key.clone(), secret);
                }
                Err(message) => problems.push(Problem::new(format!("data[{key}]"), message)),
            }
        }
        for (key, plain) in entries("stringData") {
            data.insert(key.clone(), SecretString::from(plain.as_str().unwrap_or_default()));
        }
        if problems.is_empty() {
            Ok(Self { name: text("/metadata/name").unwrap_or_default(), namespace: text("/metadata/namespace"), data })
        } else {
            Err(problems)
        }
    }
}

/// Line breaks inside base64 are passed over, as the API server does.
fn decode(encoded: &str) -> Result<SecretString, &'static str> {
    let joined: String = encoded.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let bytes = STANDARD.decode(joined).map_err(|_| "must be base64: plain text goes into stringData")?;
    String::from_utf8(bytes).map(SecretString::from).map_err(|_| "must be text in UTF-8 when decoded")
}
