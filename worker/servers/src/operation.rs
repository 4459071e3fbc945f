//! What is asked of a server: the words of metrics and of error messages, a closed set.

/// One thing that is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Login,
    Identify,
    Accounts,
    Open,
    Libraries,
    Counts,
    Items,
    ItemsById,
    Playing,
    MarkPlayed,
    MarkUnplayed,
    SetPosition,
    ClearPosition,
    Webhook,
}

impl Operation {
    /// The label in metrics and spans.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Identify => "identify",
            Self::Accounts => "accounts",
            Self::Open => "open",
            Self::Libraries => "libraries",
            Self::Counts => "counts",
            Self::Items => "items",
            Self::ItemsById => "items_by_id",
            Self::Playing => "playing",
            Self::MarkPlayed => "mark_played",
            Self::MarkUnplayed => "mark_unplayed",
            Self::SetPosition => "set_position",
            Self::ClearPosition => "clear_position",
            Self::Webhook => "webhook",
        }
    }

    /// True where an item is changed.
    pub(crate) const fn writes(self) -> bool {
        matches!(self, Self::MarkPlayed | Self::MarkUnplayed | Self::SetPosition | Self::ClearPosition)
    }

    /// The words for a person.
    pub(crate) const fn phrase(self) -> &'static str {
        match self {
            Self::Login => "logging in",
            Self::Identify => "asking who it is",
            Self::Accounts => "listing the accounts",
            Self::Open => "getting access for an account",
            Self::Libraries => "listing the libraries",
            Self::Counts => "counting a library",
            Self::Items => "reading a library",
            Self::ItemsById => "reading single items",
            Self::Playing => "asking what is playing",
            Self::MarkPlayed => "marking as played",
            Self::MarkUnplayed => "marking as unplayed",
            Self::SetPosition => "setting a position",
            Self::ClearPosition => "clearing a position",
            Self::Webhook => "setting the webhook up",
        }
    }
}
