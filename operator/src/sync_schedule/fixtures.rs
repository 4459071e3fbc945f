//! What the tests of this controller start from. Names differ from the product's and from each other, so that swapped ones are noticed.

use std::sync::Arc;

use jiff::Timestamp;
use watchstate_crds::condition::{self, State, reason};
use watchstate_crds::sync_schedule::ImagePullPolicy;
use watchstate_crds::{MediaServer, MediaServerStatus, SyncSchedule};

use super::pod::Blueprint;
use crate::args::{Variables, WorkerArgs};

/// A schedule that says as little as possible.
pub const MINIMAL: &str = "{import: {}}";

/// A schedule that says everything.
pub const FULL: &str = "
servers: {names: [plex, emby]}
timeZone: Europe/Berlin
import: {schedule: '*/20 * * * *', fullSchedule: 0 4 * * 0}
export: {schedule: 5 * * * *}
push: {mode: Realtime}
prune: {schedule: 0 3 * * *, keepRuns: 60d, keepTitles: 730d, keepEvents: 7d}
backup:
  schedule: 30 3 * * *
  keep: 14
  to:
    bucket:
      {name: home-backups, endpoint: 'https://minio:9000', region: eu-1, prefix: deep/er, secretRef: {name: bucket-keys}, caSecretRef: {name: bucket-authority, key: root.pem}}
policy: {unplayed: {count: 30, percent: 5}, progress: {minimum: 2m}}
worker:
  image: registry.example/other:2
  imagePullPolicy: Always
  imagePullSecrets: [{name: pull}]
  resources: {requests: {cpu: 50m}, limits: {memory: 1Gi}}
  nodeSelector: {kubernetes.io/arch: amd64}
  tolerations: [{key: media, operator: Exists, effect: NoSchedule}]
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: In, values: [ssd]}]}]}}}
  env: [{name: RUST_LOG, value: debug}, {name: WATCHSTATE_SCHEDULE, value: theirs}, {name: DATABASE_URL, value: theirs}]
  podLabels: {team: home}
  podAnnotations: {note: ours}
  priorityClassName: low
";

/// A schedule of that name, as the API server returns it.
pub fn schedule(name: &str, spec: &str) -> SyncSchedule {
    let mut schedule = SyncSchedule::new(name, serde_saphyr::from_str(spec).unwrap());
    schedule.metadata.namespace = Some("media".to_owned());
    schedule.metadata.uid = Some("0b1e-uid".to_owned());
    schedule.metadata.generation = Some(3);
    schedule
}

/// A Plex server that is ready, whose token is in the Secret `<name>-token`. `metadata`: more of it, as `labels: {…}`.
pub fn server(name: &str, metadata: &str) -> MediaServer {
    let text = format!(
        "{{apiVersion: watchstate.dev/v1alpha1, kind: MediaServer, metadata: {{{}}}, \
         spec: {{type: Plex, url: 'http://{name}:32400', tokenSecretRef: {{name: {name}-token}}}}}}",
        if metadata.is_empty() { "namespace: media".to_owned() } else { format!("namespace: media, {metadata}") },
    );
    let mut server: MediaServer = serde_saphyr::from_str(&text).unwrap();
    server.metadata.name = Some(name.to_owned());
    server.metadata.generation = Some(2);
    let mut status = MediaServerStatus::default();
    for (kind, reason) in [(condition::READY, reason::READY), (condition::AUTHENTICATED, reason::ACCEPTED)] {
        condition::set(&mut status.conditions, kind, State::True, reason, "", Some(2), Timestamp::UNIX_EPOCH);
    }
    server.status = Some(status);
    server
}

/// Two servers.
pub fn servers() -> Vec<Arc<MediaServer>> {
    ["plex", "emby"].map(|name| Arc::new(server(name, ""))).to_vec()
}

/// As the chart installs the operator.
pub fn defaults() -> WorkerArgs {
    WorkerArgs {
        image: "registry.example/watchstate:1".to_owned(),
        pull_policy: Some(ImagePullPolicy::IfNotPresent),
        service_account: "rel-worker".to_owned(),
        env: Variables::default(),
        database_secret: "pg-app".to_owned(),
        database_secret_key: "uri".to_owned(),
    }
}

/// What children are built from.
pub fn blueprint<'a>(
    schedule: &'a SyncSchedule,
    servers: &'a [Arc<MediaServer>],
    defaults: &'a WorkerArgs,
) -> Blueprint<'a> {
    Blueprint::new(schedule, servers, defaults).unwrap()
}
