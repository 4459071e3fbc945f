//! Writing to the API server: server-side apply with one field manager, and only where something differs.

use std::fmt::Debug;
use std::fmt::Write as _;

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Who owns the fields that we write.
pub const FIELD_MANAGER: &str = "watchstate-operator";
/// What was applied last, as a hash: tells fields that are no longer wanted from those that somebody else or the API server has filled in.
pub const APPLIED: &str = "watchstate.dev/applied";

/// What came of an apply.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied<K> {
    /// Nothing differed; nothing was sent.
    Unchanged,
    /// As the API server has it now.
    Written(K),
}

/// Makes an object be as wanted. `live`: as the API server has it, as far as is known. Nothing is sent where that holds all that is wanted and
/// nothing that we wanted once.
pub async fn apply<K>(api: &Api<K>, wanted: &K, live: Option<&K>) -> Result<Applied<K>, kube::Error>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let wanted = stamped(serde_json::to_value(wanted).map_err(kube::Error::SerdeError)?);
    if let Some(live) = live {
        let live = serde_json::to_value(live).map_err(kube::Error::SerdeError)?;
        if covers(&live, &wanted) {
            return Ok(Applied::Unchanged);
        }
    }
    let name = wanted.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let patch = Patch::Apply(with_type::<K>(wanted));
    api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &patch).await.map(Applied::Written)
}

/// Makes an object's status be as wanted; the object as it is then. None: it was so already, and nothing was sent.
pub async fn apply_status<K, S>(
    api: &Api<K>,
    name: &str,
    wanted: &S,
    live: Option<&S>,
) -> Result<Option<K>, kube::Error>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug,
    S: Serialize + PartialEq,
{
    if live == Some(wanted) {
        return Ok(None);
    }
    let patch = Patch::Apply(with_type::<K>(json!({ "metadata": { "name": name }, "status": wanted })));
    api.patch_status(name, &PatchParams::apply(FIELD_MANAGER).force(), &patch).await.map(Some)
}

/// Deletes an object, if it is still the one that was seen. False: it was gone, or is another one now.
pub async fn delete<K>(api: &Api<K>, object: &K) -> Result<bool, kube::Error>
where
    K: Resource + DeserializeOwned + Clone + Debug,
{
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(&object.name_any(), &params).await {
        Ok(_) => Ok(true),
        Err(error) if is(&error, 404) || is(&error, 409) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Holds an object until the finalizer is taken off. Fails where the object has changed since it was read.
pub async fn add_finalizer<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<K, kube::Error>
where
    K: Resource + DeserializeOwned + Clone + Debug,
{
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(finalizer.to_owned());
    set_finalizers(api, object, &finalizers).await
}

/// Takes a finalizer off. An object that is gone needs none.
pub async fn remove_finalizer<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<(), kube::Error>
where
    K: Resource + DeserializeOwned + Clone + Debug,
{
    let left: Vec<String> = object.finalizers().iter().filter(|found| *found != finalizer).cloned().collect();
    match set_finalizers(api, object, &left).await {
        Err(error) if !is(&error, 404) => Err(error),
        _ => Ok(()),
    }
}

/// The list is not ours alone: it is replaced as it was read, or not at all.
async fn set_finalizers<K>(api: &Api<K>, object: &K, finalizers: &[String]) -> Result<K, kube::Error>
where
    K: Resource + DeserializeOwned + Clone + Debug,
{
    let metadata = json!({ "finalizers": finalizers, "resourceVersion": object.resource_version() });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(&object.name_any(), &params, &Patch::Merge(json!({ "metadata": metadata }))).await
}

/// Whether the API server answered with this code.
pub fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// An apply needs to say what it applies to; objects read back don't.
fn with_type<K: Resource<DynamicType = ()>>(mut object: Value) -> Value {
    object["apiVersion"] = K::api_version(&()).into();
    object["kind"] = K::kind(&()).into();
    object
}

/// With the hash of all that is wanted. Values of Secrets are left out of it: they are compared themselves, and no hash of them is to be read.
fn stamped(mut wanted: Value) -> Value {
    let mut hashed = wanted.clone();
    if let Some(fields) = hashed.as_object_mut()
        && fields.contains_key("type")
    {
        fields.remove("data");
        fields.remove("stringData");
    }
    let mut hash = String::with_capacity(16);
    for byte in &Sha256::digest(hashed.to_string().as_bytes())[..8] {
        // Writing to a String can't fail.
        write!(hash, "{byte:02x}").ok();
    }
    wanted["metadata"]["annotations"][APPLIED] = hash.into();
    wanted
}

/// Whether `live` holds everything that `wanted` says. Lists must be of the same length, their entries may hold more.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(field, wanted)| match live.get(field) {
            Some(live) => covers(live, wanted),
            // The API server drops what is empty.
            None => is_empty(wanted),
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_fills_in_is_no_difference_and_what_we_wanted_once_is() {
        let wanted = |replicas: Value, labels: Value| {
            stamped(
                json!({ "metadata": { "name": "x", "labels": labels }, "spec": { "replicas": replicas, "list": [{ "a": 1 }] } }),
            )
        };
        let before = wanted(json!(1), json!({ "a": "b" }));
        let mut live = before.clone();
        live["spec"]["strategy"] = json!("RollingUpdate");
        live["spec"]["list"][0]["b"] = json!(2);
        live["metadata"]["uid"] = json!("1");
        assert!(covers(&live, &before));
        assert!(!covers(&live, &wanted(json!(2), json!({ "a": "b" }))), "changed");
        assert!(!covers(&live, &wanted(json!(1), json!({}))), "a label that is no longer wanted");
        live["spec"]["replicas"] = json!(5);
        assert!(!covers(&live, &before), "somebody else has changed it");
    }

    #[test]
    fn no_hash_of_a_secrets_values_is_stored() {
        let secret =
            |token: &str| stamped(json!({ "metadata": { "name": "x" }, "type": "Opaque", "data": { "token": token } }));
        let (one, other) = (secret("b25l"), secret("b3RoZXI="));
        assert_eq!(one["metadata"], other["metadata"]);
        assert!(!covers(&one, &other), "the values themselves are compared");
    }
}
