//! The pods that do the work: restricted, read-only, for any user, without rights at the API server. What a user may choose is in `spec.worker`;
//! everything else is the same for all parts.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, EnvVarSource, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
    SeccompProfile, SecretKeySelector, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use watchstate_crds::sync_schedule::Worker;
use watchstate_crds::{MediaServer, SyncSchedule};

use super::destination::{self, Destination};
use super::labels;
use super::part::Part;
use super::tokens;
use crate::args::WorkerArgs;

/// The name of the one container.
pub const CONTAINER: &str = "worker";
/// Draining takes 20 seconds at most.
const GRACE_SECONDS: i64 = 30;
const COMMAND: &str = "/usr/local/bin/watchstate-worker";
/// Where the worker leaves what it did; the kubelet takes it into the pod's status.
const SUMMARY: &str = "/dev/termination-log";
/// The group that files of a volume are given to, so that whoever runs the container may write there.
const VOLUME_GROUP: i64 = 65_532;

/// All that children are built from.
#[derive(Debug, Clone)]
pub struct Blueprint<'a> {
    /// What is wanted.
    pub schedule: &'a SyncSchedule,
    /// Its name.
    pub name: &'a str,
    /// What makes children go with it.
    pub owner: OwnerReference,
    /// The servers that take part.
    pub servers: &'a [Arc<MediaServer>],
    /// How the operator was installed.
    pub defaults: &'a WorkerArgs,
}

impl<'a> Blueprint<'a> {
    /// None for an object that the API server hasn't taken yet: it has neither name nor uid.
    pub fn new(schedule: &'a SyncSchedule, servers: &'a [Arc<MediaServer>], defaults: &'a WorkerArgs) -> Option<Self> {
        let owner = schedule.controller_owner_ref(&())?;
        Some(Self { schedule, name: schedule.metadata.name.as_deref()?, owner, servers, defaults })
    }

    /// Whether nothing runs: by the user's wish, or for want of servers. Children stay, so that nothing has to be made again.
    pub fn suspended(&self) -> bool {
        self.schedule.spec.suspend || self.servers.is_empty()
    }

    /// Name, labels and owner of a child.
    pub fn metadata(&self, name: String, part: Part) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: self.schedule.metadata.namespace.clone(),
            labels: Some(labels::of(self.name, part)),
            owner_references: Some(vec![self.owner.clone()]),
            ..ObjectMeta::default()
        }
    }

    /// The pod of a part. `more`: arguments behind those that every run of the part has.
    pub fn pod(&self, part: Part, more: &[String]) -> PodTemplateSpec {
        let worker = &self.schedule.spec.worker;
        let destination = match &self.schedule.spec.backup {
            Some(backup) if part == Part::Backup => destination::of(backup),
            _ => Destination::default(),
        };
        let (volumes, mounts) = self.volumes(part, &destination);
        let writes_to_volume = volumes.iter().any(|volume| volume.persistent_volume_claim.is_some());
        let metadata = ObjectMeta {
            labels: Some(worker.pod_labels.clone().into_iter().chain(labels::of(self.name, part)).collect()),
            annotations: some(worker.pod_annotations.clone()),
            ..ObjectMeta::default()
        };
        let args = part.command().iter().map(|&arg| arg.to_owned());
        let container = Container {
            name: CONTAINER.to_owned(),
            image: Some(worker.image.clone().unwrap_or_else(|| self.defaults.image.clone())),
            image_pull_policy: self.pull_policy(),
            command: Some(vec![COMMAND.to_owned()]),
            args: Some(args.chain(destination.args).chain(more.iter().cloned()).collect()),
            env: Some(self.env(part, destination.env)),
            resources: Some(worker.resources.clone().unwrap_or_else(resources)),
            volume_mounts: some(mounts),
            // What ended before there was a summary has said why in its log.
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
                read_only_root_filesystem: Some(true),
                ..SecurityContext::default()
            }),
            ..Container::default()
        };
        let spec = PodSpec {
            containers: vec![container],
            restart_policy: (part != Part::Follow).then(|| "Never".to_owned()),
            service_account_name: Some(self.defaults.service_account.clone()),
            automount_service_account_token: Some(false),
            // Else the Services of the namespace become variables, some of which begin like ours.
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
                fs_group: writes_to_volume.then_some(VOLUME_GROUP),
                fs_group_change_policy: writes_to_volume.then(|| "OnRootMismatch".to_owned()),
                ..PodSecurityContext::default()
            }),
            image_pull_secrets: some(worker.image_pull_secrets.clone()),
            node_selector: some(worker.node_selector.clone()),
            tolerations: some(worker.tolerations.clone()),
            affinity: worker.affinity.clone(),
            priority_class_name: worker.priority_class_name.clone(),
            volumes: some(volumes),
            ..PodSpec::default()
        };
        PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
    }

    /// Somebody who names an image knows how it is to be pulled; what the operator was told is about its own.
    fn pull_policy(&self) -> Option<String> {
        let Worker { image, image_pull_policy, .. } = &self.schedule.spec.worker;
        match (image_pull_policy, image) {
            (Some(policy), _) => Some(policy.as_str().to_owned()),
            (None, None) => self.defaults.pull_policy.map(|policy| policy.as_str().to_owned()),
            (None, Some(_)) => None,
        }
    }

    fn volumes(&self, part: Part, destination: &Destination) -> (Vec<Volume>, Vec<VolumeMount>) {
        let mut volumes = destination.volumes.clone();
        let mut mounts = destination.mounts.clone();
        if part.reaches_servers() {
            volumes.insert(0, tokens::volume(self.servers));
            mounts.insert(0, tokens::mount());
        }
        (volumes, mounts)
    }

    /// What the operator was told, the user's variables, which win over that, then ours, which win over all.
    fn env(&self, part: Part, more: Vec<EnvVar>) -> Vec<EnvVar> {
        let mut ours = vec![
            from_secret("DATABASE_URL", &self.defaults.database_secret, &self.defaults.database_secret_key),
            plain("WATCHSTATE_SCHEDULE", self.name),
            plain("WATCHSTATE_TOKENS", tokens::FOLDER),
            // A name is wanted where there is no home; with a database elsewhere nothing is put there.
            plain("WATCHSTATE_DATA", "/tmp"),
        ];
        if part != Part::Follow {
            ours.push(plain("WATCHSTATE_SUMMARY_FILE", SUMMARY));
        }
        ours.extend(more);
        let mut taken = HashSet::new();
        let layers = [&ours, &self.schedule.spec.worker.env, &self.defaults.env.0];
        let mut env: Vec<Vec<EnvVar>> = Vec::with_capacity(layers.len());
        for layer in layers {
            env.push(layer.iter().filter(|variable| !taken.contains(&variable.name)).cloned().collect());
            taken.extend(layer.iter().map(|variable| variable.name.clone()));
        }
        env.into_iter().rev().flatten().collect()
    }
}

/// What a pod asks for and may use, where nobody says otherwise. Pages are streamed: libraries of any size fit.
fn resources() -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| -> Option<BTreeMap<String, Quantity>> {
        Some(pairs.iter().map(|&(name, value)| (name.to_owned(), Quantity(value.to_owned()))).collect())
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", "10m"), ("memory", "64Mi")]),
        limits: quantities(&[("memory", "256Mi")]),
        ..ResourceRequirements::default()
    }
}

/// Kubernetes leaves out what is empty; so do we, or the two would never be equal.
fn some<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

/// A variable with its value.
pub fn plain(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

/// A variable whose value the kubelet takes from a Secret.
pub fn from_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    let key = SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: None };
    let source = EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_schedule::fixtures::{FULL, MINIMAL, blueprint, defaults, schedule, servers};

    #[test]
    fn a_pod_of_a_schedule_that_says_nothing_is_restricted_and_has_what_the_operator_was_installed_with() {
        let (schedule, servers, defaults) = (schedule("home", MINIMAL), servers(), defaults());
        insta::assert_yaml_snapshot!(blueprint(&schedule, &servers, &defaults).pod(Part::Import, &[]));
    }

    #[test]
    fn a_pod_of_a_schedule_that_says_all_has_what_it_says_and_ours_where_both_say_something() {
        let (schedule, servers, defaults) = (schedule("home", FULL), servers(), defaults());
        let blueprint = blueprint(&schedule, &servers, &defaults);
        insta::assert_yaml_snapshot!("full_import", blueprint.pod(Part::Import, &[]));
        insta::assert_yaml_snapshot!("full_backup", blueprint.pod(Part::Backup, &[]));
    }

    #[test]
    fn only_pods_that_reach_servers_see_tokens_and_only_those_of_their_servers() {
        let (schedule, servers, defaults) = (schedule("home", FULL), servers(), defaults());
        let one = &servers[..1];
        for part in Part::TIMED.into_iter().chain([Part::Follow, Part::Sync, Part::Approve]) {
            let pod = serde_json::to_string(&blueprint(&schedule, one, &defaults).pod(part, &[])).unwrap();
            assert_eq!(pod.contains("plex-token"), part.reaches_servers(), "{part:?}");
            assert!(!pod.contains("emby-token"), "{part:?} sees the token of a server that isn't the schedule's");
        }
    }

    #[test]
    fn an_image_of_the_users_own_is_pulled_as_the_user_says_or_as_kubernetes_does() {
        let (servers, defaults) = (servers(), defaults());
        for (worker, image, policy) in [
            ("", "registry.example/watchstate:1", Some("IfNotPresent")),
            (", worker: {imagePullPolicy: Always}", "registry.example/watchstate:1", Some("Always")),
            (", worker: {image: 'mine:2'}", "mine:2", None),
            (", worker: {image: 'mine:2', imagePullPolicy: Never}", "mine:2", Some("Never")),
        ] {
            let schedule = schedule("home", &format!("{{import: {{}}{worker}}}"));
            let pod = blueprint(&schedule, &servers, &defaults).pod(Part::Import, &[]).spec.unwrap();
            let container = &pod.containers[0];
            assert_eq!((container.image.as_deref(), container.image_pull_policy.as_deref()), (Some(image), policy));
        }
    }

    #[test]
    fn of_a_variable_the_schedules_word_counts_before_the_operators_and_ours_before_both() {
        let (servers, mut defaults) = (servers(), defaults());
        defaults.env.0 = [("WATCHSTATE_LOG", "info"), ("HTTPS_PROXY", "http://proxy"), ("WATCHSTATE_DATA", "/theirs")]
            .map(|(name, value)| plain(name, value))
            .to_vec();
        let worker =
            "worker: {env: [{name: WATCHSTATE_LOG, value: debug}, {name: WATCHSTATE_SCHEDULE, value: theirs}]}";
        let schedule = schedule("home", &format!("{{import: {{}}, {worker}}}"));
        let pod = blueprint(&schedule, &servers, &defaults).pod(Part::Import, &[]).spec.unwrap();
        let env = pod.containers[0].env.clone().unwrap();
        let of = |name: &str| -> Vec<&str> {
            env.iter()
                .filter(|variable| variable.name == name)
                .filter_map(|variable| variable.value.as_deref())
                .collect()
        };
        assert_eq!(of("WATCHSTATE_LOG"), ["debug"]);
        assert_eq!(of("HTTPS_PROXY"), ["http://proxy"]);
        assert_eq!(of("WATCHSTATE_SCHEDULE"), ["home"]);
        assert_eq!(of("WATCHSTATE_DATA"), ["/tmp"]);
    }

    #[test]
    fn what_is_secret_is_named_in_a_pod_and_stands_in_none() {
        let (schedule, servers, defaults) = (schedule("home", FULL), servers(), defaults());
        let blueprint = blueprint(&schedule, &servers, &defaults);
        for part in Part::TIMED.into_iter().chain([Part::Follow, Part::Sync, Part::Approve]) {
            let pod = blueprint.pod(part, &[]).spec.unwrap();
            for variable in pod.containers[0].env.iter().flatten() {
                let secret = variable.name == "DATABASE_URL" || variable.name.contains("KEY");
                assert_eq!(variable.value.is_none(), secret, "{part:?}: {}", variable.name);
            }
            for volume in pod.volumes.iter().flatten() {
                assert!(volume.config_map.is_none() && volume.host_path.is_none(), "{part:?}: {}", volume.name);
            }
        }
    }
}
