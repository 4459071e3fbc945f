//! `why`: everything that is known of a title: what was agreed, what each server said, which rule decided, what was written or not.
//!
//! [`explain`] gathers · [`verdict`] says why a server was written to, or wasn't · [`text`] tells it to a person.

mod explain;
mod text;
mod verdict;

use anyhow::Result;
use watchstate_runtime::Exit;
use watchstate_store::Connection;
use watchstate_store::report::oddities::{self, Odd};

use crate::Misconfigured;
use crate::app::App;
use crate::args::WhyArgs;
use crate::command::{question, state};
use crate::output::{self, Sheet};

/// Titles that are explained at once.
const SHOWN: i64 = 5;

/// Explains the titles that were asked for.
pub async fn run(app: &App, args: &WhyArgs) -> Result<Exit> {
    let asked = question::read(&args.title)?;
    let mut connection = app.store.acquire().await?;
    let person = state::person(args.person.as_deref(), &mut connection).await?;
    let (found, total) = question::find(&args.title, &asked, SHOWN, &mut connection).await?;
    if found.is_empty() {
        return Err(nothing(&args.title, &mut connection).await?.into());
    }
    let explained = explain::all(app, found, total, person, &mut connection).await?;
    output::print(app.format, &explained, |explained| vec![Sheet::default().remark(text::of(explained).trim_end())])?;
    Ok(Exit::Done)
}

/// Why nothing was found.
async fn nothing(text: &str, connection: &mut Connection) -> Result<Misconfigured> {
    let filter = oddities::Filter { name: Some(text.trim()), ..oddities::Filter::default() };
    let unmatched = oddities::list(connection, Odd::Unmatched, filter, 100).await?;
    Ok(Misconfigured(match unmatched.len() {
        0 => format!("no title matches {text:?}; see `state --title` for what is known"),
        count => format!(
            "no title matches {text:?}, but {count} items of that name couldn't be matched to any title; see `state --unmatched --title {text:?}`"
        ),
    }))
}
