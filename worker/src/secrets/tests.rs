//! The folder of tokens on a real file system: what is read, who may read it, what goes and what stays.

use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;

fn account(person: &str, configured: &str) -> Account {
    Account {
        id: 1,
        server_id: 1,
        person_id: 1,
        person: person.to_owned(),
        configured: configured.to_owned(),
        remote_id: None,
        remote_name: None,
    }
}

fn wanted(files: &[(&str, &str)]) -> WantedSecrets {
    files.iter().map(|(file, secret)| ((*file).to_owned(), Some(SecretString::from(*secret)))).collect()
}

fn put(tokens: &TempDir, file: &str, content: impl AsRef<[u8]>) {
    let path = tokens.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// All that is in a folder, with its permissions.
fn tree(at: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut left = vec![at.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            found.push((path.strip_prefix(at).unwrap().display().to_string(), metadata.permissions().mode() & 0o777));
            if metadata.is_dir() {
                left.push(path);
            }
        }
    }
    found.sort();
    found
}

fn plain(secret: Option<&SecretString>) -> Option<&str> {
    secret.map(ExposeSecret::expose_secret)
}

#[test]
fn what_was_written_is_read_back_by_the_account_as_configured() {
    let tokens = TempDir::new().unwrap();
    let pin = of_person("Zoë & Co/..", PIN);
    let ben = of_person("..", TOKEN);
    write(tokens.path(), "plex", &wanted(&[("token", "t"), ("ca.crt", "PEM"), (&pin, "4711"), (&ben, "b")])).unwrap();
    let accounts = [account("Zoë & Co/..", "Zoe"), account("..", "ben@home.example"), account("carl", "Carl")];
    let secrets = read(tokens.path(), "plex", &accounts).unwrap();
    assert_eq!(plain(secrets.credentials.token.as_ref()), Some("t"));
    assert_eq!(secrets.ca_pem.as_deref(), Some(&b"PEM"[..]));
    let found: Vec<_> = secrets
        .credentials
        .accounts
        .iter()
        .map(|(account, secret)| (account.as_str(), plain(secret.token.as_ref()), plain(secret.pin.as_ref())))
        .collect();
    assert_eq!(found, [("Zoe", None, Some("4711")), ("ben@home.example", Some("b"), None)]);
}

#[test]
fn a_line_break_at_the_end_belongs_to_no_secret_and_blanks_do() {
    let tokens = TempDir::new().unwrap();
    put(&tokens, "emby/username", "root\n");
    put(&tokens, "emby/password", " pass word \r\n");
    let (username, password) = read(tokens.path(), "emby", &[]).unwrap().credentials.login.unwrap();
    assert_eq!((username.as_str(), password.expose_secret()), ("root", " pass word "));
}

#[test]
fn folders_and_files_are_closed_to_others() {
    let outer = TempDir::new().unwrap();
    let tokens = outer.path().join("data/tokens");
    write(&tokens, "plex", &wanted(&[("token", "t"), ("users/anna/pin", "1")])).unwrap();
    fs::set_permissions(tokens.join("plex"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(tokens.join("plex/token"), fs::Permissions::from_mode(0o644)).unwrap();
    write(&tokens, "plex", &wanted(&[("token", "t2"), ("users/anna/pin", "1")])).unwrap();
    let expected = [
        ("data", 0o700),
        ("data/tokens", 0o700),
        ("data/tokens/plex", 0o700),
        ("data/tokens/plex/token", 0o600),
        ("data/tokens/plex/users", 0o700),
        ("data/tokens/plex/users/anna", 0o700),
        ("data/tokens/plex/users/anna/pin", 0o600),
    ];
    assert_eq!(tree(outer.path()), expected.map(|(path, mode)| (path.to_owned(), mode)));
}

#[test]
fn files_that_are_no_longer_wanted_go_and_those_without_a_new_value_stay() {
    let tokens = TempDir::new().unwrap();
    write(
        tokens.path(),
        "emby",
        &wanted(&[("token", "t"), ("ca.crt", "PEM"), ("users/anna/token", "a"), ("users/ben/token", "b")]),
    )
    .unwrap();
    put(&tokens, "emby/.unfinished-abc", "left by a killed process");
    put(&tokens, "emby/users/ben/.unfinished-abc", "left by a killed process");
    put(&tokens, "emby/notes.txt", "not ours");
    let mut login = wanted(&[("username", "root"), ("password", "p")]);
    login.insert("users/anna/token".to_owned(), None);
    write(tokens.path(), "emby", &login).unwrap();
    let files: Vec<String> = tree(tokens.path()).into_iter().map(|(path, _)| path).collect();
    let expected = [
        "emby",
        "emby/notes.txt",
        "emby/password",
        "emby/username",
        "emby/users",
        "emby/users/anna",
        "emby/users/anna/token",
    ];
    assert_eq!(files, expected);
    assert_eq!(plain(held(tokens.path(), "emby").unwrap().get("users/anna/token")), Some("a"));
}

#[test]
fn removing_takes_one_server_and_leaves_what_is_not_ours() {
    let tokens = TempDir::new().unwrap();
    for server in ["plex", "emby", "other"] {
        write(tokens.path(), server, &wanted(&[("token", "t"), ("users/anna/token", "a")])).unwrap();
    }
    put(&tokens, "emby/notes.txt", "not ours");
    for server in ["plex", "emby", "never-there"] {
        remove(tokens.path(), server).unwrap();
    }
    let files: Vec<String> = tree(tokens.path()).into_iter().map(|(path, _)| path).collect();
    let expected =
        ["emby", "emby/notes.txt", "other", "other/token", "other/users", "other/users/anna", "other/users/anna/token"];
    assert_eq!(files, expected);
}

#[test]
fn what_is_held_is_known_by_file_and_an_empty_file_counts_as_none() {
    let tokens = TempDir::new().unwrap();
    assert!(held(tokens.path(), "plex").unwrap().is_empty());
    put(&tokens, "plex/token", "t\n");
    put(&tokens, "plex/ca.crt", " \n");
    put(&tokens, "plex/users/anna/pin", "1");
    put(&tokens, "plex/users/README", "not ours");
    let held = held(tokens.path(), "plex").unwrap();
    let found: Vec<_> = held.iter().map(|(file, secret)| (file.as_str(), secret.expose_secret())).collect();
    assert_eq!(found, [("token", "t"), ("users/anna/pin", "1")]);
}

#[test]
fn the_links_of_a_projected_volume_are_followed() {
    let tokens = TempDir::new().unwrap();
    put(&tokens, "..2026_01_01/plex/token", "t");
    std::os::unix::fs::symlink("..2026_01_01", tokens.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/plex", tokens.path().join("plex")).unwrap();
    assert_eq!(plain(read(tokens.path(), "plex", &[]).unwrap().credentials.token.as_ref()), Some("t"));
}

#[test]
fn what_is_missing_is_told_with_server_and_path() {
    let tokens = TempDir::new().unwrap();
    put(&tokens, "half/username", "root");
    put(&tokens, "other-half/password", "hush-hush");
    put(&tokens, "empty/token", "\n");
    put(&tokens, "bytes/token", b"hush-hush\xff");
    put(&tokens, "folder/token/x", "");
    let cases = [
        ("gone", "server gone: there is no token at ", "gone/token"),
        ("half", "server half: ", "half/password is missing"),
        ("other-half", "server other-half: ", "other-half/username is missing"),
        ("empty", "server empty: ", "empty/token is empty"),
        ("bytes", "server bytes: ", "bytes/token is no text in UTF-8"),
        ("folder", "server folder: ", "folder/token can't be read"),
    ];
    for (server, begin, part) in cases {
        let error = read(tokens.path(), server, &[]).unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with(begin) && told.contains(part), "{told}");
        assert!(!format!("{told} {error:?}").contains("hush-hush"), "{error:?}");
    }
}

#[test]
fn half_a_login_does_not_matter_beside_a_token() {
    let tokens = TempDir::new().unwrap();
    put(&tokens, "emby/username", "root");
    put(&tokens, "emby/token", "t");
    let credentials = read(tokens.path(), "emby", &[]).unwrap().credentials;
    assert!(credentials.login.is_none() && credentials.token.is_some());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let outer = TempDir::new().unwrap();
    let tokens = outer.path().join("tokens");
    for name in ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\0", "a b"] {
        let refused = [
            read(&tokens, name, &[]).map(drop),
            held(&tokens, name).map(drop),
            write(&tokens, name, &wanted(&[("token", "t")])),
            remove(&tokens, name),
        ];
        assert!(refused.iter().all(|result| matches!(result, Err(SecretsError::Name { .. }))), "{name:?} {refused:?}");
    }
    assert!(tree(outer.path()).is_empty());
}

#[test]
fn no_secret_is_shown_by_debug() {
    let tokens = TempDir::new().unwrap();
    let secrets = wanted(&[("token", "hush"), ("username", "root"), ("password", "hush"), ("users/anna/pin", "hush")]);
    write(tokens.path(), "plex", &secrets).unwrap();
    let read = read(tokens.path(), "plex", &[account("anna", "Anna")]).unwrap();
    let held = held(tokens.path(), "plex").unwrap();
    assert!(!format!("{secrets:?} {read:?} {held:?}").contains("hush"));
}
