//! A walk over a value beside its structural schema. It knows the keywords that the schemas of this
//! crate use (a test fails on any other) and reports all it finds, by the path of the field.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use regex::Regex;
use serde_json::{Map, Value};

use crate::pattern;
use crate::validate::Problem;

/// Which half of a schema is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// Whether the value has the form of the type: known fields, required ones, types, enumerations.
    Shape,
    /// Whether a value of that form keeps the bounds: lengths, ranges, patterns, keys that must differ.
    Bounds,
}

/// Adds what is wrong with `value`, which stands at the path `at`, to `found`.
pub(crate) fn walk(schema: &JSONSchemaProps, value: &Value, at: &str, checks: Checks, found: &mut Vec<Problem>) {
    if checks == Checks::Shape && !has_type(schema, value) {
        found.push(Problem::new(at, wrong_type(schema, value)));
        return;
    }
    match value {
        Value::Object(fields) => object(schema, fields, at, checks, found),
        Value::Array(items) => array(schema, items, at, checks, found),
        Value::String(text) => match checks {
            Checks::Shape => enumeration(schema, value, at, found),
            Checks::Bounds => string(schema, text, at, found),
        },
        Value::Number(number) if checks == Checks::Bounds => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            let (least, most) = (schema.minimum, schema.maximum);
            if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
                found.push(Problem::new(at, format!("must be {}", span(least, most))));
            }
        }
        _ => {}
    }
}

fn object(schema: &JSONSchemaProps, fields: &Map<String, Value>, at: &str, checks: Checks, found: &mut Vec<Problem>) {
    let values = match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(values)) => Some(values.as_ref()),
        _ => None,
    };
    // An object about which the schema says nothing may hold anything (metadata.managedFields does).
    let open =
        schema.properties.is_none() && values.is_none() || schema.x_kubernetes_preserve_unknown_fields == Some(true);
    for (name, value) in fields {
        let path = join(at, name);
        if let Some(child) = schema.properties.as_ref().and_then(|properties| properties.get(name)).or(values) {
            walk(child, value, &path, checks, found);
        } else if checks == Checks::Shape && !open {
            found.push(Problem::new(path, unknown_field(schema)));
        }
    }
    match checks {
        Checks::Shape => {
            for name in schema.required.iter().flatten().filter(|name| !fields.contains_key(*name)) {
                found.push(Problem::new(join(at, name), "is required"));
            }
        }
        Checks::Bounds => count(fields.len(), schema.min_properties, schema.max_properties, "entries", at, found),
    }
}

fn array(schema: &JSONSchemaProps, items: &[Value], at: &str, checks: Checks, found: &mut Vec<Problem>) {
    if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
        for (index, item) in items.iter().enumerate() {
            walk(each, item, &format!("{at}[{index}]"), checks, found);
        }
    }
    if checks == Checks::Shape {
        return;
    }
    count(items.len(), schema.min_items, schema.max_items, "entries", at, found);
    let keys = match schema.x_kubernetes_list_type.as_deref() {
        Some("map") => schema.x_kubernetes_list_map_keys.as_deref(),
        Some("set") => Some(&[][..]),
        _ => None,
    };
    let Some(keys) = keys else { return };
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let identity = if keys.is_empty() {
            item.to_string()
        } else {
            keys.iter().map(|key| item[key].to_string()).collect::<Vec<_>>().join(" ")
        };
        if !seen.insert(identity) {
            let field = keys.iter().fold(format!("{at}[{index}]"), |path, key| join(&path, key));
            found.push(Problem::new(field, "stands there twice: every entry may be given once only"));
        }
    }
}

fn string(schema: &JSONSchemaProps, text: &str, at: &str, found: &mut Vec<Problem>) {
    let length = text.chars().count();
    count(length, schema.min_length, schema.max_length, "characters", at, found);
    if let Some(expression) = &schema.pattern
        && !Regex::new(expression).is_ok_and(|pattern| pattern.is_match(text))
    {
        let message = match pattern::words(expression) {
            Some(words) => format!("must be {words}"),
            None => format!("must match {expression}"),
        };
        found.push(Problem::new(at, message));
    }
}

fn enumeration(schema: &JSONSchemaProps, value: &Value, at: &str, found: &mut Vec<Problem>) {
    if let Some(accepted) = &schema.enum_
        && !accepted.iter().any(|one| one.0 == *value)
    {
        let names: Vec<_> = accepted.iter().filter_map(|one| one.0.as_str()).collect();
        found.push(Problem::new(at, format!("must be one of {}", names.join(", "))));
    }
}

fn has_type(schema: &JSONSchemaProps, value: &Value) -> bool {
    if schema.x_kubernetes_int_or_string == Some(true) {
        return value.is_string() || value.is_i64() || value.is_u64() || value.is_f64();
    }
    match schema.type_.as_deref() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => match schema.format.as_deref() {
            Some("int32") => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            _ => value.is_i64() || value.is_u64(),
        },
        Some("number") => value.is_number(),
        _ => true,
    }
}

fn wrong_type(schema: &JSONSchemaProps, value: &Value) -> String {
    let expected = match schema.type_.as_deref() {
        Some("object") => "a group of fields",
        Some("array") => "a list",
        Some("boolean") => "true or false",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        _ if schema.x_kubernetes_int_or_string == Some(true) => "a number or a text",
        _ => "a text",
    };
    let found = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a group of fields",
    };
    let hint = match (schema.type_.as_deref(), value) {
        (Some("string"), Value::Bool(_) | Value::Number(_)) => ": put it in quotes",
        (Some("boolean" | "integer"), Value::String(_)) => ": write it without quotes",
        _ => "",
    };
    if expected == found {
        // Only a whole number too large for its field, or one with a fraction, comes here by name.
        return format!("must be {expected} that fits");
    }
    format!("must be {expected}, not {found}{hint}")
}

fn unknown_field(schema: &JSONSchemaProps) -> String {
    let known: Vec<_> = schema.properties.iter().flat_map(|properties| properties.keys().map(String::as_str)).collect();
    format!("is no field of this resource; known here: {}", known.join(", "))
}

fn count(number: usize, least: Option<i64>, most: Option<i64>, what: &str, at: &str, found: &mut Vec<Problem>) {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
        found.push(Problem::new(at, format!("must have {} {what}", span(least, most))));
    }
}

pub(super) fn span<N: std::fmt::Display>(least: Option<N>, most: Option<N>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => "any number of".to_owned(),
    }
}

/// A field's path; names that hold a dot (labels, annotations) are put in brackets.
fn join(at: &str, name: &str) -> String {
    match (at, name.contains(['.', '/'])) {
        ("", _) => name.to_owned(),
        (at, true) => format!("{at}[{name}]"),
        (at, false) => format!("{at}.{name}"),
    }
}
