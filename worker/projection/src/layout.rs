//! How secrets are laid out for a worker: one folder a server, whether a projected Secret volume or a folder on disk.
//!
//! `token`, or `username` and `password`; `ca.crt`; `webhook-token`; `users/<person>/token` and `…/pin`, where [`person_folder`] makes `<person>`
//! of the person's name, safe whatever the name is, and never the same for two persons.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// A Plex token, an API key, an access token.
pub const TOKEN: &str = "token";
/// The login's name.
pub const USERNAME: &str = "username";
/// The login's password.
pub const PASSWORD: &str = "password";
/// Certificates of a private authority, in PEM.
pub const CA_CRT: &str = "ca.crt";
/// The token that the server's webhook events carry: shown to whoever sets it up, never needed by a worker.
pub const WEBHOOK_TOKEN: &str = "webhook-token";
/// The PIN of an account in a Plex home.
pub const PIN: &str = "pin";
/// The folder of the persons' folders.
pub const USERS: &str = "users";

/// The file of a person's secret, relative to the server's folder: `users/anna/pin`.
pub fn of_person(person: &str, file: &str) -> String {
    format!("{USERS}/{}/{file}", person_folder(person))
}

/// Editors and `echo` end a file with a line break, which belongs to no token or password.
pub fn trimmed(text: &str) -> &str {
    text.trim_end_matches(['\n', '\r'])
}

/// All but `[A-Za-z0-9_.-]`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-');

/// File systems take 255 bytes.
const LONGEST: usize = 200;

/// The folder of a person: the name with every byte of its UTF-8 outside of `[A-Za-z0-9_.-]` as `%XX` in upper case, and a dot in front as
/// `%2E` (`Zoë` → `Zo%C3%AB`, `..` → `%2E.`). A name that becomes longer than 200 bytes that way: `%sha256-` and its SHA-256 in hexadecimal.
pub fn person_folder(person: &str) -> String {
    let encoded = utf8_percent_encode(person, ENCODED).to_string();
    let encoded = encoded.strip_prefix('.').map(|rest| format!("%2E{rest}")).unwrap_or(encoded);
    if encoded.len() <= LONGEST {
        return encoded;
    }
    let mut digest = "%sha256-".to_owned();
    for byte in Sha256::digest(person.as_bytes()) {
        // Writing to a String can't fail.
        write!(digest, "{byte:02x}").ok();
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_folder_holds_only_harmless_characters() {
        let long = "観".repeat(63);
        for (person, folder) in [
            ("anna", "anna"),
            ("Anna-Lena_2.0", "Anna-Lena_2.0"),
            ("Zoë", "Zo%C3%AB"),
            ("Mum & Dad", "Mum%20%26%20Dad"),
            ("100%", "100%25"),
            ("Zo%C3%AB", "Zo%25C3%25AB"),
            ("..", "%2E."),
            (".", "%2E"),
            (".hidden", "%2Ehidden"),
            ("../../etc", "%2E.%2F..%2Fetc"),
            ("a/b", "a%2Fb"),
            ("a\\b\0", "a%5Cb%00"),
            (&long, "%sha256-14944afa734199d930b193776d4ca2723da747ccf38da8bf4087a21131ca097f"),
        ] {
            assert_eq!(person_folder(person), folder, "{person:?}");
        }
    }
}
