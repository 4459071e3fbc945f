//! `servers token`: the address that a media server must send its webhooks to. The token in it is shown here and nowhere else.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use url::{Host, Url};
use watchstate_domain::item::ServerKind;
use watchstate_runtime::Exit;
use watchstate_store::registry;

use crate::Misconfigured;
use crate::app::App;
use crate::args::TokenArgs;
use crate::command::servers::named;
use crate::output::{self, Sheet};
use crate::secrets;

/// What is to be pasted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    server: String,
    url: String,
    /// A token was made just now.
    new: bool,
}

/// Shows the address, and makes a token where there is none, or where another one is wanted.
pub async fn run(app: &App, args: &TokenArgs) -> Result<Exit> {
    let mut connection = app.store.acquire().await?;
    let servers = registry::servers(&mut connection).await?;
    let server = named(&servers, &args.name)?;
    let kept = secrets::webhook_token(&app.tokens, &server.name)?;
    let known = registry::webhook_tokens(&mut connection).await?.remove(&server.name);
    let fits = |token: &SecretString| known.as_deref() == Some(hash(token).as_slice());
    let (token, new) = match kept.filter(fits) {
        Some(token) if !args.rotate => (token, false),
        None if known.is_some() && !args.rotate => {
            return Err(Misconfigured(format!(
                "server {0}: it has a token, which isn't kept here; it is where webhook.tokenSecretRef leads. For a new one: servers token {0} --rotate",
                server.name
            ))
            .into());
        }
        _ => {
            let token = random()?;
            // The file first: a token that is registered and nowhere to be read would help nobody.
            secrets::keep_webhook_token(&app.tokens, &server.name, &token)?;
            registry::set_webhook_token(&mut connection, &server.name, &hash(&token)).await?;
            (token, true)
        }
    };
    let address = Address { server: server.name.clone(), url: address(&args.url, &token), new };
    output::print(app.format, &address, |address| {
        let elsewhere = is_this_machine(&args.url).then(|| Sheet::default().remark(ELSEWHERE));
        [sheet(address, server.kind)].into_iter().chain(elsewhere).collect()
    })?;
    Ok(Exit::Done)
}

/// A container is another machine, too.
const ELSEWHERE: &str = "It leads to the machine that uses it. Does the media server run on another one, or in a container? Then name this machine: --url http://ADDRESS:8080";

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn hash(token: &SecretString) -> Vec<u8> {
    Sha256::digest(token.expose_secret().as_bytes()).to_vec()
}

/// 256 bits, as text.
fn random() -> Result<SecretString> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    let mut text = String::with_capacity(64);
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    Ok(text.into())
}

fn address(base: &Url, token: &SecretString) -> String {
    let mut url = base.clone();
    url.query_pairs_mut().append_pair("apikey", token.expose_secret());
    url.to_string()
}

fn sheet(address: &Address, kind: ServerKind) -> Sheet {
    let whereto = match kind {
        ServerKind::Plex => {
            "Plex: Settings → Webhooks → Add Webhook (needs Plex Pass; without it, Tautulli's webhook agent)"
        }
        ServerKind::Jellyfin => {
            "Jellyfin: Dashboard → Plugins → Webhook → Add Generic Destination; tick User Data Saved, Playback Stop, Item Added and Send All Properties"
        }
        ServerKind::Emby => "Emby: Settings → Notifications → Add Notification → Webhooks (needs Emby Premiere)",
    };
    let made = if address.new { "A new token was made; an older one is refused from now on.\n" } else { "" };
    Sheet::default().heading(address.url.clone()).remark(format!("{made}Paste it into {whereto}. See docs/webhooks.md"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_bears_the_token_wherever_the_receiver_lives() {
        let token = SecretString::from("a b&c");
        let cases = [
            ("http://localhost:8080", "http://localhost:8080/?apikey=a+b%26c"),
            ("https://home.example/watchstate/webhook", "https://home.example/watchstate/webhook?apikey=a+b%26c"),
        ];
        for (base, expected) in cases {
            assert_eq!(address(&base.parse().unwrap(), &token), expected);
        }
    }

    #[test]
    fn an_address_that_only_this_machine_understands_is_known() {
        let cases = [
            ("http://localhost:8080", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://192.168.1.5:8080", false),
            ("https://home.example/webhook", false),
        ];
        for (url, expected) in cases {
            assert_eq!(is_this_machine(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn tokens_are_256_bits_and_never_the_same() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_eq!(one.expose_secret().len(), 64);
        assert_ne!(one.expose_secret(), other.expose_secret());
    }
}
