//! The `CustomResourceDefinition`s: installed by an older chart, upgraded by this one, and used by all other tests.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::cluster::{PATIENCE, image_values, root, with};
use crate::namespace::Namespace;

/// What became of resources that were there before the upgrade.
#[derive(Debug)]
pub struct Upgraded {
    /// The MediaServer and the SyncSchedule as the API server showed them before.
    pub before: Vec<Value>,
    /// And after.
    pub after: Vec<Value>,
    /// What the API server said of a field that the old definition doesn't have.
    pub unknown_before: String,
}

static UPGRADED: OnceCell<Upgraded> = OnceCell::const_new();

/// Waits for the definitions. Whoever comes first installs them, as the first installation of a cluster does; its namespace is kept.
pub async fn definitions() -> Result<&'static Upgraded> {
    UPGRADED.get_or_try_init(install_and_upgrade).await
}

/// The installation that has the definitions: nothing of it runs.
fn bare() -> Result<Value> {
    Ok(json!({
        "image": image_values()?, "database": {"url": "postgres://nobody@nowhere:5432/nothing"},
        "operator": {"replicas": 0}, "webhook": {"enabled": false},
    }))
}

async fn install_and_upgrade() -> Result<Upgraded> {
    let namespace = Namespace::of_all("definitions").await?;
    let older = tempfile::tempdir()?;
    older_chart(older.path())?;
    let older = older.path().to_str().context("a path in UTF-8")?;
    // In a cluster that was tested before they are another release's.
    namespace.helm(&["install", "definitions", older, "--take-ownership"], &bare()?).await?.good()?;
    established(&namespace.client).await?;

    let resources = r#"
apiVersion: watchstate.dev/v1alpha1
kind: MediaServer
metadata: {name: here-before, labels: {home: "yes"}}
spec:
  type: Emby
  url: http://emby.media.svc:8096
  loginSecretRef: {name: login}
  users: [{person: anna, account: Anna}, {person: ben, account: Ben}]
  libraries: {exclude: [Home videos]}
  pathRules: [{from: /mnt/films, to: /films}]
  unplayed: Ignore
  limits: {concurrency: 2, requestsPerSecond: 7, timeout: 20s}
---
apiVersion: watchstate.dev/v1alpha1
kind: SyncSchedule
metadata: {name: here-before}
spec:
  servers: {matchLabels: {home: "yes"}}
  timeZone: Europe/Berlin
  import: {schedule: 17 * * * *}
  backup: {to: {volumeClaim: {claimName: backups, path: watchstate}}}
"#;
    namespace.apply(resources).await?;
    // A condition, as an operator would have left it.
    let status = json!({"status": {"observedGeneration": 1, "conditions": [{
        "type": "Ready", "status": "True", "reason": "Ready", "message": "all is well", "observedGeneration": 1,
        "lastTransitionTime": "2025-01-01T00:00:00Z",
    }]}});
    namespace
        .kubectl(&["patch", "ms", "here-before", "--subresource=status", "--type=merge", "-p", &status.to_string()])
        .await?
        .good()?;
    let suspend = json!({"spec": {"suspend": true}}).to_string();
    let unknown =
        ["patch", "ms", "here-before", "--type=merge", "-p", &suspend, "--dry-run=server", "--warnings-as-errors"];
    let unknown_before = namespace.kubectl(&unknown).await?.refused()?;

    let before = shown(&namespace).await?;
    namespace
        .helm(&["upgrade", "definitions", "charts/watchstate"], &with(bare()?, &json!({"commonLabels": {"n": "next"}})))
        .await?
        .good()?;
    established(&namespace.client).await?;
    let after = shown(&namespace).await?;
    // The resources are in the way of nobody, but no operator would ever look at them.
    namespace.kubectl(&["delete", "ms,sync", "--all"]).await?.good()?;
    std::mem::forget(namespace);
    Ok(Upgraded { before, after, unknown_before })
}

/// This chart as it could have been before: its MediaServers have no `spec.suspend`.
pub fn older_chart(folder: &Path) -> Result<()> {
    let status = std::process::Command::new("cp")
        .arg("-r")
        .arg(root().join("charts/watchstate/."))
        .arg(folder)
        .status()
        .context("cp can't be run")?;
    ensure!(status.success(), "the chart can't be copied");
    let file = folder.join("files/crds/mediaservers.yaml");
    let mut definition: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
    let version = definition.pointer_mut("/spec/versions/0").context("a version")?;
    let columns = version["additionalPrinterColumns"].as_array_mut().context("columns")?;
    columns.retain(|column| column["jsonPath"] != ".spec.suspend");
    let selectable = version["selectableFields"].as_array_mut().context("selectable fields")?;
    selectable.retain(|field| field["jsonPath"] != ".spec.suspend");
    let spec = version.pointer_mut("/schema/openAPIV3Schema/properties/spec/properties").context("a spec")?;
    spec.as_object_mut().context("fields")?.remove("suspend").context("suspend")?;
    std::fs::write(&file, serde_saphyr::to_string(&definition)?)?;
    let chart = folder.join("Chart.yaml");
    let text = std::fs::read_to_string(&chart)?.replace("\nversion: 0.", "\nversion: 0.0.0-");
    std::fs::write(chart, text)?;
    Ok(())
}

async fn established(client: &Client) -> Result<()> {
    for name in ["mediaservers.watchstate.dev", "syncschedules.watchstate.dev"] {
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        timeout(PATIENCE, await_condition(api, name, conditions::is_crd_established())).await.context(name)??;
    }
    Ok(())
}

async fn shown(namespace: &Namespace) -> Result<Vec<Value>> {
    let list = namespace.kubectl(&["get", "ms,sync", "-o", "json"]).await?.good()?;
    let mut list: Value = serde_json::from_str(&list)?;
    let items = list["items"].as_array_mut().context("a list")?;
    for item in items.iter_mut() {
        let metadata = item["metadata"].as_object_mut().context("metadata")?;
        metadata.remove("managedFields");
    }
    Ok(std::mem::take(items))
}

#[tokio::test]
async fn resources_survive_an_upgrade_of_their_definition() -> Result<()> {
    let upgraded = definitions().await?;
    assert!(upgraded.unknown_before.contains("spec.suspend"), "{}", upgraded.unknown_before);
    assert_eq!(upgraded.before.len(), 2);
    // What is new has its default; all else, the status included, is as it was.
    let mut expected = upgraded.before.clone();
    expected[0]["spec"]["suspend"] = json!(false);
    assert_eq!(upgraded.after, expected);
    Ok(())
}

#[tokio::test]
async fn the_definitions_stay_when_their_release_goes() -> Result<()> {
    let upgraded = definitions().await?;
    assert!(!upgraded.after.is_empty());
    let client = crate::cluster::client().await?;
    let api: Api<CustomResourceDefinition> = Api::all(client);
    let definition = api.get("mediaservers.watchstate.dev").await?;
    let annotations = definition.metadata.annotations.unwrap_or_default();
    assert_eq!(annotations.get("helm.sh/resource-policy").map(String::as_str), Some("keep"));
    Ok(())
}
