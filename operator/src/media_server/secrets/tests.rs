//! Which Secrets may be sent to which server, and what is told of those that can't be used.

use k8s_openapi::ByteString;
use kube::core::ObjectMeta;

use super::*;
use crate::media_server::probe::Findings;
use crate::media_server::testing;

fn secret(name: &str, values: &[(&str, &str)]) -> Secret {
    let data = values.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            uid: Some(format!("uid-of-{name}")),
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data.collect()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

fn owned_by(name: &str) -> Vec<OwnerReference> {
    vec![OwnerReference { kind: "MediaServer".to_owned(), name: name.to_owned(), ..OwnerReference::default() }]
}

#[test]
fn a_secret_is_sent_to_the_server_that_it_is_for_and_to_no_other() {
    let server = testing::server("plex", "type: Plex, url: 'http://plex:32400', tokenSecretRef: {name: s}");
    let token = references::of_server(&server.spec).remove(0);
    let webhook = Reference { file: layout::WEBHOOK_TOKEN.to_owned(), ..token.clone() };
    let plain = || secret("s", &[]);
    let of_type = |kind: &str| Secret { type_: Some(kind.to_owned()), ..plain() };
    let owned = |name: &str| {
        let mut secret = plain();
        secret.metadata.owner_references = Some(owned_by(name));
        secret
    };
    let bound = |url: &str| {
        let mut secret = plain();
        secret.metadata.annotations = Some(BTreeMap::from([(ONLY_FOR.to_owned(), url.to_owned())]));
        secret
    };
    // The Secret; whether it is sent as a token; whether it is taken as the webhook's.
    let cases = [
        (plain(), true, true),
        (of_type("kubernetes.io/basic-auth"), true, true),
        (of_type("example.org/vault"), true, true),
        (of_type("kubernetes.io/service-account-token"), false, false),
        (of_type("helm.sh/release.v1"), false, false),
        (secret("pg-app", &[]), false, false),
        (owned("plex"), true, true),
        (owned("other"), false, true),
        (bound("http://plex:32400"), true, true),
        (bound("http://jellyfin:8096"), false, true),
    ];
    for (secret, as_token, as_webhook) in cases {
        let refused = |reference| refusal(&secret, &server, reference, "pg-app");
        assert_eq!(refused(&token).is_none(), as_token, "{:?}", secret.metadata);
        assert_eq!(refused(&webhook).is_none(), as_webhook, "{:?}", secret.metadata);
    }
}

#[test]
fn everything_that_a_server_is_reached_with_is_collected() {
    let server = testing::server(
        "plex",
        "type: Plex, url: 'http://plex:32400', tokenSecretRef: {name: s}, tls: {caSecretRef: {name: s}}, users: [\
         {person: anna, account: Anna, pinSecretRef: {name: s}}, {person: ben, account: B, tokenSecretRef: {name: t, key: ben}}, \
         {person: carl, account: C}]",
    );
    let wanted = references::of_server(&server.spec);
    let pem = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n";
    let secrets = BTreeMap::from([
        ("s".to_owned(), secret("s", &[("token", "hush\n"), ("pin", "4711"), ("ca.crt", pem), ("other", "\u{fffd}")])),
        ("t".to_owned(), secret("t", &[("ben", "hush-ben")])),
    ]);
    let gathered = collect(&server, &wanted, &secrets, None).unwrap();
    assert_eq!(gathered.credentials.token.as_ref().map(ExposeSecret::expose_secret), Some("hush"));
    assert_eq!(gathered.credentials.accounts.keys().collect::<Vec<_>>(), ["Anna", "B"]);
    assert_eq!(gathered.ca_pem.as_deref(), Some(pem.trim_end().as_bytes()));
    let version = gathered.versions.iter().find(|(name, _)| name == "t").map(|(_, version)| version.word());
    assert_eq!(version.as_deref(), Some("uid-of-t.7"));
    assert!(!format!("{gathered:?}").contains("hush") && !format!("{gathered:?}").contains("4711"));
}

#[test]
fn what_can_not_be_used_is_told_by_field_secret_and_key_and_never_by_value() {
    let server = testing::server("emby", "type: Emby, url: 'http://emby:8096', loginSecretRef: {name: root}");
    let wanted = references::of_server(&server.spec);
    let cases = [
        (&[("username", "root")][..], "spec.loginSecretRef: Secret root has no key password; its keys: username"),
        (&[("username", "root"), ("password", " ")], "spec.loginSecretRef: Secret root, key password, is empty"),
        (
            &[("username", "root"), ("password", "hush\nhush")],
            "spec.loginSecretRef: Secret root, key password: one line of text is expected",
        ),
    ];
    for (values, expected) in cases {
        let secrets = BTreeMap::from([("root".to_owned(), secret("root", values))]);
        let lack = collect(&server, &wanted, &secrets, None).unwrap_err();
        assert_eq!((lack.reason, lack.message.as_str()), (reason::SECRET_KEY_MISSING, expected));
    }
}

#[test]
fn what_is_not_there_yet_is_waited_for_and_what_is_not_for_this_server_is_for_people_to_change() {
    for (reason, helps) in [
        (reason::SECRET_NOT_FOUND, Kind::Waiting),
        (reason::SECRET_KEY_MISSING, Kind::Waiting),
        (reason::SECRET_REFUSED, Kind::Stalled),
        (reason::SECRET_NOT_OURS, Kind::Stalled),
    ] {
        let lack = Lack { reason, message: "why".to_owned() };
        assert_eq!(lack.verdict(), Verdict::fails(reason, "why", helps));
        assert_eq!(Findings::lacking(&lack).reachable.helps, helps);
    }
}
