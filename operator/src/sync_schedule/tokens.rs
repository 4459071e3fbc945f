//! The tokens that a pod sees: a projected volume with one folder a server, laid out as the worker reads it. It names Secrets and keys; the
//! kubelet puts the values in, and new ones when they change.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount, VolumeProjection,
};
use kube::ResourceExt;
use watchstate_crds::MediaServer;
use watchstate_projection::references;

use super::selection;

/// Where pods have it.
pub const FOLDER: &str = "/etc/watchstate/tokens";

const NAME: &str = "tokens";
/// For everyone in the container, since any user may run it; nobody else is there.
const READABLE: i32 = 0o444;

/// The volume with what these servers are reached with. Each file is optional: where a Secret is missing, the worker says so and goes on with the
/// other servers, while a volume that insists on it would keep the pod from starting.
pub fn volume(servers: &[Arc<MediaServer>]) -> Volume {
    let sources = servers.iter().flat_map(|server| files(server)).collect();
    Volume {
        name: NAME.to_owned(),
        projected: Some(ProjectedVolumeSource { default_mode: Some(READABLE), sources: Some(sources) }),
        ..Volume::default()
    }
}

/// Where it is mounted.
pub fn mount() -> VolumeMount {
    VolumeMount {
        name: NAME.to_owned(),
        mount_path: FOLDER.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// One file a secret. A server whose Secrets the operator has not found fit for it gets none: whoever may make MediaServers shall not have other
/// people's tokens sent to an address of their own.
fn files(server: &MediaServer) -> Vec<VolumeProjection> {
    if !selection::may_have_secrets(server) {
        return Vec::new();
    }
    let name = server.name_any();
    references::mounted(&name, &server.spec)
        .into_iter()
        .map(|reference| file(&reference.name, &reference.key, format!("{name}/{}", reference.file)))
        .collect()
}

fn file(secret: &str, key: &str, path: String) -> VolumeProjection {
    let items = vec![KeyToPath { key: key.to_owned(), path, mode: None }];
    let secret = SecretProjection { name: secret.to_owned(), items: Some(items), optional: Some(true) };
    VolumeProjection { secret: Some(secret), ..VolumeProjection::default() }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use watchstate_crds::condition::{self, State, reason};

    use super::*;
    use crate::sync_schedule::fixtures::server;

    #[test]
    fn each_server_has_a_folder_with_its_token_its_authority_and_what_its_users_have_of_their_own() {
        let plex = "{type: Plex, url: 'http://plex', tokenSecretRef: {name: plex-token, key: t}, tls: {caSecretRef: {name: ca}}, users: [\
                    {person: anna, account: a, pinSecretRef: {name: pins, key: anna}}, {person: Zoë & Co, account: z, tokenSecretRef: {name: zoe}}]}";
        let mut one = server("plex", "");
        one.spec = serde_saphyr::from_str(plex).unwrap();
        insta::assert_yaml_snapshot!(volume(&[Arc::new(one)]));
    }

    #[test]
    fn a_server_with_a_login_gets_the_token_it_was_exchanged_for_and_not_the_password() {
        let mut one = server("jellyfin", "");
        one.spec = serde_saphyr::from_str("{type: Jellyfin, url: 'http://j', loginSecretRef: {name: admin}}").unwrap();
        let sources = volume(&[Arc::new(one)]).projected.unwrap().sources.unwrap();
        let expected = file("jellyfin-login", "token", "jellyfin/token".to_owned());
        assert_eq!(sources, [expected]);
    }

    #[test]
    fn a_server_whose_secrets_are_refused_or_were_not_looked_at_yet_gets_none() {
        let mut one = server("plex", "");
        let files = |one: &MediaServer| volume(&[Arc::new(one.clone())]).projected.unwrap().sources.unwrap().len();
        assert_eq!(files(&one), 1);
        one.metadata.generation = Some(9);
        assert_eq!(files(&one), 0, "its spec has changed since");
        for (reason, expected) in [
            (reason::ACCEPTED, 1),
            (reason::UNREACHABLE, 1),
            (reason::CREDENTIALS_REFUSED, 1),
            (reason::PENDING, 0),
            (reason::SECRET_REFUSED, 0),
            (reason::SECRET_NOT_FOUND, 0),
        ] {
            let conditions = &mut one.status.as_mut().unwrap().conditions;
            condition::set(
                conditions,
                condition::AUTHENTICATED,
                State::Unknown,
                reason,
                "",
                Some(9),
                Timestamp::UNIX_EPOCH,
            );
            assert_eq!(files(&one), expected, "{reason}");
        }
        one.status = None;
        assert_eq!(files(&one), 0);
    }
}
