//! The account's webhooks, which are at plex.tv: a list of addresses that is read and written as a whole.

use http::Method;
use serde::Deserialize;

use super::Server;
use crate::error::ErrorKind;
use crate::http::{NO_QUERY, Repeat};
use crate::operation::Operation;
use crate::{Result, Webhook, webhook};

const WEBHOOKS: &str = "/api/v2/user/webhooks";

/// An entry of the list.
#[derive(Deserialize)]
struct Entry {
    url: String,
}

impl Server {
    /// Sets the entry with the webhook's mark; those of others stay as they are.
    pub(super) async fn set_webhook(&self, webhook: &Webhook) -> Result<bool> {
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
