//! What the API server says of resources that nobody could want: the table of rules by which the types are tested, asked of a real one.

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Error};
use serde_json::Value;

use self::table::{
    Row, media_server, media_server_changes, media_server_rows, patched, sync_schedule, sync_schedule_rows,
};
use crate::definitions::definitions;
use crate::namespace::Namespace;

#[path = "../../crds/tests/rules/table.rs"]
mod table;

/// Each row of a table: the API server takes what it accepts, and says the row's message of what it refuses.
async fn judged(kind: &str, plural: &str, good: Value, rows: Vec<Row>, changes: Vec<Row>) -> Result<()> {
    definitions().await?;
    let namespace = Namespace::new("rules").await?;
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("watchstate.dev", "v1alpha1", kind), plural);
    let api: Api<DynamicObject> = Api::namespaced_with(namespace.client.clone(), &namespace.name, &resource);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    for Row { place, message, accepts, refuses } in rows {
        for patch in accepts {
            let object: DynamicObject = serde_json::from_value(patched(good.clone(), &patch))?;
            api.create(&dry, &object)
                .await
                .with_context(|| format!("{place}: {message}: {patch} is to be accepted"))?;
        }
        for patch in refuses {
            let object = serde_json::from_value(patched(good.clone(), &patch))?;
            refused(api.create(&dry, &object).await, place, message, &patch)?;
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let name = good["metadata"]["name"].as_str().context("a name")?;
    let there = api.create(&PostParams::default(), &serde_json::from_value(good.clone())?).await?;
    for Row { place, message, accepts, refuses } in changes {
        let with = |patch: &Value| -> Result<DynamicObject> {
            let mut object: DynamicObject = serde_json::from_value(patched(good.clone(), patch))?;
            object.metadata.resource_version.clone_from(&there.metadata.resource_version);
            Ok(object)
        };
        for patch in accepts {
            let object = with(&patch)?;
            api.replace(name, &dry, &object).await.with_context(|| format!("{place}: {message}: {patch}"))?;
        }
        for patch in refuses {
            refused(api.replace(name, &dry, &with(&patch)?).await, place, message, &patch)?;
        }
    }
    api.delete(name, &DeleteParams::default()).await?;
    Ok(())
}

/// The answer has the message of the rule, and names the field, so that a person can find it.
fn refused(answer: Result<DynamicObject, Error>, place: &str, message: &str, patch: &Value) -> Result<()> {
    let said = match answer {
        Ok(_) => anyhow::bail!("{place}: {message}: {patch} is to be refused"),
        Err(Error::Api(status)) => status.message,
        Err(other) => return Err(other.into()),
    };
    ensure!(said.contains(message), "{patch} is refused for another reason than {message:?}: {said}");
    ensure!(said.contains(place), "{place} isn't named: {said}");
    Ok(())
}

#[tokio::test]
async fn every_rule_of_a_media_server_is_kept_by_the_api_server() -> Result<()> {
    judged("MediaServer", "mediaservers", media_server(), media_server_rows(), media_server_changes()).await
}

#[tokio::test]
async fn every_rule_of_a_schedule_is_kept_by_the_api_server() -> Result<()> {
    judged("SyncSchedule", "syncschedules", sync_schedule(), sync_schedule_rows(), Vec::new()).await
}
