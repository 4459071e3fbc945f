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
            Some(live) if field == "requests" || field == "limits" => covers(&amounts(live), &amounts(wanted)),
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

/// Quantities as numbers: the API server keeps them in its own spelling, `500m` for `0.5`.
fn amounts(quantities: &Value) -> Value {
    let Value::Object(quantities) = quantities else { return quantities.clone() };
    let amount = |quantity: &Value| quantity.as_str().and_then(amount).map_or_else(|| quantity.clone(), Value::from);
    quantities.iter().map(|(resource, quantity)| (resource.clone(), amount(quantity))).collect()
}

/// What a quantity comes to, rounded to nine digits: `0.5` and `500m` are the same amount.
fn amount(quantity: &str) -> Option<String> {
    let digits =
        quantity.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let unit = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 2_f64.powi(10),
        "Mi" => 2_f64.powi(20),
        "Gi" => 2_f64.powi(30),
        "Ti" => 2_f64.powi(40),
        "Pi" => 2_f64.powi(50),
        "Ei" => 2_f64.powi(60),
        exponent => format!("1{exponent}").parse().ok()?,
    };
    Some(format!("{:.8e}", number * unit))
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
    fn a_quantity_is_the_same_in_any_spelling() {
        let pod = |cpu: &str, memory: &str| json!({ "resources": { "limits": { "cpu": cpu, "memory": memory } } });
        for (live, wanted) in
            [(("500m", "1Gi"), ("0.5", "1024Mi")), (("2", "1100M"), ("2e0", "1.1G")), (("1k", "1"), ("1e3", "1000m"))]
        {
            assert!(covers(&pod(live.0, live.1), &pod(wanted.0, wanted.1)), "{live:?} {wanted:?}");
        }
        assert!(!covers(&pod("500m", "1Gi"), &pod("0.6", "1Gi")));
        assert!(!covers(&pod("500m", "1G"), &pod("500m", "1Gi")));
        assert!(covers(&pod("what?", "1"), &pod("what?", "1")), "what isn't understood is compared as it is");
        assert!(!covers(&json!({ "name": "500m" }), &json!({ "name": "0.5" })), "only where quantities stand");
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
