//! Prints the custom resource definitions, or writes each into its file: `crdgen [FOLDER]`.

use std::io::Write;
use std::path::Path;

use watchstate_crds::{definitions, to_yaml};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1);
    for (file, definition) in definitions() {
        let yaml = to_yaml(&definition)?;
        match &folder {
            Some(folder) => std::fs::write(Path::new(folder).join(file), yaml)?,
            None => write!(std::io::stdout(), "---\n{yaml}")?,
        }
    }
    Ok(())
}
