//! Prints the custom resource definitions, or writes each into its file, and its fields into its page: `crdgen [FOLDER [PAGES]]`.

use std::io::Write;
use std::path::Path;

use watchstate_crds::{definitions, page_file, renew_page, to_yaml};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut folders = std::env::args_os().skip(1);
    let (folder, pages) = (folders.next(), folders.next());
    for (file, definition) in definitions() {
        let yaml = to_yaml(&definition)?;
        match &folder {
            Some(folder) => std::fs::write(Path::new(folder).join(file), yaml)?,
            None => write!(std::io::stdout(), "---\n{yaml}")?,
        }
        if let Some(pages) = &pages {
            let page = Path::new(pages).join(page_file(&definition));
            let text = std::fs::read_to_string(&page)?;
            std::fs::write(&page, renew_page(&text, &definition)?)?;
        }
    }
    Ok(())
}
