//! All that the operator may do in its namespace, and why. The Role of the chart and of the kustomize base equals this table; a test compares them.

/// A rule of a Role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The resources.
    pub resources: &'static [&'static str],
    /// Only those of this name.
    pub name: Option<&'static str>,
    /// What may be done with them.
    pub verbs: &'static [&'static str],
    /// What for.
    pub why: &'static str,
}

/// The table, in the order in which things happen.
pub const RIGHTS: [Right; 12] = [
    Right {
        group: "coordination.k8s.io",
        resources: &["leases"],
        name: None,
        verbs: &["create"],
        why: "one of several operators leads; a name can't be asked for when something is created",
    },
    Right {
        group: "coordination.k8s.io",
        resources: &["leases"],
        name: Some(crate::lease::NAME),
        verbs: &["get", "update"],
        why: "it is always the same lease, written with the version that was read",
    },
    Right {
        group: "watchstate.dev",
        resources: &["mediaservers", "syncschedules"],
        name: None,
        verbs: &["get", "list", "watch", "patch"],
        why: "reads what users want, sets and takes off finalizers",
    },
    Right {
        group: "watchstate.dev",
        resources: &["mediaservers/status", "syncschedules/status"],
        name: None,
        verbs: &["patch"],
        why: "tells how they are",
    },
    Right {
        group: "watchstate.dev",
        resources: &["mediaservers/finalizers", "syncschedules/finalizers"],
        name: None,
        verbs: &["update"],
        why: "children that name an owner block its deletion, where the API server checks who may do that",
    },
    Right {
        group: "",
        resources: &["secrets"],
        name: None,
        verbs: &["get", "list", "watch", "create", "patch"],
        why: "tokens of media servers are read; tokens of webhooks and of logins are made",
    },
    Right {
        group: "batch",
        resources: &["cronjobs"],
        name: None,
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "the schedules of a SyncSchedule",
    },
    Right {
        group: "batch",
        resources: &["jobs"],
        name: None,
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "runs that are asked for by annotation, and how runs ended",
    },
    Right {
        group: "apps",
        resources: &["deployments"],
        name: None,
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        why: "what follows changes in real time",
    },
    Right {
        group: "",
        resources: &["pods"],
        name: None,
        verbs: &["get", "list", "watch"],
        why: "why a run failed is in the termination message of its pod",
    },
    Right {
        group: "events.k8s.io",
        resources: &["events"],
        name: None,
        verbs: &["create", "patch"],
        why: "what happened, for kubectl describe",
    },
    Right {
        group: "",
        resources: &["namespaces"],
        name: None,
        verbs: &["get"],
        why: "its own one: when that is deleted, nothing may be held back by a finalizer (a Role gives no other namespace)",
    },
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    /// The rules of the Role in a file, whatever templates stand around them.
    fn role(file: &str) -> Vec<Value> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let role = text.split("\nkind: Role\n").nth(1).unwrap();
        let rules = role.split("\nrules:\n").nth(1).unwrap().split("\n---").next().unwrap();
        serde_saphyr::from_str(rules).unwrap()
    }

    #[test]
    fn the_charts_role_gives_these_rights_and_no_others() {
        let mut table: Vec<Value> = RIGHTS
            .iter()
            .map(|right| {
                let mut rule =
                    json!({ "apiGroups": [right.group], "resources": right.resources, "verbs": right.verbs });
                if let Some(name) = right.name {
                    rule["resourceNames"] = json!([name]);
                }
                rule
            })
            .collect();
        table.sort_by_key(Value::to_string);
        for file in ["watchstate/templates/operator/rbac.yaml", "base/watchstate.yaml"] {
            let mut rules = role(file);
            rules.sort_by_key(Value::to_string);
            assert_eq!(rules, table, "{file}");
        }
    }

    #[test]
    fn nothing_is_given_by_a_wildcard_and_each_right_has_a_reason() {
        for right in RIGHTS {
            let words = right.resources.iter().chain(right.verbs).chain([&right.group]);
            assert!(words.into_iter().all(|word| !word.contains('*')), "{right:?}");
            assert!(!right.why.is_empty());
        }
    }
}
