//! What a Plex Media Server answers, as one tree that is written as XML or as JSON: both sides say the same.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, Event};
use serde_json::{Map, Value};

use crate::http::Answer;

/// An element of an answer.
#[derive(Debug, Clone)]
pub(super) struct Element {
    xml: &'static str,
    json: &'static str,
    /// One object in JSON, where other children of a name are an array.
    single: bool,
    attributes: Vec<(&'static str, Value)>,
    children: Vec<Self>,
}

impl Element {
    /// An element that has the same name in XML and JSON.
    pub(super) const fn new(name: &'static str) -> Self {
        Self { xml: name, json: name, single: false, attributes: Vec::new(), children: Vec::new() }
    }

    /// The `MediaContainer` around an answer.
    pub(super) const fn container() -> Self {
        Self::new("MediaContainer")
    }

    /// An item: `Video` or `Directory` in XML, always `Metadata` in JSON.
    pub(super) fn item(xml: &'static str) -> Self {
        Self { json: "Metadata", ..Self::new(xml) }
    }

    /// Makes it one object in JSON in place of an array.
    pub(super) const fn single(mut self) -> Self {
        self.single = true;
        self
    }

    /// Adds an attribute. JSON keeps the type; XML writes booleans as `1` and `0`.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// Takes an attribute away.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.attributes.retain(|(held, _)| *held != name);
        self
    }

    /// Adds an attribute if there is a value.
    pub(super) fn with_some(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a child.
    pub(super) fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// Adds children.
    pub(super) fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// As JSON, without a name around it.
    pub(super) fn to_json(&self) -> Value {
        let mut object = Map::new();
        for (name, value) in &self.attributes {
            object.insert((*name).to_owned(), value.clone());
        }
        for child in &self.children {
            if child.single {
                object.insert(child.json.to_owned(), child.to_json());
                continue;
            }
            let list = object.entry(child.json).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(child.to_json());
            }
        }
        Value::Object(object)
    }

    fn write_xml(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let mut start = BytesStart::new(self.xml);
        for (name, value) in &self.attributes {
            start.push_attribute((*name, as_text(value).as_str()));
        }
        if self.children.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        for child in &self.children {
            child.write_xml(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(self.xml)))
    }

    /// The whole document in the format that the request's `Accept` asks for; XML unless JSON is wanted.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Answer {
        if wants_json(asked) {
            let mut document = Map::new();
            document.insert(self.json.to_owned(), self.to_json());
            return respond(StatusCode::OK, "application/json", Value::Object(document).to_string());
        }
        let mut writer = Writer::new(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_vec());
        match self.write_xml(&mut writer) {
            Ok(()) => respond(StatusCode::OK, "text/xml;charset=utf-8", writer.into_inner()),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string()),
        }
    }
}

/// Whether the client asks for JSON.
pub(crate) fn wants_json(asked: &HeaderMap) -> bool {
    asked.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("json"))
}

/// An attribute's text: booleans are `1` and `0`, absent values are empty.
pub(crate) fn as_text(value: &Value) -> String {
    match value {
        Value::Bool(true) => "1".to_owned(),
        Value::Bool(false) => "0".to_owned(),
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// An answer with the header that every answer of this server carries.
pub(super) fn respond(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Answer {
    Answer::new(status, content_type, body).with("x-plex-protocol", "1.0")
}

/// The little HTML page that a Plex Media Server sends in place of any error.
pub(super) fn refuse(status: StatusCode) -> Answer {
    let title = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    let page = format!("<html><head><title>{title}</title></head><body><h1>{code} {title}</h1></body></html>");
    respond(status, "text/html", page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film() -> Element {
        let part = Element::new("Part").with("file", "/a & \"b\".mkv");
        let film = Element::item("Video").with("ratingKey", "7").with("year", 1995).child(part);
        Element::container().with("size", 1).with("allowSync", true).child(film)
    }

    #[test]
    fn xml_writes_booleans_as_digits_and_escapes_text() {
        let mut writer = Writer::new(Vec::new());
        film().write_xml(&mut writer).unwrap();
        let expected = "<MediaContainer size=\"1\" allowSync=\"1\"><Video ratingKey=\"7\" year=\"1995\">\
            <Part file=\"/a &amp; &quot;b&quot;.mkv\"/></Video></MediaContainer>";
        assert_eq!(String::from_utf8(writer.into_inner()).unwrap(), expected);
    }

    #[test]
    fn json_keeps_types_and_gathers_items_in_a_list() {
        let expected = serde_json::json!({
            "size": 1, "allowSync": true,
            "Metadata": [{"ratingKey": "7", "year": 1995, "Part": [{"file": "/a & \"b\".mkv"}]}],
        });
        assert_eq!(film().to_json(), expected);
    }
}
