//! The receiver by itself: what it takes, what it refuses, and that it never falls over.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use watchstate_tests::household::Household;
use watchstate_tests::process::Process;
use watchstate_tests::webhook::{Shape, Target};
use watchstate_tests::world::{Flavor, World};

use crate::builders::*;
use crate::circle::*;
use crate::ledger::Ledger;

/// A receiver, and a household that has told it nothing yet.
async fn alone(arguments: &[&str]) -> Result<(Household, Process, [World; 2])> {
    let (household, worlds) = household([("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin1011)], titles).await?;
    household.sync(&[]).await?;
    let receiver = household.receiver("127.0.0.1:0", arguments).await?;
    Ok((household, receiver, worlds))
}

/// A finish of Heat, as Plex tells it.
fn scrobble() -> String {
    json!({
        "event": "media.scrobble",
        "Account": { "id": 1, "title": "anna" },
        "Server": { "title": "plex", "uuid": "plex-id" },
        "Metadata": { "ratingKey": "101", "type": "movie", "title": "Heat", "guid": "plex://movie/5d776825880197001ec90e6f" },
    })
    .to_string()
}

fn token(url: &str) -> &str {
    url.split_once("apikey=").map_or("", |(_, token)| token)
}

async fn post(url: &str, body: impl Into<reqwest::Body>) -> Result<(StatusCode, String)> {
    let answer = Client::new().post(url).body(body).send().await?;
    Ok((answer.status(), answer.text().await?))
}

#[tokio::test]
async fn a_token_is_taken_from_query_header_or_bearer_and_no_other_gets_in() -> Result<()> {
    let (household, receiver, _) = alone(&[]).await?;
    let url = household.webhook(&receiver, "plex")?;
    let token = token(&url);
    let base = format!("http://{}", receiver.address);
    let client = Client::new();
    for path in ["/", "/webhook", "/v1/api/webhook"] {
        let request = client.post(format!("{base}{path}?apikey={token}")).body(scrobble());
        assert_eq!(request.send().await?.status(), 202, "{path}");
    }
    assert_eq!(client.put(&base).header("X-apikey", token).body(scrobble()).send().await?.status(), 202);
    assert_eq!(client.post(&base).bearer_auth(token).body(scrobble()).send().await?.status(), 202);
    assert_eq!(client.get(&base).send().await?.status(), 200);
    assert_eq!(client.post(format!("{base}/other?apikey={token}")).body(scrobble()).send().await?.status(), 404);

    let mut answers = Vec::new();
    for wrong in ["", "?apikey=", "?apikey=wrong", &format!("?apikey={token}x"), &format!("?key={token}")] {
        let (status, text) = post(&format!("{base}/{wrong}"), scrobble()).await?;
        ensure!(status == 401, "{wrong}: {status}");
        answers.push(text);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "no answer tells how wrong a token is");
    Ok(())
}

#[tokio::test]
async fn a_new_token_counts_at_once_and_the_old_one_no_more() -> Result<()> {
    let (household, receiver, _) = alone(&[]).await?;
    let old = household.webhook(&receiver, "plex")?;
    assert_eq!(post(&old, scrobble()).await?.0, 202);
    let base = format!("http://{}", receiver.address);
    let rotated = household.worker(&["servers", "token", "plex", "--rotate", "--url", &base, "-o", "json"]).await?;
    let rotated = rotated.expect(0)?.json()?;
    let new = rotated["url"].as_str().context("an address")?;
    let until = async {
        // The registry's word needs a moment; each try is an answer that is awaited.
        while post(new, scrobble()).await?.0 != 202 {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(20), until).await??;
    assert_eq!(post(&old, scrobble()).await?.0, 401);
    let shown =
        household.worker(&["servers", "token", "plex", "--url", &base, "-o", "json"]).await?.expect(0)?.json()?;
    assert_eq!((&shown["url"], &shown["new"]), (&rotated["url"], &false.into()));
    Ok(())
}

#[tokio::test]
async fn an_address_with_too_many_wrong_tokens_has_to_wait_and_others_have_not() -> Result<()> {
    let (household, receiver, _) = alone(&["--wrong-tokens", "3", "--trusted-proxies", "127.0.0.0/8"]).await?;
    let url = household.webhook(&receiver, "plex")?;
    let client = Client::new();
    let send = |from: &'static str, url: String| {
        let request = client.post(url).header("X-Forwarded-For", from).body(scrobble());
        async move { anyhow::Ok(request.send().await?) }
    };
    let wrong = format!("http://{}/?apikey=wrong", receiver.address);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(send("198.51.100.7", wrong.clone()).await?.status().as_u16());
    }
    assert_eq!(statuses[..3], [401; 3]);
    assert_eq!(statuses[5], 429, "{statuses:?}");
    let refused = send("198.51.100.7", url.clone()).await?;
    assert!(refused.status() == 429 && refused.headers().contains_key("retry-after"), "{refused:?}");
    assert_eq!(send("198.51.100.8", url).await?.status(), 202);
    Ok(())
}

#[tokio::test]
async fn whatever_is_sent_the_answer_is_a_refusal_and_never_a_failure() -> Result<()> {
    let (household, receiver, _) = alone(&["--max-body-kib", "64"]).await?;
    let url = household.webhook(&receiver, "plex")?;
    let client = Client::new();
    let deep = "[".repeat(10_000);
    let huge = "x".repeat(1_000_000);
    let bodies: [(&str, Vec<u8>, u16); 12] = [
        ("text/plain", Vec::new(), 400),
        ("application/json", b"{}".to_vec(), 400),
        ("application/json", b"{\"event\":".to_vec(), 400),
        ("application/json", vec![0xff, 0xfe, 0x00], 400),
        ("application/json", deep.into_bytes(), 400),
        ("application/json", b"{\"event\":\"media.scrobble\",\"Server\":7,\"Metadata\":[]}".to_vec(), 400),
        ("application/json", huge.into_bytes(), 413),
        ("multipart/form-data; boundary=X", Vec::new(), 400),
        (
            "multipart/form-data; boundary=X",
            b"--X\r\nContent-Disposition: form-data; name=\"payload\"\r\n\r\n".to_vec(),
            400,
        ),
        ("multipart/form-data; boundary=X", b"--X--\r\n".to_vec(), 400),
        ("multipart/form-data", b"--X--\r\n".to_vec(), 400),
        ("application/x-www-form-urlencoded", b"data=%ff&payload".to_vec(), 400),
    ];
    for (content_type, body, expected) in bodies {
        let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = client.post(&url).header("Content-Type", content_type).body(body).send().await?;
        ensure!(answer.status().as_u16() == expected, "{content_type} {start:?}: {}", answer.status());
    }
    assert_eq!(post(&url, scrobble()).await?.0, 202, "and it goes on");
    Ok(())
}

#[tokio::test]
async fn who_sends_slowly_or_nothing_keeps_nobody_waiting() -> Result<()> {
    let (household, receiver, _) = alone(&["--max-connections", "50"]).await?;
    let url = household.webhook(&receiver, "plex")?;
    let mut idle = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(&receiver.address).await?;
        stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\n").await?;
        idle.push(stream);
    }
    for answer in join_all((0..20).map(|_| post(&url, scrobble()))).await {
        assert_eq!(answer?.0, 202);
    }
    drop(idle);
    // What is no HTTP at all is answered, or hung up on.
    let mut stream = TcpStream::connect(&receiver.address).await?;
    stream.write_all(b"\x16\x03\x01\x02\x00 hello\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{:?}", String::from_utf8_lossy(&answer));
    Ok(())
}

async fn in_the_shape(flavor: Flavor, shape: Shape) -> Result<()> {
    let (household, worlds) = household([("here", flavor), ("there", Flavor::Emby49)], titles).await?;
    let circle = Circle::shaped(household, worlds, ["here", "there"], |name, target: &mut Target| {
        if name == "here" {
            target.shape = Some(shape.clone());
        }
    })
    .await?;
    let [here, there] = &circle.worlds;
    here.play_to_end(ANNA, &movie(here, "Heat"))?;
    here.play_to_end(ANNA, &episode(here, 1, 2))?;
    is_played(there, "Heat").await?;
    comes_to(there, "the episode is played", |world| world.state(ANNA, &episode(world, 1, 2)).played).await?;
    circle.agrees().await
}

#[tokio::test]
async fn jellyfins_json_is_understood() -> Result<()> {
    in_the_shape(Flavor::Jellyfin12, Shape::JellyfinJson).await
}

#[tokio::test]
async fn jellyfins_form_is_understood() -> Result<()> {
    in_the_shape(Flavor::Jellyfin1011, Shape::JellyfinForm).await
}

#[tokio::test]
async fn a_template_of_the_users_own_is_understood() -> Result<()> {
    let fields = ["NotificationType", "ServerId", "UserId", "ItemId", "ItemType", "PlayedToCompletion", "UtcTimestamp"];
    in_the_shape(Flavor::Jellyfin1010, Shape::JellyfinTemplate(fields.map(str::to_owned).to_vec())).await
}

#[tokio::test]
async fn embys_form_is_understood() -> Result<()> {
    in_the_shape(Flavor::Emby48, Shape::EmbyForm).await
}

#[tokio::test]
async fn embys_multipart_is_understood_by_newer_versions_as_well() -> Result<()> {
    in_the_shape(Flavor::Emby49, Shape::EmbyMultipart).await
}

#[tokio::test]
async fn tautulli_speaks_for_a_plex() -> Result<()> {
    in_the_shape(Flavor::Plex, Shape::Tautulli).await
}

#[tokio::test]
async fn no_secret_is_logged_kept_or_measured() -> Result<()> {
    let (household, worlds) = household([("plex", Flavor::Plex), ("jellyfin", Flavor::Jellyfin1011)], titles).await?;
    household.sync(&[]).await?;
    let receiver = household.receiver("127.0.0.1:0", &["-vvv", "--keep-requests", "1h"]).await?;
    let url = household.webhook(&receiver, "plex")?;
    let secret = token(&url).to_owned();
    let client = Client::new();
    let mail = json!({
        "event": "media.pause",
        "Account": { "id": 1, "title": "anna.secret@example.org" },
        "Server": { "uuid": "plex-id", "token": "hush-hush-hush" },
        "Player": { "publicAddress": "203.0.113.77" },
        "Metadata": { "ratingKey": "101", "type": "movie", "title": "Heat", "viewOffset": 600_000 },
    });
    for body in [scrobble(), mail.to_string(), format!("not JSON {secret}")] {
        for request in [
            client.post(&url),
            client.post(format!("http://{}/", receiver.address)).header("X-apikey", &secret),
            client.post(format!("http://{}/", receiver.address)).bearer_auth(&secret),
            client.post(format!("http://{}/?apikey={secret}-wrong", receiver.address)),
        ] {
            request.body(body.clone()).send().await?;
        }
    }
    household.worker(&["push"]).await?.expect(0)?;
    let ledger = Ledger::open(&household).await?;
    // They are kept after they were answered.
    until("all are kept", async || Ok(ledger.number("select count(*) from kept_request").await? >= 12)).await?;
    let requests = household.worker(&["inbox", "requests", "-o", "json"]).await?.expect(0)?;
    ensure!(requests.json()?.as_array().is_some_and(|kept| kept.len() == 12), "{requests:#?}");
    let metrics = receiver.ask("/metrics").await?;
    let log = receiver.log().join("\n");
    ensure!(log.contains("202") && log.contains("refused"), "the log is loud: {log}");
    let rows: Vec<String> = ledger
        .everything()
        .await?
        .into_iter()
        .filter(|(table, _)| table != "account")
        .flat_map(|(_, rows)| rows)
        .collect();
    for (what, text) in [
        ("the log", &log),
        ("the metrics", &metrics),
        ("what is kept", &requests.stdout),
        ("the database", &rows.join("\n")),
    ] {
        for hidden in [secret.as_str(), "hush-hush-hush", "anna.secret@"] {
            ensure!(!text.contains(hidden), "{what} shows {hidden}: {text}");
        }
    }
    drop(worlds);
    Ok(())
}
