//! The tables of fields in a resource's page (docs/resources), made from its schema. They stand between two marks; what a person
//! writes around them stays.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps, JSONSchemaPropsOrArray,
    JSONSchemaPropsOrBool,
};
use serde_json::Value;

use super::walk::span;
use crate::pattern;

const BEGIN: &str = "<!-- fields: begin -->";
const END: &str = "<!-- fields: end -->";

/// Kubernetes describes its own types: where they stand, and what they are called in its reference.
const FROM_KUBERNETES: [(&str, &str, &str); 6] = [
    ("spec.worker.affinity", "Affinity", "affinity-v1-core"),
    ("spec.worker.env[]", "EnvVar", "envvar-v1-core"),
    ("spec.worker.imagePullSecrets[]", "LocalObjectReference", "localobjectreference-v1-core"),
    ("spec.worker.resources", "ResourceRequirements", "resourcerequirements-v1-core"),
    ("spec.worker.tolerations[]", "Toleration", "toleration-v1-core"),
    ("status.conditions[]", "Condition", "condition-v1-meta"),
];
const REFERENCE: &str = "https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.33/";

/// A page that has no place for the tables.
#[derive(Debug, thiserror::Error)]
#[error("the page has no lines {BEGIN} and {END}, in this order, for the tables of fields")]
pub struct NoMarks;

/// The file of a resource's page.
pub fn page_file(definition: &CustomResourceDefinition) -> String {
    format!("{}.md", definition.spec.names.kind.to_lowercase())
}

/// The page with the fields that the definition has now.
///
/// # Errors
/// Where the page has no marks for them.
pub fn renew_page(page: &str, definition: &CustomResourceDefinition) -> Result<String, NoMarks> {
    let (head, rest) = page.split_once(BEGIN).ok_or(NoMarks)?;
    let (_, tail) = rest.split_once(END).ok_or(NoMarks)?;
    Ok(format!("{head}{BEGIN}\n{}\n{END}{tail}", tables(definition).join("\n")))
}

fn tables(definition: &CustomResourceDefinition) -> Vec<String> {
    let mut lines = Vec::new();
    for version in &definition.spec.versions {
        if let Some(root) = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()) {
            lines.extend(paragraph(&broken_rules(root)));
            for (name, part) in root.properties.iter().flatten() {
                if inside(name, part).is_some() {
                    section(name, part, &mut lines);
                }
            }
        }
        lines.extend(columns(version));
    }
    lines
}

/// A group of fields, then the groups in it.
fn section(path: &str, group: &JSONSchemaProps, lines: &mut Vec<String>) {
    lines.push(format!("\n### `{path}`\n"));
    lines.extend(paragraph(&broken_rules(group)).map(|rules| rules + "\n"));
    let status = path.starts_with("status");
    lines.push(
        if status { "| field | type | |\n|---|---|---|" } else { "| field | type | default | |\n|---|---|---|---|" }
            .to_owned(),
    );
    let fields: Vec<_> =
        group.properties.iter().flatten().map(|(name, field)| (format!("{path}.{name}"), name, field)).collect();
    for (path, name, field) in &fields {
        let required = group.required.iter().flatten().any(|one| one == *name);
        let (kind, text) = (type_of(path, field), description(path, field));
        lines.push(if status {
            format!("| `{name}` | {kind} | {text} |")
        } else {
            format!("| `{name}` | {kind} | {} | {text} |", default_of(field, required))
        });
    }
    for (path, _, field) in &fields {
        if let Some((path, inner)) = inside(path, field) {
            section(&path, inner, lines);
        }
    }
}

/// What `kubectl get` shows.
fn columns(version: &CustomResourceDefinitionVersion) -> Vec<String> {
    let mut lines = vec!["\n### `kubectl get`\n".to_owned(), "| column | shown | |\n|---|---|---|".to_owned()];
    lines.extend(version.additional_printer_columns.iter().flatten().map(|column| {
        let shown = if column.priority.unwrap_or_default() == 0 { "always" } else { "`-o wide`" };
        format!("| {} | {shown} | {} |", column.name, cell(column.description.as_deref().unwrap_or_default()))
    }));
    lines
}

/// The fields inside a field, with their path: those of a group, or of each entry of a list.
fn inside<'a>(path: &str, field: &'a JSONSchemaProps) -> Option<(String, &'a JSONSchemaProps)> {
    let (path, inner) = match entry(field) {
        Some(entry) => (format!("{path}[]"), entry),
        None => (path.to_owned(), field),
    };
    (from_kubernetes(&path).is_none() && inner.properties.is_some()).then_some((path, inner))
}

fn entry(field: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &field.items {
        Some(JSONSchemaPropsOrArray::Schema(entry)) => Some(entry),
        _ => None,
    }
}

fn value(field: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &field.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(value)) => Some(value),
        _ => None,
    }
}

/// A link to the type, where it is one of Kubernetes itself.
fn from_kubernetes(path: &str) -> Option<String> {
    let (_, name, anchor) = FROM_KUBERNETES.iter().find(|(known, _, _)| *known == path)?;
    Some(format!("[{name}]({REFERENCE}#{anchor})"))
}

fn type_of(path: &str, field: &JSONSchemaProps) -> String {
    if let Some(link) = from_kubernetes(path) {
        return link;
    }
    if let Some(words) = &field.enum_ {
        let words: Vec<_> = words.iter().filter_map(|word| word.0.as_str()).map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    if let Some(entry) = entry(field) {
        return format!("list of {}", plural(type_of(&format!("{path}[]"), entry)));
    }
    if let Some(value) = value(field) {
        return format!("map of {}", plural(type_of(path, value)));
    }
    match (field.type_.as_deref(), field.format.as_deref()) {
        // A heading's anchor is what is left of it without punctuation.
        (Some("object"), _) => {
            let anchor: String = path.chars().filter(char::is_ascii_alphanumeric).collect();
            format!("[fields](#{})", anchor.to_lowercase())
        }
        (Some("string"), Some("date-time")) => "time".to_owned(),
        (kind, _) => kind.unwrap_or("anything").to_owned(),
    }
}

/// Of one of JSON's types; links stay as they are.
fn plural(kind: String) -> String {
    if kind.ends_with(')') { kind } else { format!("{kind}s") }
}

fn default_of(field: &JSONSchemaProps, required: bool) -> String {
    match field.default.as_ref().map(|default| &default.0) {
        _ if required => "**required**".to_owned(),
        // That of a group is told at its fields.
        None | Some(Value::Object(_)) => String::new(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
    }
}

/// What the field is for, then its rules. A default that stands in its own column isn't told twice.
fn description(path: &str, field: &JSONSchemaProps) -> String {
    let text = field.description.as_deref().unwrap_or_default().replace('\n', " ");
    let default = match field.default.as_ref().map(|default| &default.0) {
        Some(Value::String(text)) => format!(" Default: {text}."),
        Some(value) => format!(" Default: {value}."),
        None => String::new(),
    };
    let text = cell(text.strip_suffix(&default).unwrap_or(&text));
    // Nobody writes a status.
    if path.starts_with("status") {
        return text;
    }
    let mut rules = bounds(field);
    // The rules of a group stand above its own table.
    if field.properties.is_none() {
        rules.extend(broken_rules(field));
    }
    let inner = entry(field).or_else(|| value(field)).map(bounds).unwrap_or_default();
    if !inner.is_empty() {
        rules.push(format!("each {}", inner.join(", ")));
    }
    if rules.is_empty() { text } else { format!("{text}<br>_Rules:_ {}.", cell(&rules.join("; "))) }
}

/// The bounds of the schema, in words.
fn bounds(field: &JSONSchemaProps) -> Vec<String> {
    fn counted(least: Option<i64>, most: Option<i64>, what: &str) -> Option<String> {
        (least.is_some() || most.is_some()).then(|| format!("{} {what}", span(least, most)))
    }
    let words = field.pattern.as_deref().map(|expression| match pattern::words(expression) {
        Some(words) => words.to_owned(),
        None => format!("matches {expression}"),
    });
    let number = (field.minimum.is_some() || field.maximum.is_some()).then(|| span(field.minimum, field.maximum));
    let different = match field.x_kubernetes_list_type.as_deref() {
        Some("set") => Some("no entry twice".to_owned()),
        Some("map") => Some(format!(
            "no two with the same {}",
            field.x_kubernetes_list_map_keys.iter().flatten().cloned().collect::<Vec<_>>().join(" and ")
        )),
        _ => None,
    };
    [
        words,
        number,
        counted(field.min_length, field.max_length, "characters"),
        counted(field.min_items, field.max_items, "entries"),
        counted(field.min_properties, field.max_properties, "entries"),
        different,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the API server says where a CEL rule is broken.
fn broken_rules(schema: &JSONSchemaProps) -> Vec<String> {
    schema.x_kubernetes_validations.iter().flatten().filter_map(|rule| rule.message.clone()).collect()
}

fn paragraph(rules: &[String]) -> Option<String> {
    (!rules.is_empty()).then(|| format!("_Rules:_ {}.", cell(&rules.join("; "))))
}

/// Text as it has to be written in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{definitions, media_server_definition};

    fn page() -> String {
        renew_page(&format!("# Head\n{BEGIN}\nold\n{END}\ntail\n"), &media_server_definition()).unwrap()
    }

    #[test]
    fn what_a_person_wrote_stays_and_a_second_time_changes_nothing() {
        let once = page();
        assert!(once.starts_with("# Head\n<!-- fields: begin -->\n"), "{once}");
        assert!(once.ends_with("\n<!-- fields: end -->\ntail\n"), "{once}");
        assert!(!once.contains("\nold\n"), "{once}");
        assert_eq!(renew_page(&once, &media_server_definition()).unwrap(), once);
    }

    #[test]
    fn a_page_without_marks_is_refused() {
        for page in ["", BEGIN, &format!("{END}{BEGIN}")] {
            assert!(renew_page(page, &media_server_definition()).is_err(), "{page:?}");
        }
    }

    #[test]
    fn a_row_tells_type_default_purpose_and_rules() {
        let page = page();
        for row in [
            "| `type` | `Plex`, `Jellyfin`, `Emby` | **required** |",
            "| `users` | list of [fields](#specusers) |  |",
            "| `suspend` | boolean | `false` | true: nothing is read from or written to this server, its events are ignored, and the status stays as it is. |",
            "; 1 to 63 characters. |",
            "| `conditions` | list of [Condition](https://kubernetes.io/docs/",
            "\n### `spec.users[].tokenSecretRef`\n",
        ] {
            assert!(page.contains(row), "{row} is missing in\n{page}");
        }
    }

    #[test]
    fn every_rule_of_the_schemas_is_told() {
        for definition in definitions().map(|(_, definition)| definition) {
            let page = tables(&definition).join("\n");
            let mut messages = Vec::new();
            messages_in(&serde_json::to_value(&definition).unwrap(), &mut messages);
            assert!(messages.len() > 5, "{messages:?}");
            for message in messages {
                assert!(page.contains(&cell(&message)), "{message}");
            }
        }
    }

    fn messages_in(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    if name == "x-kubernetes-validations" {
                        found.extend(
                            field.as_array().unwrap().iter().map(|rule| rule["message"].as_str().unwrap().to_owned()),
                        );
                    }
                    messages_in(field, found);
                }
            }
            Value::Array(entries) => entries.iter().for_each(|entry| messages_in(entry, found)),
            _ => {}
        }
    }

    #[test]
    fn every_link_has_its_heading_and_no_field_of_kubernetes_is_listed_in_vain() {
        let pages = definitions().map(|(_, definition)| tables(&definition).join("\n"));
        for page in &pages {
            let headings: Vec<String> = page
                .lines()
                .filter_map(|line| line.strip_prefix("### "))
                .map(|heading| heading.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase())
                .collect();
            for link in page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
                assert!(headings.iter().any(|heading| heading == link), "{link}: {headings:?}");
            }
        }
        for (path, _, anchor) in FROM_KUBERNETES {
            assert!(pages.iter().any(|page| page.contains(&format!("#{anchor})"))), "{path}");
        }
    }
}
