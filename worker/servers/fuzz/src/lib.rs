//! What the fuzz targets do with their bytes. The parser is picked by the body, so the targets differ in what they start with.

#[path = "../../src/notice/tests/sane.rs"]
mod sane;

use watchstate_servers::notice::{form_to_json, read};

/// Reads a body of JSON, and checks what is told.
pub fn read_json(body: &[u8]) {
    sane::check(&read(body));
}

/// Reads a body that is called a form, as the receiver does.
pub fn read_form(body: &[u8]) {
    let json = form_to_json(Some("application/x-www-form-urlencoded"), body);
    sane::check(&read(json.as_deref().unwrap_or(body)));
}
