//! What all simulated servers share on the HTTP side: calls and answers as plain values, the request log, faults.
//! Handlers are plain functions from a [`Call`] to an [`Answer`], so they can be tested without a socket.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

mod fault;
mod log;

pub use fault::{Fault, FaultKind, Faults};
pub use log::{Group, Operation, RequestLog, Seen};

/// Log and faults of one simulated server. Clones are handles of the same.
#[derive(Debug, Clone, Default)]
pub struct Http {
    /// What was asked.
    pub log: RequestLog,
    /// What goes wrong.
    pub faults: Faults,
}

/// A request as a handler sees it.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method; `HEAD` arrives as such.
    pub method: Method,
    /// The path and query as they were sent.
    pub uri: Uri,
    /// The path as it was sent, still encoded.
    pub path: String,
    /// Names and values of the query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Call {
    /// A call of `target` (path and query).
    pub fn new(method: Method, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let uri = target.parse().unwrap_or_default();
        Self { method, uri, path: path.to_owned(), query, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A call from the parts of an HTTP request.
    pub fn from_parts(method: Method, uri: &Uri, headers: HeaderMap, body: Bytes) -> Self {
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Self { headers, body, ..Self::new(method, target) }
    }

    /// `GET target`.
    pub fn get(target: &str) -> Self {
        Self::new(Method::GET, target)
    }

    /// `POST target`.
    pub fn post(target: &str) -> Self {
        Self::new(Method::POST, target)
    }

    /// `DELETE target`.
    pub fn delete(target: &str) -> Self {
        Self::new(Method::DELETE, target)
    }

    /// With a header; one that can't be sent is left out.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.append(name, value);
        }
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn with_json(mut self, body: &Value) -> Self {
        self.body = Bytes::from(body.to_string());
        self.with_header("content-type", "application/json")
    }

    /// The path's segments, decoded; empty ones are left out.
    pub fn segments(&self) -> Vec<Cow<'_, str>> {
        let parts = self.path.split('/').filter(|part| !part.is_empty());
        parts.map(|part| percent_decode_str(part).decode_utf8_lossy()).collect()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first value of a query name, whatever its case.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first value of a query name, as a number or the like; none if it is absent or something else.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.value(name).and_then(|value| value.trim().parse().ok())
    }

    /// The first value of a query name as yes or no.
    pub fn flag(&self, name: &str) -> Option<bool> {
        let value = self.value(name)?;
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// All values of a query name, given as `a,b` or repeated.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let values = self.query.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let parts = values.flat_map(|(_, value)| value.split([',', '|']));
        parts.map(str::trim).filter(|part| !part.is_empty()).collect()
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// A handler's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers besides `Date` and `Content-Length`. Boxed, since an answer is also what a handler refuses with.
    pub headers: Box<HeaderMap>,
    /// The whole body.
    pub body: Bytes,
    /// Whose token it was, for the log: a user's id.
    pub user: Option<String>,
}

impl Answer {
    /// An answer without a body.
    pub fn status(status: StatusCode) -> Self {
        Self { status, headers: Box::default(), body: Bytes::new(), user: None }
    }

    /// An answer with a body.
    pub fn new(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::status(status) }.with("content-type", content_type)
    }

    /// 200 with JSON.
    pub fn json(value: &Value) -> Self {
        Self::new(StatusCode::OK, "application/json; charset=utf-8", value.to_string())
    }

    /// With another header, its name in lower case; a value that can't be sent is left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.append(HeaderName::from_static(name), value);
        }
        self
    }

    /// As the answer to this user.
    #[must_use]
    pub fn to(mut self, user: Option<&str>) -> Self {
        self.user = user.map(str::to_owned);
        self
    }

    /// The body as JSON, for tests; null if it isn't.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text, for tests.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_both_joined_and_repeated_whatever_the_case() {
        let call = Call::get("/Items?fields=Path,ProviderIds&Fields=DateCreated&ids=a%2Cb");
        assert_eq!(call.list("fields"), ["Path", "ProviderIds", "DateCreated"]);
        assert_eq!(call.list("IDS"), ["a", "b"]);
    }

    #[test]
    fn segments_are_decoded_after_they_are_split() {
        assert_eq!(Call::get("/a%2Fb//c%20d/").segments(), ["a/b", "c d"]);
    }
}
