//! Why an event of a webhook came to nothing, or must be looked up: what `inbox show` answers, and a label of metrics.

/// Why an event was put aside, said nothing new, or must be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It says what was known.
    AsKnown,
    /// Our own write came back.
    Echo,
    /// It came late.
    Late,
    /// A viewing begins.
    Begins,
    /// A position below the minimum.
    BelowMinimum,
    /// A position near the end.
    NearTheEnd,
    /// A position of a title that is played.
    PlayedHere,
    /// Positions are switched off.
    ProgressOff,
    /// The record is empty, and nobody emptied it.
    NothingLeft,
    /// A rating or a favourite.
    Rated,
    /// A test.
    Test,
    /// It lacks what would say what happened.
    Incomplete,
    /// No event of ours.
    NoBearing,
    /// A new item.
    New,
    /// The item isn't known at this server yet.
    NotKnown,
    /// It doesn't name the server that its token belongs to.
    OtherServer,
    /// It could be of several servers that share a token.
    Ambiguous,
    /// It is of an account that is nobody's.
    OtherUser,
    /// It names no account.
    NoUser,
    /// It names no film or episode.
    NoItem,
    /// The item's library doesn't take part.
    OtherLibrary,
    /// What this server tells isn't believed.
    NotBelieved,
    /// The server is suspended, or its events are switched off.
    Off,
    /// The server, or the account, has gone from the registry.
    Gone,
    /// The brake holds it.
    Brake,
    /// The server doesn't have the item (any more).
    NoSuchItem,
    /// The item carries nothing to match it by.
    NoIds,
    /// The server was read, and its record says what the event told.
    Read,
}

impl Reason {
    /// Every one.
    pub const ALL: [Self; 28] = [
        Self::AsKnown,
        Self::Echo,
        Self::Late,
        Self::Begins,
        Self::BelowMinimum,
        Self::NearTheEnd,
        Self::PlayedHere,
        Self::ProgressOff,
        Self::NothingLeft,
        Self::Rated,
        Self::Test,
        Self::Incomplete,
        Self::NoBearing,
        Self::New,
        Self::NotKnown,
        Self::OtherServer,
        Self::Ambiguous,
        Self::OtherUser,
        Self::NoUser,
        Self::NoItem,
        Self::OtherLibrary,
        Self::NotBelieved,
        Self::Off,
        Self::Gone,
        Self::Brake,
        Self::NoSuchItem,
        Self::NoIds,
        Self::Read,
    ];

    /// True where the event was understood and changes nothing, since all it says is known.
    pub const fn is_known(self) -> bool {
        matches!(self, Self::AsKnown | Self::Echo)
    }

    /// The word for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AsKnown => "as-known",
            Self::Echo => "echo",
            Self::Late => "late",
            Self::Begins => "begins",
            Self::BelowMinimum => "below-minimum",
            Self::NearTheEnd => "near-the-end",
            Self::PlayedHere => "played-here",
            Self::ProgressOff => "progress-off",
            Self::NothingLeft => "nothing-left",
            Self::Rated => "rated",
            Self::Test => "test",
            Self::Incomplete => "incomplete",
            Self::NoBearing => "no-bearing",
            Self::New => "new",
            Self::NotKnown => "not-known",
            Self::OtherServer => "other-server",
            Self::Ambiguous => "ambiguous",
            Self::OtherUser => "other-user",
            Self::NoUser => "no-user",
            Self::NoItem => "no-item",
            Self::OtherLibrary => "other-library",
            Self::NotBelieved => "not-believed",
            Self::Off => "off",
            Self::Gone => "gone",
            Self::Brake => "brake",
            Self::NoSuchItem => "no-such-item",
            Self::NoIds => "no-ids",
            Self::Read => "read",
        }
    }

    /// One sentence for a person.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AsKnown => "it says what was known already",
            Self::Echo => "our own write, told back",
            Self::Late => "it came late: the server has told newer things since",
            Self::Begins => "a viewing begins or goes on: what comes of it is told when it pauses or ends",
            Self::BelowMinimum => "no viewing yet: the position is below policy.progress.minimum",
            Self::NearTheEnd => "so near its end it counts as finished, which is told apart",
            Self::PlayedHere => "it is played here: the position of a re-watch does not travel",
            Self::ProgressOff => "positions are not synced: policy.progress.enabled is false",
            Self::NothingLeft => "nothing of the play is left, though nobody un-marked it: the next import reads it",
            Self::Rated => "ratings and favourites are not synced",
            Self::Test => "a test: it has arrived",
            Self::Incomplete => {
                "the template leaves out what says what happened: SaveReason and Played, or PlayedToCompletion and PlaybackPositionTicks"
            }
            Self::NoBearing => "this event has no bearing on what was watched",
            Self::New => "new at the server: it is read there",
            Self::NotKnown => "not known at this server yet: it is read there",
            Self::OtherServer => "it names another server than those that the token belongs to (webhook.matchServer)",
            Self::Ambiguous => {
                "several servers share this token, and it names none of them: was each of them contacted once? See `servers check`"
            }
            Self::OtherUser => "its account belongs to no person of this server's users (webhook.matchUser)",
            Self::NoUser => "it names no account; let the server send events with a user",
            Self::NoItem => "it names no film and no episode",
            Self::OtherLibrary => "its library does not take part (libraries.include, libraries.exclude)",
            Self::NotBelieved => "what this server says is not believed (import.enabled, import.mode)",
            Self::Off => "the server is suspended, or webhook.enabled is false",
            Self::Gone => "its server or account is no longer registered",
            Self::Brake => "too many un-plays at once: the brake holds it, see `held list`",
            Self::NoSuchItem => "the server does not have it (any more)",
            Self::NoIds => "it carries no id by which it could be matched",
            Self::Read => "its server was asked, and what it holds is known now",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.sentence())
    }
}
