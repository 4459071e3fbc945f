//! The command line. Everything can come from the environment, which is how the chart sets it.

use clap::Parser;
use k8s_openapi::api::core::v1::EnvVar;
use url::Url;
use watchstate_crds::sync_schedule::ImagePullPolicy;
use watchstate_runtime::admin::AdminArgs;
use watchstate_runtime::logs::LogArgs;
use watchstate_servers::PLEX_TV;

/// Makes what MediaServers and SyncSchedules of one namespace ask for: checks servers, fills the registry, runs CronJobs.
#[derive(Debug, Clone, Parser)]
#[command(name = "watchstate-operator", version, about, after_help = FIRST_STEPS)]
pub struct Args {
    /// The database: `postgres://user:password@host:port/name`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database: String,
    /// The namespace that is watched: the installation [default: the one of the pod, or of the kubeconfig's context]
    #[arg(long, env = "WATCHSTATE_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// The name by which this replica stands for election [default: the host's name]
    #[arg(long, env = "WATCHSTATE_POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,
    /// What worker pods are made of.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Where media servers reach the webhook, without /webhook at its end; none: webhooks are not registered at servers
    #[arg(long, env = "WATCHSTATE_WEBHOOK_URL", value_name = "URL")]
    pub webhook_url: Option<Url>,
    /// Where plex.tv is; for tests
    #[arg(long, env = "WATCHSTATE_PLEX_TV_URL", hide = true, default_value = PLEX_TV, value_name = "URL")]
    pub plex_tv: Url,
    /// Take our webhooks away from all servers, hold no MediaServer back any more, and end: before the operator is removed
    #[arg(long)]
    pub farewell: bool,
    /// The admin port.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// What is logged.
    #[command(flatten)]
    pub logs: LogArgs,
}

/// What worker pods are made of.
#[derive(Debug, Clone, PartialEq, clap::Args)]
#[command(next_help_heading = "Worker pods")]
pub struct WorkerArgs {
    /// Their image, unless the SyncSchedule names another
    #[arg(long = "worker-image", env = "WATCHSTATE_WORKER_IMAGE", value_name = "IMAGE")]
    pub image: String,
    /// When it is pulled: Always, IfNotPresent or Never [default: as Kubernetes does it]
    #[arg(long = "worker-image-pull-policy", env = "WATCHSTATE_WORKER_IMAGE_PULL_POLICY", value_parser = pull_policy, value_name = "POLICY")]
    pub pull_policy: Option<ImagePullPolicy>,
    /// Their service account, which needs no rights
    #[arg(
        long = "worker-service-account",
        env = "WATCHSTATE_WORKER_SERVICE_ACCOUNT",
        default_value = "default",
        value_name = "NAME"
    )]
    pub service_account: String,
    /// Variables of theirs, unless the SyncSchedule gives them another value: a JSON list as in a container's env
    #[arg(long = "worker-env", env = "WATCHSTATE_WORKER_ENV", default_value = "[]", value_parser = variables, value_name = "JSON")]
    pub env: Variables,
    /// The Secret that holds the database's address
    #[arg(long, env = "WATCHSTATE_DATABASE_SECRET", value_name = "NAME")]
    pub database_secret: String,
    /// The key in that Secret
    #[arg(long, env = "WATCHSTATE_DATABASE_SECRET_KEY", default_value = "uri", value_name = "KEY")]
    pub database_secret_key: String,
}

/// Variables of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Variables(pub Vec<EnvVar>);

const FIRST_STEPS: &str = "Runs in a cluster; the chart or the kustomize base sets it up. Outside of one it uses your kubeconfig, with all your rights:
  watchstate-operator --database postgres://... --worker-image ghcr.io/watchstate/watchstate:0.1.0 --database-secret pg-app

Of several replicas one works: it holds the lease watchstate-operator. See what it makes of your resources:
  kubectl get ms,sync
  kubectl describe ms NAME       conditions, and events with their reasons

Exit codes: 0 told to end; 1 something failed, start it again; 2 the configuration is wrong.";

fn variables(text: &str) -> Result<Variables, String> {
    let expected = r#"expected is a list such as [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]"#;
    serde_json::from_str(text).map(Variables).map_err(|error| format!("{error}; {expected}"))
}

fn pull_policy(text: &str) -> Result<ImagePullPolicy, String> {
    [ImagePullPolicy::Always, ImagePullPolicy::IfNotPresent, ImagePullPolicy::Never]
        .into_iter()
        .find(|policy| policy.as_str() == text)
        .ok_or_else(|| "Always, IfNotPresent or Never is expected".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const NEEDED: [&str; 7] = [
        "watchstate-operator",
        "--database",
        "postgres://x",
        "--worker-image",
        "watchstate:1",
        "--database-secret",
        "pg-app",
    ];

    #[test]
    fn the_command_line_is_sound_and_has_defaults() {
        Args::command().debug_assert();
        let args = Args::parse_from(NEEDED);
        assert_eq!(args.worker.database_secret_key, "uri");
        assert_eq!((args.worker.service_account.as_str(), args.worker.pull_policy), ("default", None));
        assert_eq!(args.plex_tv.as_str(), "https://plex.tv/");
        assert_eq!(args.worker.env, Variables::default());
        let args = Args::parse_from(NEEDED.into_iter().chain(["--worker-image-pull-policy", "Never"]));
        assert_eq!(args.worker.pull_policy, Some(ImagePullPolicy::Never));
    }

    #[test]
    fn variables_of_workers_are_given_as_in_a_container_and_a_wrong_one_is_explained() {
        let given =
            r#"[{"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"secretKeyRef": {"name": "d", "key": "e"}}}]"#;
        let args = Args::parse_from(NEEDED.into_iter().chain(["--worker-env", given]));
        let names: Vec<&str> = args.worker.env.0.iter().map(|variable| variable.name.as_str()).collect();
        assert_eq!(names, ["A", "C"]);
        let wrong = Args::try_parse_from(NEEDED.into_iter().chain(["--worker-env", "A=b"])).unwrap_err().to_string();
        assert!(wrong.contains("--worker-env") && wrong.contains("HTTPS_PROXY"), "{wrong}");
    }
}
