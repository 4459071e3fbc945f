//! The description of a library's filters and sorts (`includeMeta=1`), which clients check their queries against.

use super::element::Element;
use super::items::{main_kind, type_name, type_number};
use crate::world::{Kind, Library};

/// Filters, sorts and fields of a library's kinds of items.
pub(super) fn meta(library: &Library) -> Element {
    let kinds: &[Kind] = match main_kind(library.content) {
        Some(Kind::Show) => &[Kind::Show, Kind::Season, Kind::Episode],
        Some(_) => &[Kind::Movie],
        None => &[],
    };
    let types = kinds.iter().enumerate().map(|(place, kind)| kind_type(library, *kind, place == 0));
    Element::new("Meta").single().children(types).children(field_types())
}

/// The same for collections.
pub(super) fn collections(library: &Library) -> Element {
    let collection = Element::new("Type")
        .with("key", format!("/library/sections/{}/collections?type=18", library.id))
        .with("type", "collection")
        .with("title", "Collections")
        .with("active", true)
        .child(sort("titleSort", "Title", "asc"))
        .child(Element::new("Field").with("key", "collection.title").with("title", "Title").with("type", "string"));
    Element::new("Meta").single().child(collection).children(field_types())
}

fn kind_type(library: &Library, kind: Kind, active: bool) -> Element {
    let (section, number) = (&library.id, type_number(kind));
    let filter = |name: &'static str, title: &'static str| {
        Element::new("Filter")
            .with("filter", name)
            .with("filterType", "boolean")
            .with("key", format!("/library/sections/{section}/{name}"))
            .with("title", title)
            .with("type", "filter")
    };
    let sorts: &[(&str, &str, &str)] = match kind {
        Kind::Season => &[],
        Kind::Movie | Kind::Show | Kind::Episode => &[
            ("titleSort", "Title", "asc"),
            ("year", "Year", "desc"),
            ("originallyAvailableAt", "Release Date", "desc"),
            ("addedAt", "Date Added", "desc"),
            ("lastViewedAt", "Date Viewed", "desc"),
            ("viewCount", "Plays", "desc"),
            ("viewOffset", "Progress", "desc"),
            ("duration", "Duration", "desc"),
        ],
    };
    let fields: &[(&str, &str, &str)] = match kind {
        Kind::Season => &[("title", "Title", "string")],
        Kind::Movie | Kind::Show | Kind::Episode => &[
            ("title", "Title", "string"),
            ("year", "Year", "integer"),
            ("addedAt", "Date Added", "date"),
            ("lastViewedAt", "Last Viewed", "date"),
            ("viewCount", "Plays", "integer"),
            ("unwatched", "Unplayed", "boolean"),
            ("inProgress", "In Progress", "boolean"),
        ],
    };
    // Only what belongs to shows carries the kind in its name, as a real server does it.
    let named = |name: &str| if kind == Kind::Movie { name.to_owned() } else { format!("{}.{name}", type_name(kind)) };
    let field = |(name, title, of): &(&'static str, &'static str, &'static str)| {
        Element::new("Field").with("key", named(name)).with("title", *title).with("type", *of)
    };
    Element::new("Type")
        .with("key", format!("/library/sections/{section}/all?type={number}"))
        .with("type", type_name(kind))
        .with("title", type_name(kind))
        .with("active", active)
        .children([filter("unwatched", "Unplayed"), filter("inProgress", "In Progress")])
        .children(sorts.iter().map(|(key, title, direction)| sort(key, title, direction)))
        .children(fields.iter().map(field))
}

fn sort(key: &str, title: &str, direction: &str) -> Element {
    Element::new("Sort")
        .with("default", direction)
        .with("defaultDirection", direction)
        .with("descKey", format!("{key}:desc"))
        .with("firstCharacterKey", "/library/sections/1/firstCharacter")
        .with("key", key)
        .with("title", title)
}

/// The operators of each type of field.
fn field_types() -> Vec<Element> {
    let text = [("=", "contains"), ("!=", "does not contain"), ("==", "is"), ("!==", "is not"), ("<=", "begins with")];
    let types: [(&str, &[(&str, &str)]); 5] = [
        ("string", &text),
        ("integer", &[("=", "is"), ("!=", "is not"), (">>=", "is greater than"), ("<<=", "is less than")]),
        ("boolean", &[("=", "is true"), ("!=", "is false")]),
        ("date", &[("<<=", "is before"), (">>=", "is after")]),
        ("tag", &[("=", "is"), ("!=", "is not")]),
    ];
    let operator = |(key, title): &(&str, &str)| Element::new("Operator").with("key", *key).with("title", *title);
    types
        .iter()
        .map(|(name, operators)| Element::new("FieldType").with("type", *name).children(operators.iter().map(operator)))
        .collect()
}
