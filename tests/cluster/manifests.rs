//! What the chart and the kustomize base make, judged by a real API server: every kind, every field, and restricted pod security.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::with;
use crate::definitions::definitions;
use crate::namespace::Namespace;

/// Values under which the chart makes other objects.
fn all_values() -> Vec<(&'static str, Value)> {
    let database = json!({"database": {"existingSecret": "pg-app"}});
    let and = |more: Value| with(database.clone(), &more);
    vec![
        ("defaults", database.clone()),
        ("address", json!({"database": {"url": "postgres://user:word@host:5432/name"}})),
        ("postgres", json!({"postgres": {"enabled": true, "storage": {"className": "fast"}}})),
        ("webhook off", and(json!({"webhook": {"enabled": false}}))),
        (
            "webhook on volumes, scaled, by ingress",
            and(json!({"webhook": {
                "spool": {"persistence": {"enabled": true}},
                "autoscaling": {"enabled": true, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}},
                "ingress": {"enabled": true, "className": "nginx", "hosts": ["a.example"],
                    "tls": [{"secretName": "tls", "hosts": ["a.example"]}]},
                "trustedProxies": ["10.42.0.0/16"], "keepRequests": "2h",
            }})),
        ),
        (
            "service of another type",
            and(
                json!({"webhook": {"service": {"type": "LoadBalancer", "extraSpec": {"externalTrafficPolicy": "Local"}}}}),
            ),
        ),
        (
            "two operators, placed",
            and(json!({"operator": {
                "replicas": 2, "nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}],
                "priorityClassName": "system-cluster-critical",
                "extraEnv": [{"name": "A", "value": "b"}], "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
                "extraVolumes": [{"name": "more", "emptyDir": {}}],
                "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
            }})),
        ),
        (
            "networks, dashboard, more objects",
            and(json!({
                "networkPolicy": {"enabled": true, "metricsFrom": [{"namespaceSelector": {}}]},
                "metrics": {"dashboard": {"enabled": true}},
                "imagePullSecrets": [{"name": "pull"}], "commonLabels": {"team": "home"},
                "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}],
            })),
        ),
    ]
}

#[tokio::test]
async fn all_that_the_chart_makes_is_accepted() -> Result<()> {
    definitions().await?;
    let namespace = Namespace::new("manifests").await?;
    // A pod is looked at together with its service account, which a dry run doesn't leave behind.
    let account = r#"{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "watchstate-worker",
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "watchstate", "meta.helm.sh/release-namespace": "NAMESPACE"}}}"#;
    namespace.kubectl_with(&["create", "-f", "-"], &account.replace("NAMESPACE", &namespace.name)).await?.good()?;
    for (name, values) in all_values() {
        // As rendered for this cluster, the hooks included; the definitions are another release's.
        let values = with(values, &json!({"crds": {"enabled": false}}));
        let template = ["template", "watchstate", "charts/watchstate", "--validate"];
        let text = namespace.helm(&template, &values).await?.good().with_context(|| name.to_owned())?;
        ensure!(text.contains("kind: Pod"), "the test of the chart is looked at, too");
        let dry =
            ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors", "-f", "-"];
        let said = namespace.kubectl_with(&dry, &text).await?;
        ensure!(said.ok && said.stderr.is_empty(), "{name}: {}{}", said.stdout, said.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn the_kustomize_base_is_accepted() -> Result<()> {
    definitions().await?;
    let namespace = Namespace::new("base").await?;
    let all = namespace.kubectl(&["kustomize", "charts/base"]).await?.good()?;
    // The definitions stand for themselves.
    let said = namespace
        .kubectl_with(&["apply", "--dry-run=server", "--server-side", "--force-conflicts", "-f", "-"], &all)
        .await?;
    ensure!(said.ok && !said.stderr.contains("Warning"), "{}", said.stderr);
    Ok(())
}

/// The other way round: were a pod not restricted, the API server would say so.
#[tokio::test]
async fn a_pod_that_is_not_restricted_is_refused() -> Result<()> {
    definitions().await?;
    let namespace = Namespace::new("restricted").await?;
    let values = json!({
        "database": {"existingSecret": "pg-app"}, "crds": {"enabled": false},
        "securityContext": {"allowPrivilegeEscalation": true},
    });
    let text = namespace.helm(&["template", "watchstate", "charts/watchstate"], &values).await?.good()?;
    let dry = ["apply", "--dry-run=server", "--warnings-as-errors", "-f", "-"];
    let said = namespace.kubectl_with(&dry, &text).await?.refused()?;
    ensure!(said.contains("allowPrivilegeEscalation"), "{said}");
    Ok(())
}
