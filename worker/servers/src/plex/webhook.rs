//! The account's webhooks, which are at plex.tv: a list of addresses that is read and written as a whole.

use http::Method;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::Server;
use crate::error::ErrorKind;
use crate::http::{NO_QUERY, Repeat};
use crate::operation::Operation;
use crate::{Result, Webhook, webhook};

/// Servers of one account share its list: one at a time reads and writes it, or one would take back what another did meanwhile.
static LIST: Mutex<()> = Mutex::const_new(());

const WEBHOOKS: &str = "/api/v2/user/webhooks";

/// An entry of the list.
#[derive(Deserialize)]
struct Entry {
    url: String,
}

impl Server {
    /// Sets the entry with the webhook's mark; those of others stay as they are.
    pub(super) async fn set_webhook(&self, webhook: &Webhook) -> Result<bool> {
        let _alone = LIST.lock().await;
        let before = self.webhooks().await?;
        let wanted = webhook.with_token().to_string();
        let mut after = others(&before, &webhook.mark);
        if after.len() + 1 == before.len() && before.contains(&wanted) {
            return Ok(false);
        }
        after.push(&wanted);
        self.put_webhooks(&after).await?;
        Ok(true)
    }

    pub(super) async fn remove_webhook(&self, mark: &str) -> Result<bool> {
        let _alone = LIST.lock().await;
        let before = self.webhooks().await?;
        let after = others(&before, mark);
        if after.len() == before.len() {
            return Ok(false);
        }
        self.put_webhooks(&after).await?;
        Ok(true)
    }

    async fn webhooks(&self) -> Result<Vec<String>> {
        let request = self.tv_request(&self.token, Operation::Webhook, WEBHOOKS, &[], NO_QUERY)?;
        let entries: Vec<Entry> = self.tv_json(&request).await.map_err(|error| match error.kind() {
            ErrorKind::Forbidden => error.meaning(
                ErrorKind::Unsupported,
                "plex.tv lets the account have no webhooks: they need Plex Pass; or use Tautulli",
            ),
            _ => error,
        })?;
        Ok(entries.into_iter().map(|entry| entry.url).collect())
    }

    async fn put_webhooks(&self, urls: &[&str]) -> Result<()> {
        let request = self
            .tv_request(&self.token, Operation::Webhook, WEBHOOKS, &[], NO_QUERY)?
            .write(Method::POST, Repeat::Harmless);
        // An empty list is said by an empty field.
        let request = if urls.is_empty() {
            request.form([("urls", "")])
        } else {
            request.form(urls.iter().map(|url| ("urls[]", *url)))
        };
        self.tv.send(&request).await.map(drop)
    }
}

fn others<'u>(urls: &'u [String], mark: &str) -> Vec<&'u str> {
    urls.iter().map(String::as_str).filter(|url| !webhook::bears(url, mark)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::form_urlencoded;
    use watchstate_domain::item::ServerKind;
    use wiremock::MockServer;

    use super::*;
    use crate::testing::{answers, assert_harmless, client, refuses};

    fn ours() -> Webhook {
        Webhook {
            url: "https://home.example/webhook".parse().unwrap(),
            token: "hunter2".into(),
            mark: "uid-1".to_owned(),
            name: "plex".to_owned(),
        }
    }

    /// The addresses of the last list that was written; None: none was.
    async fn written(server: &MockServer) -> Option<Vec<String>> {
        let requests = server.received_requests().await.unwrap();
        let request = requests.iter().rev().find(|request| request.method == Method::POST)?;
        Some(form_urlencoded::parse(&request.body).into_owned().map(|(_, url)| url).collect())
    }

    #[tokio::test]
    async fn our_address_takes_the_place_of_our_old_one_and_those_of_others_stay() {
        let (other, old) = ("http://other.example/", "http://old.example/?watchstate=uid-1&apikey=x");
        let now = "https://home.example/webhook?watchstate=uid-1&apikey=hunter2";
        let cases: [(&[&str], Option<&[&str]>); 4] = [
            (&[], Some(&[now])),
            (&[other], Some(&[other, now])),
            (&[old, other], Some(&[other, now])),
            (&[now, other], None),
        ];
        for (before, after) in cases {
            let server = MockServer::start().await;
            let listed: Vec<_> = before.iter().map(|url| json!({ "url": url })).collect();
            answers(&server, "GET", WEBHOOKS, json!(listed)).await;
            answers(&server, "POST", WEBHOOKS, json!([])).await;
            let changed = client(ServerKind::Plex, &server).set_webhook(&ours()).await.unwrap();
            assert_eq!(changed, after.is_some());
            let after = after.map(|urls| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>());
            assert_eq!(written(&server).await, after, "{before:?}");
        }
    }

    #[tokio::test]
    async fn the_last_address_is_taken_away_by_an_empty_field() {
        let server = MockServer::start().await;
        answers(&server, "GET", WEBHOOKS, json!([{ "url": "http://old.example/?watchstate=uid-1" }])).await;
        answers(&server, "POST", WEBHOOKS, json!([])).await;
        assert!(client(ServerKind::Plex, &server).remove_webhook("uid-1").await.unwrap());
        assert_eq!(written(&server).await, Some(vec![String::new()]));
    }

    #[tokio::test]
    async fn an_account_without_plex_pass_is_told_so() {
        let server = MockServer::start().await;
        refuses(&server, "GET", WEBHOOKS, 403).await;
        let error = client(ServerKind::Plex, &server).set_webhook(&ours()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("Plex Pass"), "{error}");
        assert_harmless(&error);
    }
}
