//! The exit codes: what the `podFailurePolicy` of a Job, a shell script and the operator read from a run's end.

use std::fmt;
use std::process::ExitCode;

/// How a process ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Everything was done.
    #[default]
    Done = 0,
    /// Something failed that may go well the next time: a server was away, a write wasn't taken.
    TryAgain = 1,
    /// Only a person can help: a token was revoked, a URL leads elsewhere, an option is wrong. The Job fails at once.
    Configuration = 2,
    /// Nothing failed, but the brake holds a plan that waits for approval.
    Held = 3,
}

impl Exit {
    /// All of them, by code.
    pub const ALL: [Self; 4] = [Self::Done, Self::TryAgain, Self::Configuration, Self::Held];

    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The word for logs, the `run` table and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::TryAgain => "try_again",
            Self::Configuration => "configuration",
            Self::Held => "held",
        }
    }

    /// The exit of two pieces of work together. What needs a person beats what heals by itself; a failure beats a held plan, since the plan is
    /// also told by the run, the condition and the metric, and a failed server would be hidden.
    #[must_use]
    pub const fn combine(self, other: Self) -> Self {
        if self.weight() >= other.weight() { self } else { other }
    }

    const fn weight(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Held => 1,
            Self::TryAgain => 2,
            Self::Configuration => 3,
        }
    }
}

impl FromIterator<Self> for Exit {
    fn from_iter<I: IntoIterator<Item = Self>>(exits: I) -> Self {
        exits.into_iter().fold(Self::Done, Self::combine)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::TryAgain => "something failed; the next run tries again",
            Self::Configuration => "the configuration is wrong; trying again won't help",
            Self::Held => "held by the brake; waits for approval",
        })
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit::{Configuration, Done, Held, TryAgain};
    use super::*;

    #[test]
    fn two_exits_combine_by_what_a_person_must_hear_first() {
        let table = [
            (Done, Done, Done),
            (Done, Held, Held),
            (Done, TryAgain, TryAgain),
            (Done, Configuration, Configuration),
            (Held, Held, Held),
            (Held, TryAgain, TryAgain),
            (Held, Configuration, Configuration),
            (TryAgain, TryAgain, TryAgain),
            (TryAgain, Configuration, Configuration),
            (Configuration, Configuration, Configuration),
        ];
        for (one, other, both) in table {
            assert_eq!(one.combine(other), both, "{one:?} with {other:?}");
            assert_eq!(other.combine(one), both, "{other:?} with {one:?}");
        }
    }

    #[test]
    fn a_run_over_several_servers_ends_with_the_gravest_of_their_exits() {
        assert_eq!([Done, TryAgain, Configuration, Held].into_iter().collect::<Exit>(), Configuration);
        assert_eq!([Done, Held, Done].into_iter().collect::<Exit>(), Held);
        assert_eq!([].into_iter().collect::<Exit>(), Done);
    }

    #[test]
    fn the_codes_are_those_that_pod_failure_policies_name() {
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3]);
        for exit in Exit::ALL {
            assert_eq!(format!("{:?}", ExitCode::from(exit)), format!("{:?}", ExitCode::from(exit.code())));
        }
    }
}
