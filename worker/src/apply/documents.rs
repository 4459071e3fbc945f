//! Texts to documents: read, checked by the rules of the resources, each object once, and all of one namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use watchstate_crds::{Document, MediaServer, Secret, SyncSchedule, document};

/// A file's text.
#[derive(Clone)]
pub struct Source {
    /// What messages call it.
    pub name: String,
    /// YAML. Holds secrets.
    pub text: String,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A resource with where it stands.
#[derive(Debug, Clone)]
pub struct Named<T> {
    /// The file.
    pub source: String,
    /// `MediaServer` or `SyncSchedule`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The resource.
    pub resource: T,
}

impl<T> Named<T> {
    /// A sentence about it, as a person reads it in a list of problems.
    pub fn problem(&self, sentence: impl fmt::Display) -> String {
        format!("{}: {} {}: {sentence}", self.source, self.kind, self.name)
    }
}

/// What the files hold.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// The media servers, in their order.
    pub servers: Vec<Named<MediaServer>>,
    /// The schedules, in their order.
    pub schedules: Vec<Named<SyncSchedule>>,
    /// The Secrets of the namespace, by name.
    pub secrets: BTreeMap<String, Secret>,
}

/// Reads all texts.
///
/// # Errors
/// All problems, each with its file; none quotes a value of a Secret.
pub fn read(sources: &[Source]) -> Result<Documents, Vec<String>> {
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for source in sources {
        match document::parse(&source.text) {
            Ok(documents) => found.extend(documents.into_iter().map(|document| (source.name.as_str(), document))),
            Err(error) => problems.push(format!("{}: {error}", source.name)),
        }
    }
    for (source, document) in &found {
        let mut wrong = document.validate();
        // What has a wrong form already needs no second reason.
        if let (Document::SyncSchedule(schedule), true) = (document, wrong.is_empty()) {
            wrong = schedule.validate_timetable();
        }
        for problem in wrong {
            problems.push(format!("{source}: {} {}: {problem}", document.kind(), document.name()));
        }
    }
    let namespace = match namespace(&found) {
        Ok(namespace) => namespace.map(str::to_owned),
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    let mut seen = BTreeMap::new();
    let mut documents = Documents::default();
    for (source, document) in found {
        let elsewhere = |own: &str| namespace.as_deref().is_some_and(|ours| own != ours);
        if matches!(document, Document::Secret(_)) && document.namespace().is_some_and(elsewhere) {
            continue;
        }
        let (kind, name) = (document.kind(), document.name().to_owned());
        if let Some(first) = seen.insert((kind, name.clone()), source) {
            problems
                .push(format!("{source}: {kind} {name}: stands in {first} already; every name may be given once only"));
            continue;
        }
        let source = source.to_owned();
        match document {
            Document::MediaServer(resource) => {
                documents.servers.push(Named { source, kind, name, resource: *resource });
            }
            Document::SyncSchedule(resource) => {
                documents.schedules.push(Named { source, kind, name, resource: *resource });
            }
            Document::Secret(secret) => {
                documents.secrets.insert(name, secret);
            }
        }
    }
    if problems.is_empty() && documents.servers.is_empty() && documents.schedules.is_empty() {
        let secrets: Vec<&str> = documents.secrets.keys().map(String::as_str).collect();
        let alone = match &secrets[..] {
            [] => String::new(),
            names => format!(
                ": a Secret ({}) is taken for the MediaServer that names it, so give its MediaServer too (-f can stand several times)",
                names.join(", ")
            ),
        };
        problems.push(format!("there is no MediaServer and no SyncSchedule in the files{alone}"));
    }
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

/// The namespace of the resources, where they name one. One namespace is one household: names are unique there, and Secrets are found there.
fn namespace<'a>(found: &'a [(&str, Document)]) -> Result<Option<&'a str>, String> {
    let resources = found.iter().filter(|(_, document)| !matches!(document, Document::Secret(_)));
    let named: BTreeSet<&str> = resources.filter_map(|(_, document)| document.namespace()).collect();
    if named.len() > 1 {
        let named: Vec<&str> = named.into_iter().collect();
        return Err(format!(
            "the files name several namespaces ({}), and a namespace is a household with a database of its own: apply one at a time",
            named.join(", ")
        ));
    }
    Ok(named.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLEX: &str = "
apiVersion: watchstate.dev/v1alpha1
kind: MediaServer
metadata: {name: plex}
spec: {type: Plex, url: 'http://plex:32400', tokenSecretRef: {name: plex}}
";
    const SECRET: &str = "
apiVersion: v1
kind: Secret
metadata: {name: plex}
stringData: {token: hush-hush}
";

    fn source(name: &str, text: impl Into<String>) -> Source {
        Source { name: name.to_owned(), text: text.into() }
    }

    #[test]
    fn documents_of_several_files_are_taken_together() {
        let documents = read(&[source("a.yaml", PLEX), source("b.yaml", SECRET)]).unwrap();
        assert_eq!(documents.servers[0].name, "plex");
        assert_eq!(documents.servers[0].source, "a.yaml");
        assert!(documents.secrets.contains_key("plex"));
    }

    #[test]
    fn all_problems_of_all_files_are_told_at_once_and_none_quotes_a_secret() {
        let unknown =
            "kind: MediaServer\napiVersion: watchstate.dev/v1alpha1\nmetadata: {name: x}\nspec: {tokn: hush-hush}";
        let login = PLEX.replace("tokenSecretRef", "loginSecretRef").replace("http:", "ftp:");
        let sources = [
            source("a.yaml", unknown),
            source("b.yaml", login),
            source("c.yaml", "{"),
            source("d.yaml", PLEX),
            source("e.yaml", SECRET),
        ];
        let problems = read(&sources).unwrap_err();
        let told = problems.join("\n");
        for part in [
            "a.yaml: document 1, MediaServer x: spec.tokn",
            "b.yaml: MediaServer plex: spec.loginSecretRef: ",
            "b.yaml: MediaServer plex: spec.url: ",
            "c.yaml: line ",
            "d.yaml: MediaServer plex: stands in b.yaml already",
        ] {
            assert!(told.contains(part), "{part}\nis missing in\n{told}");
        }
        assert!(!told.contains("hush-hush") && !format!("{sources:?}").contains("hush-hush"), "{told}");
    }

    #[test]
    fn resources_of_two_namespaces_are_refused_and_secrets_of_another_are_none_of_theirs() {
        let of = |text: &str, namespace: &str| {
            text.replace("{name: plex}\nsp", &format!("{{name: plex, namespace: {namespace}}}\nsp"))
        };
        let secret_of =
            |namespace: &str| SECRET.replace("{name: plex}", &format!("{{name: plex, namespace: {namespace}}}"));
        let other = of(PLEX, "two").replace("name: plex,", "name: other,");
        let problems = read(&[source("a", of(PLEX, "one")), source("b", other)]).unwrap_err();
        assert!(problems[0].contains("(one, two)"), "{problems:?}");
        for (namespace, found) in [("one", true), ("two", false)] {
            let documents = read(&[source("a", of(PLEX, "one")), source("b", secret_of(namespace))]).unwrap();
            assert_eq!(documents.secrets.contains_key("plex"), found, "{namespace}");
        }
        let unnamed = read(&[source("a", PLEX), source("b", secret_of("two"))]).unwrap();
        assert!(unnamed.secrets.contains_key("plex"));
    }

    #[test]
    fn files_without_resources_are_refused() {
        let problems = read(&[source("a", "")]).unwrap_err();
        assert_eq!(problems, ["there is no MediaServer and no SyncSchedule in the files"]);
        let problems = read(&[source("a", SECRET)]).unwrap_err();
        assert!(
            problems[0].contains("Secret (plex)") && problems[0].contains("give its MediaServer too"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_schedule_that_no_clock_can_follow_is_refused() {
        let schedule = "
apiVersion: watchstate.dev/v1alpha1
kind: SyncSchedule
metadata: {name: home}
spec: {timeZone: Europe/Berln, import: {schedule: '99 * * * *'}}
";
        let problems = read(&[source("a.yaml", schedule)]).unwrap_err();
        assert!(
            problems[0].starts_with("a.yaml: SyncSchedule home: spec.import.schedule: \"99 * * * *\""),
            "{problems:?}"
        );
        assert!(problems[1].contains("spec.timeZone") && problems[1].contains("Europe/Berln"), "{problems:?}");
    }
}
