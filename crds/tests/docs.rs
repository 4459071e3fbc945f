//! What the pages for people show is accepted: every MediaServer, SyncSchedule and Secret in them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use watchstate_crds::document::{Document, parse};

fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = Vec::new();
    for folder in [".", "docs", "docs/resources", "charts/watchstate"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                pages.push((path, text));
            }
        }
    }
    pages
}

/// The blocks of YAML in a page, without the indentation that a list gives them.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(indent) = line.strip_suffix("```yaml").filter(|indent| indent.trim().is_empty()) else { continue };
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        let block: Vec<_> = block.map(|line| line.strip_prefix(indent).unwrap_or(line)).collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

/// Blocks that hold documents of ours, whole. Others are parts of one, values of the chart, or other programs' own.
fn is_ours(block: &str) -> bool {
    block.lines().any(|line| line == "apiVersion: watchstate.dev/v1alpha1")
}

#[test]
fn every_document_that_a_page_shows_is_accepted() {
    let mut shown = 0;
    for (path, page) in pages() {
        for block in blocks(&page).into_iter().filter(|block| is_ours(block)) {
            let documents = parse(&block).unwrap_or_else(|error| panic!("{}: {error}\n{block}", path.display()));
            for document in &documents {
                assert_eq!(document.validate(), [], "{}: {}", path.display(), document.name());
            }
            shown += documents.len();
        }
    }
    assert!(shown > 15, "only {shown} documents were found");
}

#[test]
fn the_page_of_a_resource_begins_with_an_example_of_every_field_at_the_top() {
    for (file, kind) in [("mediaserver.md", "MediaServer"), ("syncschedule.md", "SyncSchedule")] {
        let (_, page) = pages().into_iter().find(|(path, _)| path.ends_with(file)).unwrap();
        let example = blocks(&page).into_iter().find(|block| is_ours(block)).unwrap();
        let documents = parse(&example).unwrap();
        assert!(documents.iter().any(|document: &Document| document.kind() == kind), "{file}");
        let definition =
            watchstate_crds::definitions().into_iter().find(|(_, one)| one.spec.names.kind == kind).unwrap().1;
        let schema = serde_json::to_value(&definition).unwrap();
        let spec = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        for field in spec.as_object().unwrap().keys() {
            let told =
                example.lines().any(|line| line.trim_start_matches([' ', '#']).starts_with(&format!("{field}:")));
            assert!(told, "{file}: {field} is in no example");
        }
    }
}

/// What a page's headings are called in links to them.
fn anchors(page: &str) -> Vec<String> {
    let headings = prose(page).filter_map(|line| line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' '));
    let letter = |letter: char| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || letter == '-' || letter == '_' => Some(letter),
        _ => None,
    };
    headings.map(|heading| heading.to_lowercase().chars().filter_map(letter).collect()).collect()
}

/// The lines of a page outside of its blocks of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    page.lines().filter(move |line| {
        // A block may be the first thing in an entry of a list: "3. ```sh".
        let fence = line
            .trim_start_matches([' ', '.', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
            .starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut followed = 0;
    for (path, page) in pages() {
        for link in prose(&page).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                assert!(anchors(&text).iter().any(|one| one == anchor), "{}: {link}", path.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 50, "only {followed} links were found");
}

/// Conditions and their reasons are constants, one a line.
const CONDITIONS: &str = include_str!("../src/condition.rs");

#[test]
fn every_condition_and_every_reason_is_explained() {
    let (types, reasons) = CONDITIONS.split_once("pub mod reason").unwrap();
    let (reasons, _) = reasons.split_once("\n}\n").unwrap();
    let words = |text: &str| -> Vec<String> {
        let constants = text.lines().filter_map(|line| line.trim().strip_prefix("pub const ")?.split('"').nth(1));
        constants.map(|word| format!("`{word}`")).collect()
    };
    let page = |name: &str| pages().into_iter().find(|(path, _)| path.ends_with(name)).unwrap().1;

    let resources = format!("{}{}", page("mediaserver.md"), page("syncschedule.md"));
    let (types, reasons) = (words(types), words(reasons));
    assert!(types.len() >= 10 && reasons.len() >= 25, "{types:?} {reasons:?}");
    for word in types {
        assert!(resources.contains(&format!("\n| {word} |")), "the condition {word} is in no page of a resource");
    }
    let troubleshooting = page("troubleshooting.md");
    for word in reasons {
        assert!(troubleshooting.contains(&format!("\n| {word} |")), "docs/troubleshooting.md doesn't explain {word}");
    }
}

/// The operator declares its events one a line: `Name: Warning, "Action";`.
#[test]
fn every_event_of_the_operator_is_explained() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../operator/src/events.rs");
    let Ok(source) = std::fs::read_to_string(source) else { return };
    let declared = |line: &str| {
        let (name, rest) = line.trim().split_once(": ")?;
        (rest.starts_with("Normal, \"") || rest.starts_with("Warning, \"")).then(|| format!("`{name}`"))
    };
    let events: Vec<String> = source.lines().filter_map(declared).collect();
    assert!(!events.is_empty(), "the operator declares no event that is found here");
    let (_, page) = pages().into_iter().find(|(path, _)| path.ends_with("troubleshooting.md")).unwrap();
    let (_, table) = page.split_once("## Events").unwrap();
    for event in events {
        assert!(table.contains(&event), "docs/troubleshooting.md doesn't explain the event {event}");
    }
}
