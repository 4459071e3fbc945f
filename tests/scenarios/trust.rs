//! Servers that can't be trusted, reached or spoken to: each is told with what to do, nothing is read from or written to it, and the others go on.

use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::Timestamp;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use watchstate_tests::household::Household;
use watchstate_tests::http::{Answer, Call, Group, Http, Operation, Seen};
use watchstate_tests::server::{Listening, Service};
use watchstate_tests::world::{Flavor, World};

use crate::builders::*;
use crate::ledger::Ledger;

/// A household with a server that is odd and one that isn't, each of which has seen another film.
async fn pair(flavor: Flavor) -> Result<(Household, [World; 2])> {
    let (household, worlds) = household([("odd", flavor), ("well", Flavor::Jellyfin12)], titles).await?;
    watched(&worlds[0], "Heat", "2024-02-01T20:00:00Z");
    watched(&worlds[1], "Alien", "2024-02-01T20:00:00Z");
    Ok((household, worlds))
}

/// Syncs: the odd one is refused with this exit code and these words, and nobody has read or written there; the other goes on.
async fn refused(household: &Household, [odd, well]: &[World; 2], code: i32, words: &[&str]) -> Result<()> {
    for arguments in [&["sync", "-o", "json"][..], &["import", "-o", "json"], &["servers", "check", "-o", "json"]] {
        odd.log().clear();
        let ran = household.worker(arguments).await?.expect(code)?;
        let told = ran.json()?;
        for word in words {
            assert!(told.to_string().contains(word), "{arguments:?} tell {word:?}: {told:#}");
        }
        for group in [Group::ReadPage, Group::Count, Group::ById, Group::Write] {
            assert_eq!(odd.log().group(group), 0, "{arguments:?}: {:#?}", odd.log().all());
        }
        if arguments[0] != "servers" {
            for report in told["servers"].as_array().context("servers")? {
                let expected = match code {
                    _ if report["server"] == "well" => "done",
                    1 => "try_again",
                    _ => "configuration",
                };
                assert_eq!(report["outcome"], expected, "{told:#}");
            }
        }
    }
    assert!(odd.writes().is_empty() && well.writes().is_empty());
    let ledger = Ledger::open(household).await?;
    assert_eq!(ledger.viewings().await?.len(), 1, "the other was read");
    Ok(())
}

/// The odd one is as it should be again.
async fn agree(household: &Household, [odd, well]: &[World; 2]) -> Result<()> {
    household.sync(&[]).await?;
    for world in [odd, well] {
        assert!(has(world, "Heat").played && has(world, "Alien").played, "{world:?}");
    }
    Ok(())
}

on_every_kind! {
    async fn an_address_that_leads_to_another_server_than_before_is_refused(flavor: Flavor) -> Result<()> {
        let (household, worlds) = pair(flavor).await?;
        let [odd, well] = &worlds;
        agree(&household, &worlds).await?;
        forget_writes(&[odd, well]);
        let before = odd.read(|model| model.server_id.clone());
        odd.change_identity("0123456789abcdef0123456789abcdef");
        watched(odd, "Brazil", "2024-07-01T20:00:00Z");
        odd.mark_unplayed(ANNA, &movie(odd, "Heat"))?;
        put(well, "Heat", watchstate_tests::world::UserState { plays: 2, ..played("2024-08-01T20:00:00Z") });
        for arguments in [&["sync", "-o", "json"][..], &["import", "--full", "-o", "json"], &["servers", "check", "-o", "json"]] {
            odd.log().clear();
            let told = household.worker(arguments).await?.expect(2)?.json()?;
            let text = told.to_string();
            assert!(text.contains("leads to another server") && text.contains(&before) && text.contains("0123456789abcdef"), "{text}");
            for group in [Group::Libraries, Group::ReadPage, Group::Count, Group::ById, Group::Write] {
                assert_eq!(odd.log().group(group), 0, "{arguments:?}: {:#?}", odd.log().all());
            }
            // What anybody is told, and nothing that takes a token.
            let public = |seen: &Seen| seen.user.is_none() && ["GET /identity", "GET /System/Info/Public"].contains(&seen.operation);
            assert!(odd.log().all().iter().all(public), "{arguments:?}: {:#?}", odd.log().all());
        }
        // What waits for it is written to nobody else.
        put(well, "Brazil", played("2024-07-02T20:00:00Z"));
        household.worker(&["sync", "--full"]).await?.expect(2)?;
        odd.log().clear();
        household.worker(&["export"]).await?.expect(2)?;
        assert_eq!((odd.log().group(Group::Write), odd.writes().len(), well.writes().len()), (0, 0, 0));
        assert_eq!(truth(&household, "Heat").await?["played"], true);
        odd.change_identity(&before);
        household.sync(&[]).await?;
        Ok(())
    }

    async fn a_revoked_token_stops_that_server_alone(flavor: Flavor) -> Result<()> {
        let (mut household, worlds) = pair(flavor).await?;
        let token = household.member("odd")?.token.clone();
        assert!(worlds[0].revoke(&token));
        refused(&household, &worlds, 2, &["odd", "401", "tokenSecretRef"]).await?;
        let fresh = if flavor.is_plex() {
            worlds[0].read(|model| model.owner().unwrap().tokens[0].clone())
        } else {
            worlds[0].add_api_key("another")
        };
        household.member("odd")?.token = fresh;
        household.apply().await?.expect(0)?;
        agree(&household, &worlds).await
    }

    async fn a_wrong_token_stops_that_server_alone(flavor: Flavor) -> Result<()> {
        let (mut household, worlds) = pair(flavor).await?;
        let token = std::mem::replace(&mut household.member("odd")?.token, "not-the-token".to_owned());
        household.apply().await?.expect(0)?;
        refused(&household, &worlds, 2, &["odd", "401", "tokenSecretRef"]).await?;
        household.member("odd")?.token = token;
        household.apply().await?.expect(0)?;
        agree(&household, &worlds).await
    }

    async fn a_server_that_is_down_is_tried_again_the_next_time(flavor: Flavor) -> Result<()> {
        let (mut household, worlds) = pair(flavor).await?;
        household.down("odd").await?;
        refused(&household, &worlds, 1, &["odd", "no connection to http://127.0.0.1"]).await?;
        household.up("odd").await?;
        agree(&household, &worlds).await
    }

    async fn an_account_that_is_not_there_stops_nobody_else(flavor: Flavor) -> Result<()> {
        let mut household = Household::new().await?;
        let world = server(flavor, "odd");
        titles(&world);
        world.add_user("ben");
        watched(&world, "Heat", "2024-02-01T20:00:00Z");
        let odd = household.add("odd", world, &[("anna", "anna"), ("ben", "benjamin")]).await?;
        let other = server(Flavor::Jellyfin12, "well");
        titles(&other);
        other.add_user("ben");
        let well = household.add("well", other, &[("anna", "anna"), ("ben", "ben")]).await?;
        household.apply().await?.expect(0)?;
        let ran = household.worker(&["sync", "-o", "json"]).await?.expect(2)?;
        assert!(ran.stdout.contains("benjamin") && ran.stdout.contains("accounts there"), "{}", ran.stdout);
        assert!(has(&well, "Heat").played, "anna's is synced all the same");
        assert_eq!((well.writes().len(), odd.writes().len()), (1, 0));
        let check = household.worker(&["servers", "check"]).await?.expect(2)?;
        assert!(check.stdout.contains("benjamin"), "{}", check.stdout);
        Ok(())
    }
}

/// A server that says it is of another version than any that a simulator has.
struct Old {
    version: &'static str,
    http: Http,
}

impl Service for Old {
    fn operation(&self, _: &Call) -> Operation {
        Operation { label: "any", group: Group::Identity }
    }

    fn answer(&self, _: &Call) -> Answer {
        Answer::json(&json!({ "Id": "old", "ServerName": "Old", "Version": self.version, "ProductName": "Server" }))
    }

    fn http(&self) -> &Http {
        &self.http
    }

    #[expect(clippy::disallowed_methods, reason = "a server's own clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn control(&self, _: &Call) -> Option<Answer> {
        None
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_or_of_another_make_is_told_apart_and_left_alone() -> Result<()> {
    for (kind, version, words) in [
        ("Jellyfin", "10.8.13", "too old"),
        ("Emby", "4.7.14.0", "too old"),
        ("Jellyfin", "4.9.1.2", "type: Emby"),
        ("Emby", "10.11.2", "type: Jellyfin"),
    ] {
        let (mut household, [well]) = household([("well", Flavor::Jellyfin12)], titles).await?;
        watched(&well, "Heat", "2024-02-01T20:00:00Z");
        let old = Arc::new(Old { version, http: Http::default() });
        let listening = Listening::start(Arc::<Old>::clone(&old), "127.0.0.1:0").await?;
        household.document(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: old\nstringData:\n  token: abc\n---\n\
             apiVersion: watchstate.dev/v1alpha1\nkind: MediaServer\nmetadata:\n  name: old\nspec:\n  type: {kind}\n  url: {}\n  \
             tokenSecretRef:\n    name: old\n",
            listening.url()
        ));
        household.apply().await?.expect(0)?;
        let summary = household.worker(&["sync", "-o", "json"]).await?.expect(2)?.json()?;
        assert!(summary.to_string().contains(words) && summary.to_string().contains(version), "{summary:#}");
        assert_eq!(truth(&household, "Heat").await?["played"], true, "the other goes on");
        assert!(old.http.log.total() <= 2, "nothing more was asked: {:#?}", old.http.log.all());
    }
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_no_address_or_not_there_is_told_without_its_password() -> Result<()> {
    let (mut household, _) = household([("one", Flavor::Plex)], titles).await?;
    let password = "pass-of-the-database";
    let wrong =
        household.database.replacen("://", &format!("://nobody-here:{password}@"), 1).replacen("postgres@", "", 1);
    for (address, code) in [
        ("nonsense".to_owned(), 2),
        (format!("mysql://me:{password}@127.0.0.1/db"), 2),
        (format!("postgres://me:{password}@127.0.0.1:port/db"), 2),
        (format!("postgres://me:{password}@127.0.0.1:1/db"), 1),
        (wrong, 2),
    ] {
        household.database.clone_from(&address);
        for arguments in [&["sync"][..], &["-vvv", "state"], &["--log-format", "json", "-vvv", "servers", "list"]] {
            let ran = household.worker(arguments).await?;
            assert_eq!(ran.code, code, "{address}: {ran:#?}");
            assert!(ran.stderr.contains("database"), "{address}: {ran:#?}");
            assert!(!format!("{ran:?}").contains(password), "{address}: {ran:#?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_known_is_asked_for_by_name() -> Result<()> {
    let (household, _) = household([("one", Flavor::Plex)], titles).await?;
    let ran = household.worker(&["sync", "--server", "two"]).await?.expect(2)?;
    assert!(ran.stderr.contains("\"two\"") && ran.stderr.contains("known: one"), "{ran:#?}");
    let empty = Household::new().await?;
    let ran = empty.worker(&["sync"]).await?.expect(2)?;
    assert!(ran.stderr.contains("apply -f"), "{ran:#?}");
    let ran = household.worker(&["sync", "--no-such-option"]).await?;
    assert_eq!(ran.code, 2, "{ran:#?}");
    Ok(())
}

/// Puts a server behind TLS, with a certificate of an authority of its own: the port of `https://localhost`, and the authority in PEM.
async fn behind_tls(url: &str) -> Result<(u16, String)> {
    let authority_key = rcgen::KeyPair::generate()?;
    let mut parameters = rcgen::CertificateParams::new(Vec::new())?;
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key)?;
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &issuer)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let behind = url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                // Clients that don't trust us hang up.
                let Ok(mut outer) = acceptor.accept(stream).await else { return };
                let Ok(mut inner) = TcpStream::connect(behind).await else { return };
                tokio::io::copy_bidirectional(&mut outer, &mut inner).await.ok();
            });
        }
    });
    Ok((port, authority.pem()))
}

#[tokio::test]
async fn a_server_with_a_certificate_of_a_private_authority_is_trusted_when_told_so() -> Result<()> {
    for flavor in [Flavor::Plex, Flavor::Jellyfin12, Flavor::Emby49] {
        let (mut household, worlds) = pair(flavor).await?;
        let (port, authority) = behind_tls(&household.member("odd")?.url.clone()).await?;
        household.member("odd")?.url = format!("https://localhost:{port}");
        household.apply().await?.expect(0)?;
        refused(&household, &worlds, 2, &["no secure connection", "tls.caSecretRef"]).await?;
        household.member("odd")?.spec = "  tls:\n    caSecretRef:\n      name: authority\n".to_owned();
        let pem = authority.lines().map(|line| format!("    {line}\n")).collect::<Vec<_>>().concat();
        household.document(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: authority\nstringData:\n  ca.crt: |\n{pem}"
        ));
        household.apply().await?.expect(0)?;
        agree(&household, &worlds).await?;
        household.member("odd")?.spec = "  tls:\n    insecureSkipVerify: true\n".to_owned();
        household.apply().await?.expect(0)?;
        household.sync(&["--full"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn plain_http_at_a_tls_port_and_tls_at_a_plain_port_are_told_apart_from_a_server_that_is_down() -> Result<()> {
    let (mut household, worlds) = pair(Flavor::Jellyfin1011).await?;
    let plain = household.member("odd")?.url.clone();
    household.member("odd")?.url = plain.replacen("http:", "https:", 1);
    household.apply().await?.expect(0)?;
    let ran = household.worker(&["sync", "-o", "json"]).await?.expect(2)?;
    let told: Value = ran.json()?;
    assert!(told.to_string().contains("scheme"), "{told:#}");
    assert_eq!(worlds[0].log().total(), 0);
    Ok(())
}
