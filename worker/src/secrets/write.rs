//! Writing a server's folder: folders closed to others (0700), files closed to others (0600) and never half there.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::{Folder, SecretsError, USERS, WEBHOOK_TOKEN, WantedSecrets};

/// In front of the name of a file that isn't whole yet.
const UNFINISHED: &str = ".unfinished-";

/// Makes the folder of `server` hold what is wanted, and none of the layout's other files. Each file is there as a whole or not at all;
/// what is new stands before anything old goes.
///
/// # Errors
/// The folder or a file can't be written; what was written before stays.
pub fn write(tokens: &Path, server: &str, wanted: &WantedSecrets) -> Result<(), SecretsError> {
    let folder = Folder::of(tokens, server)?;
    close(&folder, &folder.path)?;
    for (file, secret) in wanted {
        let Some(secret) = secret else { continue };
        let path = folder.path.join(file);
        // Only folders below the server's: their names are person_folder's.
        for inside in
            path.ancestors().skip(1).take_while(|inside| *inside != folder.path).collect::<Vec<_>>().iter().rev()
        {
            close(&folder, inside)?;
        }
        replace(&path, secret.expose_secret().as_bytes()).map_err(|source| SecretsError::Write {
            server: server.to_owned(),
            path,
            source,
        })?;
    }
    clear(&folder, |file| wanted.contains_key(file))
}

/// Keeps the token of the server's webhook, beside whatever else is there.
///
/// # Errors
/// The file can't be written; an older one stays.
pub fn keep_webhook_token(tokens: &Path, server: &str, token: &SecretString) -> Result<(), SecretsError> {
    let folder = Folder::of(tokens, server)?;
    close(&folder, &folder.path)?;
    let path = folder.path.join(WEBHOOK_TOKEN);
    replace(&path, token.expose_secret().as_bytes()).map_err(|source| SecretsError::Write {
        server: server.to_owned(),
        path,
        source,
    })
}

/// Removes the secrets of `server`. No error where there are none.
///
/// # Errors
/// A file can't be removed.
pub fn remove(tokens: &Path, server: &str) -> Result<(), SecretsError> {
    let folder = Folder::of(tokens, server)?;
    clear(&folder, |_| false)?;
    if_there(&folder, &folder.path, |path| fs::remove_dir(path))
}

/// Makes the folder where there is none, and closes it to others.
fn close(folder: &Folder<'_>, path: &Path) -> Result<(), SecretsError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .map_err(|source| SecretsError::Write { server: folder.server.to_owned(), path: path.to_owned(), source })
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let inside = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file =
        tempfile::Builder::new().prefix(UNFINISHED).permissions(Permissions::from_mode(0o600)).tempfile_in(inside)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Removes the files that needn't stay, what a killed process left behind, and the folders of persons that are empty then.
fn clear(folder: &Folder<'_>, stays: impl Fn(&str) -> bool) -> Result<(), SecretsError> {
    for file in folder.files()?.iter().filter(|file| !stays(file)) {
        if_there(folder, &folder.path.join(file), |path| fs::remove_file(path))?;
    }
    let users = Path::new(USERS);
    let persons = folder.entries(users)?.into_iter().map(|person| users.join(person));
    let persons: Vec<_> = persons.filter(|person| folder.path.join(person).is_dir()).collect();
    for inside in persons.iter().map(AsRef::as_ref).chain([Path::new("")]) {
        for name in folder.entries(inside)?.iter().filter(|name| name.starts_with(UNFINISHED)) {
            if_there(folder, &folder.path.join(inside).join(name), |path| fs::remove_file(path))?;
        }
    }
    for inside in persons.iter().map(AsRef::as_ref).chain([users]) {
        if_there(folder, &folder.path.join(inside), |path| fs::remove_dir(path))?;
    }
    Ok(())
}

/// A folder that holds what isn't ours stays.
fn if_there(folder: &Folder<'_>, path: &Path, remove: impl Fn(&Path) -> io::Result<()>) -> Result<(), SecretsError> {
    match remove(path) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(SecretsError::Remove { server: folder.server.to_owned(), path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
