//! References to Secrets: what each one leads to, in the files or in the folder of tokens.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use watchstate_crds::{MediaServerSpec, Secret};
use watchstate_projection::references::{self, Reference};

use crate::secrets::{self, Held, WantedSecrets};

/// What a server's references lead to.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// For the folder of tokens.
    pub secrets: WantedSecrets,
    /// SHA-256 of the token that its webhook's events carry; None: it stays as it is.
    pub webhook_token_sha256: Option<Vec<u8>>,
    /// What a person should know of it besides.
    pub remark: Option<String>,
}

/// Fewer characters than these are guessed by whoever tries for long enough.
const SHORT: usize = 16;

/// Follows the references of a server. `held` is what the folder of tokens holds for it, `webhook_known` whether the registry holds a token of its
/// webhook: what isn't in the files stays as it is there.
///
/// # Errors
/// One sentence a reference that leads nowhere, with field, Secret and key.
pub fn resolve(
    spec: &MediaServerSpec,
    secrets: &BTreeMap<String, Secret>,
    held: &Held,
    webhook_known: bool,
) -> Result<Resolved, Vec<String>> {
    let mut resolved = Resolved::default();
    let mut problems = Vec::new();
    for reference in references::of_server(spec) {
        match follow(&reference, secrets) {
            Ok(None) if !held.contains_key(&reference.file) => problems.push(leads_nowhere(&reference)),
            Ok(secret) => {
                resolved.secrets.insert(reference.file, secret);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(reference) = references::of_webhook(spec) {
        match follow(&reference, secrets) {
            Ok(None) if !webhook_known => problems.push(leads_nowhere(&reference)),
            Ok(secret) => {
                let length = secret.as_ref().map(|secret| secret.expose_secret().chars().count());
                resolved.remark = length.filter(|length| *length < SHORT).map(|length| {
                    format!(
                        "{}: the token in Secret {} (key {}) has {length} characters only, and whoever guesses it can tell events: make a longer one, openssl rand -hex 32",
                        reference.field, reference.name, reference.key
                    )
                });
                resolved.webhook_token_sha256 =
                    secret.as_ref().map(|secret| Sha256::digest(secret.expose_secret().as_bytes()).to_vec());
                resolved.secrets.insert(secrets::WEBHOOK_TOKEN.to_owned(), secret);
            }
            Err(problem) => problems.push(problem),
        }
    }
    // A token that `servers token` made stays until the resource names one.
    resolved.secrets.entry(secrets::WEBHOOK_TOKEN.to_owned()).or_insert(None);
    if problems.is_empty() { Ok(resolved) } else { Err(problems) }
}

/// The value; None where the Secret isn't in the files.
fn follow(reference: &Reference, secrets: &BTreeMap<String, Secret>) -> Result<Option<SecretString>, String> {
    let Some(secret) = secrets.get(&reference.name) else { return Ok(None) };
    reference.value(secret).map(Some).map_err(|problem| problem.to_string())
}

fn leads_nowhere(reference: &Reference) -> String {
    let Reference { field, name, key, .. } = reference;
    format!(
        "{field}: Secret {name} (key {key}) is not in the files, and no earlier apply left its value: give the Secret, too"
    )
}

#[cfg(test)]
mod tests {
    use watchstate_crds::{Document, document};

    use super::*;

    fn spec(fields: &str) -> MediaServerSpec {
        let text = format!(
            "apiVersion: watchstate.dev/v1alpha1\nkind: MediaServer\nmetadata: {{name: a}}\nspec: {{type: Plex, url: 'http://a', {fields}}}"
        );
        match document::parse(&text).unwrap().remove(0) {
            Document::MediaServer(server) => server.spec,
            other => panic!("{other:?}"),
        }
    }

    fn secrets() -> BTreeMap<String, Secret> {
        let data = [
            ("token", "hush-token\n"),
            ("ben", "hush-ben"),
            ("pin", "4711"),
            ("username", "root"),
            ("password", " hush pass "),
            ("ca.crt", "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"),
            ("empty", " \n"),
            ("lines", "hush\nhush"),
        ];
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), SecretString::from(value))).collect();
        BTreeMap::from([("s".to_owned(), Secret { name: "s".to_owned(), namespace: None, data })])
    }

    fn plain(resolved: &Resolved) -> Vec<(&str, Option<&str>)> {
        resolved
            .secrets
            .iter()
            .map(|(file, secret)| (file.as_str(), secret.as_ref().map(ExposeSecret::expose_secret)))
            .collect()
    }

    #[test]
    fn every_reference_leads_to_a_file() {
        let token = spec(
            "tokenSecretRef: {name: s}, tls: {caSecretRef: {name: s}}, webhook: {tokenSecretRef: {name: s}}, users: [\
             {person: Zoë, account: Z, pinSecretRef: {name: s}}, {person: ben, account: B, tokenSecretRef: {name: s, key: ben}}]",
        );
        let resolved = resolve(&token, &secrets(), &Held::new(), false).unwrap();
        let expected = [
            ("ca.crt", Some("-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----")),
            ("token", Some("hush-token")),
            ("users/Zo%C3%AB/pin", Some("4711")),
            ("users/ben/token", Some("hush-ben")),
            ("webhook-token", Some("hush-token")),
        ];
        assert_eq!(plain(&resolved), expected);
        assert_eq!(resolved.webhook_token_sha256, Some(Sha256::digest(b"hush-token").to_vec()));
        let remark = resolved.remark.as_deref().expect("a remark: the token is short");
        assert!(remark.starts_with("spec.webhook.tokenSecretRef: the token in Secret s (key "), "{remark}");
        assert!(remark.contains("10 characters") && !remark.contains("hush"), "{remark}");
        assert!(!format!("{resolved:?}").contains("hush"));

        let login = resolve(&spec("loginSecretRef: {name: s}"), &secrets(), &Held::new(), false).unwrap();
        assert_eq!(
            plain(&login),
            [("password", Some(" hush pass ")), ("username", Some("root")), ("webhook-token", None)]
        );
        assert_eq!((login.webhook_token_sha256, login.remark), (None, None));
    }

    #[test]
    fn what_is_not_in_the_files_stays_where_an_earlier_apply_left_it() {
        let held = Held::from([("token".to_owned(), SecretString::from("hush"))]);
        let fields = "tokenSecretRef: {name: gone}, webhook: {tokenSecretRef: {name: gone}}";
        let resolved = resolve(&spec(fields), &secrets(), &held, true).unwrap();
        assert_eq!(plain(&resolved), [("token", None), ("webhook-token", None)]);
        assert_eq!(resolved.webhook_token_sha256, None);
    }

    #[test]
    fn references_that_lead_nowhere_are_told_by_field_secret_and_key_and_never_by_value() {
        let nowhere = "is not in the files, and no earlier apply left its value: give the Secret, too";
        let cases = [
            ("tokenSecretRef: {name: gone}", format!("spec.tokenSecretRef: Secret gone (key token) {nowhere}")),
            (
                "tokenSecretRef: {name: s}, webhook: {tokenSecretRef: {name: gone, key: hook}}",
                format!("spec.webhook.tokenSecretRef: Secret gone (key hook) {nowhere}"),
            ),
            (
                "tokenSecretRef: {name: s}, users: [{person: a, account: b, pinSecretRef: {name: gone}}]",
                format!("spec.users[0].pinSecretRef: Secret gone (key pin) {nowhere}"),
            ),
            (
                "tokenSecretRef: {name: s, key: tokn}",
                "spec.tokenSecretRef: Secret s has no key tokn; its keys: ben, ca.crt, empty, lines, password, pin, token, username".to_owned(),
            ),
            ("tokenSecretRef: {name: s, key: empty}", "spec.tokenSecretRef: Secret s, key empty, is empty".to_owned()),
            (
                "tokenSecretRef: {name: s, key: lines}",
                "spec.tokenSecretRef: Secret s, key lines: one line of text is expected".to_owned(),
            ),
            (
                "tokenSecretRef: {name: s}, tls: {caSecretRef: {name: s, key: token}}",
                "spec.tls.caSecretRef: Secret s, key token: a certificate in PEM form is expected".to_owned(),
            ),
        ];
        for (fields, expected) in cases {
            assert_eq!(resolve(&spec(fields), &secrets(), &Held::new(), false).unwrap_err(), [expected]);
        }
    }

    #[test]
    fn all_references_that_lead_nowhere_are_told_at_once() {
        let fields = "loginSecretRef: {name: gone}, tls: {caSecretRef: {name: gone}}";
        let problems = resolve(&spec(fields), &secrets(), &Held::new(), false).unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
