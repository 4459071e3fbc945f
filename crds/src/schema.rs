//! The custom resource definitions as they are published, and what their schemas say about a value
//! when there is no API server to ask.

mod page;
mod walk;

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::CustomResourceExt;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

pub use self::page::{NoMarks, page_file, renew_page};
pub(crate) use self::walk::Checks;
use crate::media_server::MediaServer;
use crate::pattern;
use crate::sync_schedule::SyncSchedule;
use crate::validate::Problem;

/// A definition could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// It has no form in JSON.
    #[error("cannot turn the definition into JSON")]
    Json(#[from] serde_json::Error),
    /// It has no form in YAML.
    #[error("cannot turn the definition into YAML")]
    Yaml(#[from] serde_saphyr::SerializeError),
}

/// The definition of `MediaServer`.
pub fn media_server_definition() -> CustomResourceDefinition {
    published(MediaServer::crd())
}

/// The definition of `SyncSchedule`.
pub fn sync_schedule_definition() -> CustomResourceDefinition {
    published(SyncSchedule::crd())
}

/// All definitions, each with the name of its file.
pub fn definitions() -> [(&'static str, CustomResourceDefinition); 2] {
    [("mediaservers.yaml", media_server_definition()), ("syncschedules.yaml", sync_schedule_definition())]
}

/// A definition as the text of its file. Keys are sorted, so that the text depends on nothing but the types.
///
/// # Errors
/// Where the definition has no form in JSON or YAML, which no definition of this crate is.
pub fn to_yaml(definition: &CustomResourceDefinition) -> Result<String, RenderError> {
    let mut value = serde_json::to_value(definition)?;
    value.sort_all_objects();
    let yaml = serde_saphyr::to_string(&value)?;
    Ok(format!("# Generated from the types in crds/src: cargo run -p watchstate-crds --bin crdgen -- crds\n{yaml}"))
}

/// The derive marks every `Option` as nullable, and an explicit null would then count as set in
/// `has()`. Without the mark the API server takes a null for a missing field, as everyone expects.
fn published(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        if let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            forbid_null(root);
        }
    }
    definition
}

fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    for child in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        forbid_null(child);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        forbid_null(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        forbid_null(values);
    }
}

/// A resource's schema with all that a document of it may hold at the top.
pub(crate) struct Resource {
    root: JSONSchemaProps,
}

impl Resource {
    fn new(definition: &CustomResourceDefinition) -> Self {
        let root = definition
            .spec
            .versions
            .iter()
            .find_map(|version| version.schema.as_ref()?.open_api_v3_schema.clone())
            .unwrap_or_default();
        Self::with_metadata(root)
    }

    fn with_metadata(mut root: JSONSchemaProps) -> Self {
        let properties = root.properties.get_or_insert_default();
        let text = JSONSchemaProps { type_: Some("string".to_owned()), ..JSONSchemaProps::default() };
        properties.insert("apiVersion".to_owned(), text.clone());
        properties.insert("kind".to_owned(), text);
        properties.insert("metadata".to_owned(), metadata());
        root.required.get_or_insert_default().push("metadata".to_owned());
        Self { root }
    }

    /// What the schema finds wrong with a value.
    pub(crate) fn check(&self, value: &Value, checks: Checks) -> Vec<Problem> {
        let mut found = Vec::new();
        walk::walk(&self.root, value, "", checks, &mut found);
        found
    }
}

/// The schema of `MediaServer`.
pub(crate) fn media_server() -> &'static Resource {
    static RESOURCE: LazyLock<Resource> = LazyLock::new(|| Resource::new(&media_server_definition()));
    &RESOURCE
}

/// The schema of `SyncSchedule`.
pub(crate) fn sync_schedule() -> &'static Resource {
    static RESOURCE: LazyLock<Resource> = LazyLock::new(|| Resource::new(&sync_schedule_definition()));
    &RESOURCE
}

/// The schema of a Kubernetes `Secret`.
pub(crate) fn secret() -> &'static Resource {
    static RESOURCE: LazyLock<Resource> = LazyLock::new(|| Resource::with_metadata(schema_of::<Secret>()));
    &RESOURCE
}

/// What `metadata` may hold. A definition leaves that to the API server, which knows it by itself.
fn metadata() -> JSONSchemaProps {
    let mut metadata = schema_of::<ObjectMeta>();
    metadata.type_ = Some("object".to_owned());
    metadata.required = Some(vec!["name".to_owned()]);
    if let Some(name) = metadata.properties.as_mut().and_then(|properties| properties.get_mut("name")) {
        name.pattern = Some(pattern::NAME.to_owned());
        name.min_length = Some(1);
        name.max_length = Some(253);
    }
    metadata
}

/// The schema of a type of Kubernetes itself. Where it had no such form, nothing would be accepted; a test reads one.
fn schema_of<T: JsonSchema>() -> JSONSchemaProps {
    let schema = SchemaSettings::openapi3()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .into_generator()
        .into_root_schema_for::<T>();
    serde_json::from_value(schema.to_value()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `each` for every part of every published schema, with its path.
    fn visit(each: &mut dyn FnMut(&str, &Value)) {
        fn parts(schema: &Value, at: &str, each: &mut dyn FnMut(&str, &Value)) {
            each(at, schema);
            for (name, child) in schema["properties"].as_object().into_iter().flatten() {
                parts(child, &format!("{at}.{name}"), each);
            }
            for key in ["items", "additionalProperties"].into_iter().filter(|key| schema[key].is_object()) {
                parts(&schema[key], &format!("{at}[]"), each);
            }
        }
        for (file, definition) in definitions() {
            let definition = serde_json::to_value(definition).unwrap();
            parts(definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap(), file, each);
        }
    }

    /// Kubernetes' own types are described and bounded by Kubernetes.
    fn is_ours(path: &str) -> bool {
        !["conditions[]", "resources.", "affinity.", "tolerations[]", "env[]", "imagePullSecrets[]"]
            .iter()
            .any(|foreign| path.contains(foreign))
    }

    #[test]
    fn every_keyword_of_the_schemas_is_known_to_the_walk() {
        const KNOWN: [&str; 24] = [
            "additionalProperties",
            "default",
            "description",
            "enum",
            "format",
            "items",
            "maxItems",
            "maxLength",
            "maxProperties",
            "maximum",
            "minItems",
            "minLength",
            "minProperties",
            "minimum",
            "pattern",
            "properties",
            "required",
            "title",
            "type",
            "x-kubernetes-int-or-string",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-list-type",
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-validations",
        ];
        visit(&mut |path, schema| {
            for keyword in schema.as_object().unwrap().keys() {
                assert!(KNOWN.contains(&keyword.as_str()), "{path}: {keyword}");
            }
            assert_ne!(schema["format"], "uint32", "{path}: the API server knows no such format");
        });
    }

    #[test]
    fn every_pattern_compiles_and_has_words_for_a_person() {
        visit(&mut |path, schema| {
            if let Some(expression) = schema["pattern"].as_str() {
                assert!(regex::Regex::new(expression).is_ok(), "{path}: {expression}");
                assert!(pattern::words(expression).is_some(), "{path}: {expression}");
            }
        });
    }

    #[test]
    fn every_field_is_described_and_every_default_told_in_words() {
        visit(&mut |path, schema| {
            if !is_ours(path) || path.ends_with("[]") {
                return;
            }
            let description = schema["description"].as_str().unwrap_or_default();
            assert!(description.len() > 10, "{path} is not described");
            match &schema["default"] {
                _ if path.contains(".status") => {}
                Value::Null | Value::Object(_) => {}
                Value::String(text) => assert!(description.contains(&format!("Default: {text}")), "{path}"),
                value => assert!(description.contains(&format!("Default: {value}")), "{path}"),
            }
        });
    }

    #[test]
    fn every_text_and_list_that_a_user_writes_is_bounded() {
        visit(&mut |path, schema| {
            if !is_ours(path) || !path.contains(".spec") {
                return;
            }
            let bound = match schema["type"].as_str() {
                Some("string") if schema["enum"].is_null() => "maxLength",
                Some("array") => "maxItems",
                Some("integer") => "maximum",
                Some("object") if schema["properties"].is_null() && path.contains(".worker.") => return,
                _ => return,
            };
            let exempt = path.ends_with("podAnnotations[]");
            assert!(exempt || !schema[bound].is_null(), "{path} has no {bound}");
        });
    }

    #[test]
    fn nothing_may_be_null_so_that_a_null_counts_as_missing() {
        visit(&mut |path, schema| assert!(schema["nullable"].is_null(), "{path}"));
    }

    #[test]
    fn a_field_that_kubernetes_does_not_know_is_found_in_metadata_and_in_secrets() {
        let value = serde_json::json!({"metadata": {"name": "a", "lables": {}}, "stringDate": {}});
        let problems = secret().check(&value, Checks::Shape);
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["metadata.lables", "stringDate"]);
    }
}
