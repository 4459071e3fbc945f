//! The command line. Every option can also come from the environment.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use ipnet::IpNet;
use jiff::SignedDuration;
use watchstate_runtime::admin::AdminArgs;
use watchstate_runtime::logs::LogArgs;

/// Receives the webhooks of Plex, Jellyfin, Emby and Tautulli, so that what is watched on one server reaches the others at once.
#[derive(Debug, Clone, Parser)]
#[command(name = "watchstate-webhook", version, about, after_help = FIRST_STEPS)]
pub struct Cli {
    /// Where events are received
    #[arg(long, env = "WATCHSTATE_WEBHOOK_ADDRESS", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub address: SocketAddr,
    /// The database: `postgres://user:password@host:port/name`. None: the worker's own Postgres in the data folder
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database: Option<String>,
    /// The data folder: the spool, and the embedded Postgres [default: the user's data folder]
    #[arg(long, env = "WATCHSTATE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where events are kept while the database is away [default: spool in the data folder]
    #[arg(long, env = "WATCHSTATE_SPOOL", value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// The spool takes so many MiB; then requests are refused until the database is back
    #[arg(long, env = "WATCHSTATE_SPOOL_MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..), value_name = "MIB")]
    pub spool_mib: u64,
    /// Proxies whose `X-Forwarded-For` is believed: networks and addresses, such as 10.0.0.0/8,192.168.1.2
    #[arg(long, env = "WATCHSTATE_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network, value_name = "NETWORK,…")]
    pub trusted_proxies: Vec<IpNet>,
    /// Connections at the same time
    #[arg(long, env = "WATCHSTATE_MAX_CONNECTIONS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub max_connections: u32,
    /// The largest body in KiB; Plex sends a picture with some events
    #[arg(long, env = "WATCHSTATE_MAX_BODY_KIB", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..), value_name = "KIB")]
    pub max_body_kib: u32,
    /// Wrong tokens a minute that one address may send
    #[arg(long, env = "WATCHSTATE_WRONG_TOKENS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub wrong_tokens: u32,
    /// For finding out why events don't do what they should: for so long from now, keep raw requests without their secrets, each for that long (`2h`);
    /// see `watchstate-worker inbox requests`
    #[arg(long, env = "WATCHSTATE_KEEP_REQUESTS", value_parser = duration, value_name = "DURATION")]
    pub keep_requests: Option<Duration>,
    /// The admin port.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// What is logged.
    #[command(flatten)]
    pub logs: LogArgs,
}

const FIRST_STEPS: &str = "Put its address into your media servers: watchstate-worker servers token NAME shows it.
Events are answered with 202 once they are safe; 401: the token is wrong; 503: neither database nor spool can take them.";

/// `10.0.0.0/8`, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let one = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| one()).map_err(|_| "a network such as 10.0.0.0/8, or an address, is expected".to_owned())
}

/// `2h`, `90m`, `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "a duration such as 2h or 90m is expected".to_owned();
    let duration: SignedDuration = text.parse().map_err(|_| expected())?;
    Duration::try_from(duration).ok().filter(|duration| !duration.is_zero()).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_has_defaults() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["watchstate-webhook"]);
        assert_eq!((cli.address.port(), cli.max_body_kib, cli.keep_requests), (8080, 8192, None));
    }

    #[test]
    fn durations_and_networks_are_read_as_people_write_them() {
        let cli = Cli::parse_from([
            "watchstate-webhook",
            "--keep-requests",
            "1h30m",
            "--trusted-proxies",
            "10.0.0.0/8,fd00::/8,192.0.2.7",
        ]);
        assert_eq!(cli.keep_requests, Some(Duration::from_mins(90)));
        let networks: Vec<String> = cli.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "fd00::/8", "192.0.2.7/32"]);
        assert!(network("proxy").is_err());
        for wrong in ["", "0s", "-1h", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
