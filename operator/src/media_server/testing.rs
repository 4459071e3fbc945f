//! For tests: resources from a few words of YAML.

use watchstate_crds::media_server::WebhookStatus;
use watchstate_crds::{Document, MediaServer, document};

use super::owned::{PATH, WebhookToken};

/// A MediaServer as the API server would have it.
pub fn server(name: &str, spec: &str) -> MediaServer {
    let text =
        format!("apiVersion: watchstate.dev/v1alpha1\nkind: MediaServer\nmetadata: {{name: {name}}}\nspec: {{{spec}}}");
    let mut server = match document::parse(&text).unwrap().remove(0) {
        Document::MediaServer(server) => *server,
        other => panic!("{other:?}"),
    };
    server.metadata.uid = Some(format!("uid-of-{name}"));
    server.metadata.namespace = Some("media".to_owned());
    server.metadata.generation = Some(1);
    server.metadata.resource_version = Some("1".to_owned());
    server
}

/// A webhook's token.
pub fn webhook_token(token: &str) -> WebhookToken {
    WebhookToken {
        token: token.into(),
        status: WebhookStatus {
            path: PATH.to_owned(),
            token_secret_name: "plex-webhook".to_owned(),
            token_secret_key: "token".to_owned(),
            last_handled_rotation: None,
        },
        written: None,
    }
}
