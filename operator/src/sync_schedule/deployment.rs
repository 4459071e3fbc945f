//! The follower: the one part that stays, for `push.mode: Realtime`.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{ContainerPort, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::labels;
use super::part::{self, Part};
use super::pod::{Blueprint, plain};

/// The chart's NetworkPolicy and PodMonitor name this port.
const ADMIN: &str = "admin";
const ADMIN_PORT: i32 = 9090;

/// The Deployment that pushes changes as they come; None where they are pushed by the clock or not at all.
pub fn follower(blueprint: &Blueprint) -> Option<Deployment> {
    if !part::follows(&blueprint.schedule.spec) {
        return None;
    }
    let mut template = blueprint.pod(Part::Follow, &[]);
    for container in template.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        container.env.get_or_insert_default().push(plain("WATCHSTATE_ADMIN_ADDRESS", &format!("0.0.0.0:{ADMIN_PORT}")));
        container.ports = Some(vec![ContainerPort {
            name: Some(ADMIN.to_owned()),
            container_port: ADMIN_PORT,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]);
        // Alive as long as the port answers, whatever the database does: to restart would help nobody.
        container.startup_probe = Some(probe("/livez", 1, 60));
        container.liveness_probe = Some(probe("/livez", 10, 3));
        container.readiness_probe = Some(probe("/readyz", 5, 3));
    }
    let spec = DeploymentSpec {
        replicas: Some(i32::from(!blueprint.suspended())),
        revision_history_limit: Some(3),
        selector: LabelSelector {
            match_labels: Some(labels::selector(blueprint.name, Part::Follow)),
            ..LabelSelector::default()
        },
        // Two may run at once: they share the work by locks in the database. The new one is there before the old one goes.
        strategy: Some(DeploymentStrategy {
            type_: Some("RollingUpdate".to_owned()),
            rolling_update: Some(RollingUpdateDeployment {
                max_surge: Some(IntOrString::Int(1)),
                max_unavailable: Some(IntOrString::Int(0)),
            }),
        }),
        template,
        ..DeploymentSpec::default()
    };
    let metadata = blueprint.metadata(format!("{}-{}", blueprint.name, Part::Follow.name()), Part::Follow);
    Some(Deployment { metadata, spec: Some(spec), status: None })
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(ADMIN.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(3),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_schedule::fixtures::{FULL, MINIMAL, blueprint, defaults, schedule, servers};

    #[test]
    fn the_follower_as_a_whole_object() {
        let (schedule, servers, defaults) = (schedule("home", FULL), servers(), defaults());
        insta::assert_yaml_snapshot!(follower(&blueprint(&schedule, &servers, &defaults)));
    }

    #[test]
    fn without_real_time_pushing_there_is_no_follower_and_a_suspended_one_has_no_pods() {
        let (servers, defaults) = (servers(), defaults());
        for (spec, replicas) in [
            (MINIMAL, None),
            ("{push: {}}", None),
            ("{push: {mode: Off}}", None),
            ("{push: {mode: Realtime}}", Some(1)),
            ("{push: {mode: Realtime}, suspend: true}", Some(0)),
        ] {
            let schedule = schedule("home", spec);
            let found = follower(&blueprint(&schedule, &servers, &defaults));
            assert_eq!(found.and_then(|deployment| deployment.spec?.replicas), replicas, "{spec}");
        }
    }

    #[test]
    fn the_selector_finds_the_pods_of_this_follower_only() {
        let (schedule, servers, defaults) = (schedule("home", FULL), servers(), defaults());
        let blueprint = blueprint(&schedule, &servers, &defaults);
        let selector = labels::selector("home", Part::Follow);
        let fits = |part| {
            let labels = blueprint.pod(part, &[]).metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
            selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        assert!(fits(Part::Follow));
        assert!(!Part::TIMED.into_iter().any(fits));
    }
}
