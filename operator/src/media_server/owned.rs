//! The Secrets that a MediaServer owns: the token that a login was exchanged for, and the webhook's token. They go with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::core::ObjectMeta;
use kube::{Api, Resource, ResourceExt};
use secrecy::{ExposeSecret, SecretString};
use watchstate_crds::MediaServer;
use watchstate_crds::condition::reason;
use watchstate_crds::media_server::WebhookStatus;
use watchstate_projection::{layout, references};

use super::secrets::{self, Lack, ONLY_FOR, Version};
use crate::apply::{self, Applied};
use crate::context::Context;
use crate::error::Error;
use crate::events::{CONTROLLER, Reason};

/// Which state of the login's Secret a token was exchanged for.
const LOGIN: &str = "watchstate.dev/login";
/// The value of the annotation by which the token was last rotated.
const ROTATION: &str = "watchstate.dev/rotation";
/// Which MediaServer it is for.
const MEDIA_SERVER: &str = "watchstate.dev/mediaserver";

/// The webhook's token and where people find it.
#[derive(Debug, Clone)]
pub struct WebhookToken {
    /// The token.
    pub token: SecretString,
    /// Where it is.
    pub status: WebhookStatus,
    /// The version of the Secret, where it was written just now.
    pub written: Option<String>,
}

/// The path behind the receiver's address.
pub const PATH: &str = "/webhook";

/// The token that the login was exchanged for, if it was for this address and this state of the login: a token is never sent to an address that
/// it wasn't made at.
pub async fn kept_token(
    api: &Api<Secret>,
    server: &MediaServer,
    login: &Version,
) -> Result<Option<SecretString>, Error> {
    let name = references::login_secret(&server.name_any());
    let found = api.get_opt(&name).await.map_err(Error::kubernetes("reading the login's token"))?;
    // One of an earlier life is going: its token would go with it.
    let alive =
        |secret: &Secret| secret.owner_references().iter().any(|owner| Some(&owner.uid) == server.uid().as_ref());
    Ok(found.filter(alive).and_then(|secret| {
        let says = |key: &str, value: &str| secret.annotations().get(key).is_some_and(|found| found == value);
        let fits = says(ONLY_FOR, &server.spec.url) && says(LOGIN, &login.word());
        secrets::texts(&secret).data.remove(layout::TOKEN).filter(|_| fits)
    }))
}

/// Keeps the token that a login was exchanged for.
pub async fn keep_token(
    context: &Context,
    server: &MediaServer,
    token: &SecretString,
    login: &Version,
) -> Result<Result<(), Lack>, Error> {
    let annotations = [(ONLY_FOR, server.spec.url.clone()), (LOGIN, login.word())];
    let name = references::login_secret(&server.name_any());
    let wanted = secret(server, &name, token, annotations);
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &context.namespace);
    let live = api.get_opt(&name).await.map_err(Error::kubernetes("reading the login's token"))?;
    if live.as_ref().is_some_and(|live| !is_ours(live, server)) {
        return Ok(Err(not_ours(&name, "spec.tokenSecretRef")));
    }
    apply::apply(&api, &wanted, live.as_ref()).await.map_err(Error::kubernetes("writing the login's token"))?;
    let note = format!("The login was exchanged for a token, which is kept in the Secret {name}");
    context.events.publish(server, Reason::LoggedIn, &note).await;
    Ok(Ok(()))
}

/// The token that events of this server carry: the one that the resource names, else one of our making, which is replaced when its owner asks for
/// it by annotation. None: it takes no events.
pub async fn webhook_token(
    context: &Context,
    server: &MediaServer,
) -> Result<Result<Option<WebhookToken>, Lack>, Error> {
    if !server.spec.webhook.enabled {
        return Ok(Ok(None));
    }
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &context.namespace);
    let rotation = server.annotations().get(watchstate_crds::annotation::ROTATE_WEBHOOK_TOKEN).cloned();
    if let Some(reference) = references::of_webhook(&server.spec) {
        refuse_rotation(context, server, rotation.as_ref(), &reference.name).await;
        return Ok(match secrets::read(&api, context, server, &reference).await? {
            Ok(secret) => reference.value(&secrets::texts(&secret)).map_err(Lack::from).map(|token| {
                let status = WebhookStatus {
                    path: PATH.to_owned(),
                    token_secret_name: reference.name,
                    token_secret_key: reference.key,
                    last_handled_rotation: rotation,
                };
                Some(WebhookToken { token, status, written: None })
            }),
            Err(lack) => Err(lack),
        });
    }
    let name = references::webhook_secret(&server.name_any());
    let found = api.get_opt(&name).await.map_err(Error::kubernetes("reading the webhook's token"))?;
    if let Some(found) = &found
        && !is_ours(found, server)
    {
        return Ok(Err(not_ours(&name, "spec.webhook.tokenSecretRef")));
    }
    let kept = found.as_ref().and_then(|secret| {
        let token = secrets::texts(secret).data.remove(layout::TOKEN)?;
        let rotated = secret.annotations().get(ROTATION);
        let usable = !token.expose_secret().is_empty() && (rotation.is_none() || rotated == rotation.as_ref());
        usable.then(|| (token, rotated.cloned()))
    });
    let made = kept.is_none();
    let (token, handled) = match kept {
        Some(kept) => kept,
        None => (random().ok_or(Error::Random)?, rotation),
    };
    // The Secret says itself which request it answers: a reconcile that is cut off here rotates once and not twice.
    let annotations = handled.iter().map(|handled| (ROTATION, handled.clone()));
    let wanted = secret(server, &name, &token, annotations);
    let applied = apply::apply(&api, &wanted, found.as_ref()).await;
    let written = match applied.map_err(Error::kubernetes("writing the webhook's token"))? {
        Applied::Written(now) => now.resource_version(),
        Applied::Unchanged => None,
    };
    if made && found.is_some() {
        let note =
            format!("The webhook's token in the Secret {name} was replaced; events with the old one are refused");
        context.events.publish(server, Reason::WebhookTokenRotated, &note).await;
    }
    let status = WebhookStatus {
        path: PATH.to_owned(),
        token_secret_name: name,
        token_secret_key: layout::TOKEN.to_owned(),
        last_handled_rotation: handled,
    };
    Ok(Ok(Some(WebhookToken { token, status, written })))
}

/// A token that somebody else made isn't ours to replace. Says so once for each request, which the status then counts as handled.
async fn refuse_rotation(context: &Context, server: &MediaServer, asked: Option<&String>, secret: &str) {
    let status = server.status.as_ref().and_then(|status| status.webhook.as_ref());
    let handled = status.and_then(|webhook| webhook.last_handled_rotation.as_ref());
    if asked.is_some() && asked != handled {
        let note = format!(
            "The webhook's token is in the Secret {secret}, which spec.webhook.tokenSecretRef names: put another one there"
        );
        context.events.publish(server, Reason::RotationRefused, &note).await;
    }
}

/// Whether the Secret was made for this MediaServer, or for an earlier one of its name that is gone: what is left of that is taken over.
fn is_ours(secret: &Secret, server: &MediaServer) -> bool {
    secret.owner_references().iter().any(|owner| owner.controller == Some(true) && secrets::is(owner, server))
}

fn not_ours(name: &str, field: &str) -> Lack {
    let message = format!(
        "the Secret {name} exists and was not made for this MediaServer: remove or rename it, or name it in {field}"
    );
    Lack { reason: reason::SECRET_NOT_OURS, message }
}

fn secret(
    server: &MediaServer,
    name: &str,
    token: &SecretString,
    annotations: impl IntoIterator<Item = (&'static str, String)>,
) -> Secret {
    let labels = [
        ("app.kubernetes.io/managed-by", CONTROLLER.to_owned()),
        ("app.kubernetes.io/part-of", "watchstate".to_owned()),
        (MEDIA_SERVER, server.name_any()),
    ];
    let texts = |pairs: Vec<(&str, String)>| -> BTreeMap<String, String> {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    };
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: server.namespace(),
            labels: Some(texts(labels.into())),
            annotations: Some(texts(annotations.into_iter().collect())),
            owner_references: server.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(layout::TOKEN.to_owned(), ByteString(token.expose_secret().as_bytes().to_vec()))])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

/// 256 bits, as text. None: the system gives no random numbers.
fn random() -> Option<SecretString> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    let mut text = String::with_capacity(64);
    for byte in bytes {
        write!(text, "{byte:02x}").ok()?;
    }
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_server::testing;

    #[test]
    fn an_owned_secret_goes_with_its_server_and_says_where_it_may_be_sent() {
        let server =
            testing::server("jellyfin", "type: Jellyfin, url: 'http://jellyfin:8096', loginSecretRef: {name: root}");
        let made = secret(&server, "jellyfin-login", &"s3cret".into(), [(ONLY_FOR, server.spec.url.clone())]);
        insta::assert_yaml_snapshot!(made, @r#"
        apiVersion: v1
        kind: Secret
        data:
          token: czNjcmV0
        metadata:
          annotations:
            watchstate.dev/url: "http://jellyfin:8096"
          labels:
            app.kubernetes.io/managed-by: watchstate-operator
            app.kubernetes.io/part-of: watchstate
            watchstate.dev/mediaserver: jellyfin
          name: jellyfin-login
          namespace: media
          ownerReferences:
            - apiVersion: watchstate.dev/v1alpha1
              controller: true
              kind: MediaServer
              name: jellyfin
              uid: uid-of-jellyfin
        type: Opaque
        "#);
    }

    #[test]
    fn tokens_are_256_bits_and_never_the_same() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_eq!(one.expose_secret().len(), 64);
        assert_ne!(one.expose_secret(), other.expose_secret());
    }
}
