//! The command line of every binary. An empty environment variable is one that isn't set, as with every other variable of ours: manifests and
//! `.env` files leave them behind.

use std::ffi::OsStr;

use clap::{Command, Parser};

/// Reads the command line and the environment, or ends the process with what is wrong.
pub fn parse<C: Parser>() -> C {
    let command = without(C::command(), &|name| std::env::var_os(name).is_some_and(|value| value.is_empty()));
    let mut matches = command.clone().get_matches();
    C::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.format(&mut command.clone()).exit())
}

/// The command without the variables that are empty, its subcommands' too.
fn without(command: Command, empty: &dyn Fn(&OsStr) -> bool) -> Command {
    command
        .mut_args(|arg| if arg.get_env().is_some_and(empty) { arg.env(None::<&str>) } else { arg })
        .mut_subcommands(|subcommand| without(subcommand, empty))
}

#[cfg(test)]
mod tests {
    use clap::{Args, CommandFactory, FromArgMatches, Subcommand};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        /// In a test's environment, cargo sets it.
        #[arg(long, global = true, env = "CARGO_PKG_NAME")]
        name: Option<String>,
        #[command(subcommand)]
        verb: Verb,
    }

    #[derive(Debug, Subcommand)]
    enum Verb {
        Push(Push),
    }

    #[derive(Debug, Args)]
    struct Push {
        #[arg(long, env = "CARGO_PKG_VERSION", default_value = "none")]
        version: String,
    }

    fn read(empty: &dyn Fn(&OsStr) -> bool) -> (Option<String>, String) {
        let matches = without(Cli::command(), empty).get_matches_from(["x", "push"]);
        let Cli { name, verb: Verb::Push(Push { version }) } = Cli::from_arg_matches(&matches).unwrap();
        (name, version)
    }

    #[test]
    fn an_empty_variable_isnt_set_at_the_top_and_below_a_verb() {
        let (name, version) = (env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        assert_eq!(read(&|_| false), (Some(name.clone()), version));
        assert_eq!(read(&|variable| variable == "CARGO_PKG_VERSION"), (Some(name), "none".to_owned()));
        assert_eq!(read(&|_| true), (None, "none".to_owned()));
    }
}
