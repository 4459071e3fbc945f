//! The command line. Everything can come from the environment, which is how the chart sets it.

use clap::Parser;
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
    /// The admin port.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// What is logged.
    #[command(flatten)]
    pub logs: LogArgs,
}

/// What worker pods are made of.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
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
    /// The Secret that holds the database's address
    #[arg(long, env = "WATCHSTATE_DATABASE_SECRET", value_name = "NAME")]
    pub database_secret: String,
    /// The key in that Secret
    #[arg(long, env = "WATCHSTATE_DATABASE_SECRET_KEY", default_value = "uri", value_name = "KEY")]
    pub database_secret_key: String,
}

const FIRST_STEPS: &str = "Runs in a cluster; the chart or the kustomize base sets it up. Outside of one it uses your kubeconfig, with all your rights:
  watchstate-operator --database postgres://... --worker-image ghcr.io/watchstate/watchstate:0.1.0 --database-secret pg-app

Of several replicas one works: it holds the lease watchstate-operator. See what it makes of your resources:
  kubectl get ms,sync
  kubectl describe ms NAME       conditions, and events with their reasons

Exit codes: 0 told to end; 1 something failed, start it again; 2 the configuration is wrong.";

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
        let args = Args::parse_from(NEEDED.into_iter().chain(["--worker-image-pull-policy", "Never"]));
        assert_eq!(args.worker.pull_policy, Some(ImagePullPolicy::Never));
    }
}
