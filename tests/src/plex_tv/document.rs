//! plex.tv's answers: JSON values, which the same routes write as XML where JSON is not asked for.

use http::{HeaderMap, StatusCode};
use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use serde_json::{Value, json};

use crate::http::Answer;
use crate::plex::{as_text, wants_json};

/// An answer and the name of its root element in XML.
pub(super) struct Document {
    pub(super) name: &'static str,
    pub(super) value: Value,
}

impl Document {
    /// In the format that the request asks for.
    pub(super) fn answer(&self, status: StatusCode, asked: &HeaderMap) -> Answer {
        if wants_json(asked) {
            return Answer::new(status, "application/json; charset=utf-8", self.value.to_string());
        }
        self.xml(status)
    }

    /// In XML whatever is asked for: routes of the first version know nothing else.
    pub(super) fn xml(&self, status: StatusCode) -> Answer {
        let mut writer = Writer::new(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_vec());
        match write(&mut writer, self.name, &self.value) {
            Ok(()) => Answer::new(status, "application/xml; charset=utf-8", writer.into_inner()),
            Err(error) => Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string()),
        }
    }
}

/// Objects become elements: what is plain becomes an attribute, lists become an element around one element for each
/// entry. In routes of the first version, names begin with a capital and lists have no element around them.
fn write(writer: &mut Writer<Vec<u8>>, name: &str, value: &Value) -> std::io::Result<()> {
    let mut start = BytesStart::new(name);
    let mut children: Vec<(&str, &Value)> = Vec::new();
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if value.is_object() || value.is_array() {
                    children.push((name, value));
                } else {
                    start.push_attribute((name.as_str(), as_text(value).as_str()));
                }
            }
        }
        Value::Array(entries) => children.extend(entries.iter().map(|entry| (singular(name), entry))),
        // A feature or role in a list is named by its id.
        plain if name == "feature" || name == "role" || name == "entitlement" => {
            start.push_attribute(("id", as_text(plain).as_str()));
        }
        plain => {
            writer.write_event(Event::Start(start))?;
            writer.write_event(Event::Text(BytesText::new(&as_text(plain))))?;
            return writer.write_event(Event::End(BytesEnd::new(name)));
        }
    }
    if children.is_empty() {
        return writer.write_event(Event::Empty(start));
    }
    writer.write_event(Event::Start(start))?;
    for (name, value) in children {
        match value {
            Value::Array(entries) if name.starts_with(char::is_uppercase) => {
                for entry in entries {
                    write(writer, name, entry)?;
                }
            }
            other => write(writer, name, other)?,
        }
    }
    writer.write_event(Event::End(BytesEnd::new(name)))
}

fn singular(name: &str) -> &str {
    name.strip_suffix('s').unwrap_or(name)
}

/// An error with plex.tv's own code; only 1000 and 1001 were seen at the real one.
pub(super) fn refuse(status: StatusCode, code: u32, message: &str, asked: &HeaderMap) -> Answer {
    let error = json!({"code": code, "message": message, "status": status.as_u16()});
    if wants_json(asked) {
        return Document { name: "errors", value: json!({"errors": [error]}) }.answer(status, asked);
    }
    Document { name: "errors", value: json!([error]) }.answer(status, asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(name: &str, value: &Value) -> String {
        let mut writer = Writer::new(Vec::new());
        write(&mut writer, name, value).unwrap();
        String::from_utf8(writer.into_inner()).unwrap()
    }

    #[test]
    fn lists_of_the_second_version_stand_in_an_element_of_their_own() {
        let value = json!({"id": 7, "home": true, "pin": null, "users": [{"id": 8}], "roles": ["plexpass"]});
        let expected = "<home home=\"1\" id=\"7\" pin=\"\"><roles><role id=\"plexpass\"/></roles>\
            <users><user id=\"8\"/></users></home>";
        assert_eq!(xml("home", &value), expected);
    }

    #[test]
    fn lists_of_the_first_version_stand_where_they_are() {
        let value = json!({"size": 1, "User": [{"id": 8, "Server": [{"id": 1}]}]});
        let expected = "<MediaContainer size=\"1\"><User id=\"8\"><Server id=\"1\"/></User></MediaContainer>";
        assert_eq!(xml("MediaContainer", &value), expected);
    }
}
