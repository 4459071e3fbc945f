//! Keeps raw requests for a while, without their secrets, where somebody has asked for it: for finding out why an event doesn't do what it should.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretBox};
use serde_json::{Map, Value};
use watchstate_runtime::redact;
use watchstate_store::Store;
use watchstate_store::inbox::{self, KeptRequest};

/// Headers that hold no secret. Of all others only the name is kept.
const HARMLESS: [&str; 6] = ["accept", "content-length", "content-type", "host", "user-agent", "transfer-encoding"];
/// The most of a body that is kept.
const LONGEST: usize = 64 * 1024;

/// Keeps requests until a time.
#[derive(Debug, Clone)]
pub struct Keeper {
    store: Store,
    until: Timestamp,
    each: Duration,
}

impl Keeper {
    /// Keeps requests for so long from now on, each for that long.
    pub fn new(store: Store, now: Timestamp, each: Duration) -> Self {
        let until = now.checked_add(each).unwrap_or(now);
        tracing::warn!(%until, "raw requests are kept, without their secrets");
        Self { store, until, each }
    }

    /// Keeps one, in the background.
    pub fn keep(
        &self,
        now: Timestamp,
        address: IpAddr,
        headers: &HeaderMap,
        token: Option<&SecretBox<[u8]>>,
        body: &[u8],
        status: StatusCode,
    ) {
        if now > self.until {
            return;
        }
        let request = KeptRequest {
            id: 0,
            received_at: now,
            expires_at: now.checked_add(self.each).unwrap_or(now),
            address: address.to_string(),
            headers: shown_headers(headers),
            body: shown_body(body, token),
            status: i16::try_from(status.as_u16()).unwrap_or_default(),
        };
        let store = self.store.clone();
        tokio::spawn(async move {
            let kept = async { inbox::keep_request(&mut *store.acquire().await?, &request).await };
            if let Err(error) = kept.await {
                tracing::warn!("a raw request couldn't be kept: {}", redact::chain(&error));
            }
        });
    }
}

fn shown_headers(headers: &HeaderMap) -> Value {
    let mut shown = Map::new();
    for (name, value) in headers {
        let harmless = HARMLESS.contains(&name.as_str());
        let value = if harmless { value.to_str().unwrap_or("(no text)") } else { "***" };
        shown.insert(name.as_str().to_owned(), value.replace('\0', "").into());
    }
    Value::Object(shown)
}

fn shown_body(body: &[u8], token: Option<&SecretBox<[u8]>>) -> String {
    let mut text = String::from_utf8_lossy(body).replace('\0', "");
    if !is_json(&text) {
        // A form carries JSON with its quotes and colons encoded: what is secret shows only once they are decoded.
        text = percent_decode_str(&text).decode_utf8_lossy().replace('\0', "");
    }
    if let Some(token) = token.and_then(|token| std::str::from_utf8(token.expose_secret()).ok()) {
        text = text.replace(token, "***");
    }
    let text: String = text.chars().take(LONGEST).collect();
    if is_json(&text) { redact::scrub_json(&text) } else { redact::scrub(&text).into_owned() }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_may_be_a_secret_is_kept() {
        let headers: HeaderMap = [
            (http::header::CONTENT_TYPE, "application/json"),
            (http::header::AUTHORIZATION, "Bearer hush"),
            (http::header::COOKIE, "hush"),
            (http::HeaderName::from_static("x-apikey"), "hush"),
            (http::HeaderName::from_static("x-anything"), "hush"),
        ]
        .into_iter()
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect();
        let shown = shown_headers(&headers);
        assert_eq!(shown["content-type"], "application/json");
        assert_eq!(shown["x-anything"], "***");
        assert!(!shown.to_string().contains("hush"));
        let token = SecretBox::new(b"hush".to_vec().into_boxed_slice());
        for body in [
            r#"{"ServerUrl":"http://jf/?apikey=hush","Token":"hush","Name":"Heat"}"#,
            r#"{"url":"http://anna:hush@jf/","Name":"Heat","broken"#,
            "Heat hush",
            "data=%7B%22AccessToken%22%3A%22hush%22%2C%22Name%22%3A%22Heat%22%7D",
            "name=Heat&accessToken=%68ush",
        ] {
            let shown = shown_body(body.as_bytes(), Some(&token));
            assert!(shown.contains("Heat") && !shown.contains("hush"), "{shown}");
        }
        let other = shown_body(b"data=%7B%22AccessToken%22%3A%22s3cret%22%2C%22Name%22%3A%22Heat%22%7D", Some(&token));
        assert!(
            other.contains("Heat") && !other.contains("s3cret"),
            "also a secret that isn't the request's own: {other}"
        );
    }
}
