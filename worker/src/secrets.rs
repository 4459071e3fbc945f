//! The folder of tokens: one folder a server. In a pod it is a projected Secret volume, without a cluster `apply` writes it.
//!
//! Its layout is that of [`watchstate_projection::layout`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use secrecy::SecretString;
use watchstate_servers::{AccountSecret, Credentials};
use watchstate_store::registry::Account;

mod write;

pub use watchstate_projection::layout::{
    CA_CRT, PASSWORD, PIN, TOKEN, USERNAME, USERS, WEBHOOK_TOKEN, of_person, person_folder, trimmed,
};
pub use write::{keep_webhook_token, remove, write};

/// What a server is reached with.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Token or login, and the secrets of single accounts, by the account as configured.
    pub credentials: Credentials,
    /// Certificates of a private authority, in PEM.
    pub ca_pem: Option<Vec<u8>>,
}

/// The secrets of a server by their file, relative to the server's folder: `token`, `users/anna/pin`.
pub type Held = BTreeMap<String, SecretString>;

/// What a server's folder shall hold, and nothing else: by file as in [`Held`]; None: the file that is there stays as it is.
pub type WantedSecrets = BTreeMap<String, Option<SecretString>>;

/// A folder of secrets can't be read or written. Says where, never what was in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The name would lead elsewhere.
    #[error(
        "server {server:?}: the name can't be a folder's: letters, digits, '-', '_' and '.' are expected, and no '.' in front"
    )]
    Name {
        /// The name.
        server: String,
    },
    /// Nothing to reach the server with.
    #[error(
        "server {server}: there is no token at {} (nor {USERNAME} and {PASSWORD} beside it): apply the MediaServer together with its Secret, \
         or name the folder that has them with --tokens", expected.display()
    )]
    NoCredentials {
        /// The server.
        server: String,
        /// Where the token was expected.
        expected: PathBuf,
    },
    /// One half of a login.
    #[error("server {server}: {} is missing: a login needs both {USERNAME} and {PASSWORD}", expected.display())]
    HalfALogin {
        /// The server.
        server: String,
        /// The missing half.
        expected: PathBuf,
    },
    /// A file holds nothing.
    #[error("server {server}: {} is empty: apply the MediaServer together with its Secret again", path.display())]
    Empty {
        /// The server.
        server: String,
        /// The file.
        path: PathBuf,
    },
    /// A file is no text.
    #[error("server {server}: {} is no text in UTF-8", path.display())]
    NotText {
        /// The server.
        server: String,
        /// The file.
        path: PathBuf,
    },
    /// The system refused to read.
    #[error("server {server}: {} can't be read", path.display())]
    Read {
        /// The server.
        server: String,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refused to write.
    #[error("server {server}: {} can't be written", path.display())]
    Write {
        /// The server.
        server: String,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refused to remove.
    #[error("server {server}: {} can't be removed", path.display())]
    Remove {
        /// The server.
        server: String,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What `server` is reached with, and the secrets of those of `accounts` that have some.
///
/// # Errors
/// Neither a token nor a login is there, a file is empty or unreadable.
pub fn read(tokens: &Path, server: &str, accounts: &[Account]) -> Result<Secrets, SecretsError> {
    let folder = Folder::of(tokens, server)?;
    let token = folder.secret(TOKEN)?;
    let login = match (folder.text(USERNAME)?, folder.secret(PASSWORD)?) {
        (Some(username), Some(password)) => Some((username, password)),
        (None, None) => None,
        // A whole token needs no half a login.
        _ if token.is_some() => None,
        (username, _) => {
            let missing = if username.is_some() { PASSWORD } else { USERNAME };
            return Err(SecretsError::HalfALogin { server: server.to_owned(), expected: folder.path.join(missing) });
        }
    };
    if token.is_none() && login.is_none() {
        return Err(SecretsError::NoCredentials { server: server.to_owned(), expected: folder.path.join(TOKEN) });
    }
    let mut secrets = BTreeMap::new();
    for account in accounts {
        let token = folder.secret(&of_person(&account.person, TOKEN))?;
        let pin = folder.secret(&of_person(&account.person, PIN))?;
        if token.is_some() || pin.is_some() {
            secrets.insert(account.configured.clone(), AccountSecret { token, pin });
        }
    }
    let ca_pem = folder.bytes(CA_CRT)?;
    Ok(Secrets { credentials: Credentials { token, login, accounts: secrets }, ca_pem })
}

/// All secrets of a server that are there, empty files left out. Bytes that are no text are replaced: the result is for comparing only.
///
/// # Errors
/// The folder or a file in it can't be read.
pub fn held(tokens: &Path, server: &str) -> Result<Held, SecretsError> {
    let folder = Folder::of(tokens, server)?;
    let mut held = Held::new();
    for file in folder.files()? {
        match folder.bytes(&file) {
            Ok(Some(bytes)) => {
                held.insert(file, SecretString::from(trimmed(&String::from_utf8_lossy(&bytes))));
            }
            Ok(None) | Err(SecretsError::Empty { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}

/// The token of a server's webhook, where it is kept here.
///
/// # Errors
/// The file can't be read, or holds no text.
pub fn webhook_token(tokens: &Path, server: &str) -> Result<Option<SecretString>, SecretsError> {
    Folder::of(tokens, server)?.secret(WEBHOOK_TOKEN)
}

/// The folder of one server.
struct Folder<'a> {
    server: &'a str,
    path: PathBuf,
}

impl<'a> Folder<'a> {
    fn of(tokens: &Path, server: &'a str) -> Result<Self, SecretsError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if server.is_empty() || server.starts_with('.') || !server.chars().all(fits) {
            return Err(SecretsError::Name { server: server.to_owned() });
        }
        Ok(Self { server, path: tokens.join(server) })
    }

    /// The files of the layout that are there, relative; other files are none of ours.
    fn files(&self) -> Result<Vec<String>, SecretsError> {
        let mut files: Vec<String> = [TOKEN, USERNAME, PASSWORD, CA_CRT, WEBHOOK_TOKEN].map(str::to_owned).into();
        for person in self.entries(Path::new(USERS))? {
            files.extend([TOKEN, PIN].map(|file| format!("{USERS}/{person}/{file}")));
        }
        files.retain(|file| self.path.join(file).exists());
        Ok(files)
    }

    /// The names in a folder; those that are no text are none of ours. Empty where there is no such folder.
    fn entries(&self, inside: &Path) -> Result<Vec<String>, SecretsError> {
        let path = self.path.join(inside);
        let unreadable = |source| SecretsError::Read { server: self.server.to_owned(), path: path.clone(), source };
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry.map_err(unreadable)?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn bytes(&self, file: &str) -> Result<Option<Vec<u8>>, SecretsError> {
        let path = self.path.join(file);
        match fs::read(&path) {
            Ok(bytes) if bytes.trim_ascii().is_empty() => {
                Err(SecretsError::Empty { server: self.server.to_owned(), path })
            }
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SecretsError::Read { server: self.server.to_owned(), path, source }),
        }
    }

    fn text(&self, file: &str) -> Result<Option<String>, SecretsError> {
        let Some(bytes) = self.bytes(file)? else { return Ok(None) };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(trimmed(&text).to_owned())),
            Err(_) => Err(SecretsError::NotText { server: self.server.to_owned(), path: self.path.join(file) }),
        }
    }

    fn secret(&self, file: &str) -> Result<Option<SecretString>, SecretsError> {
        Ok(self.text(file)?.map(SecretString::from))
    }
}

#[cfg(test)]
mod tests;
