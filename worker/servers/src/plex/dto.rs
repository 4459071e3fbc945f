//! Answers of Plex Media Server and of plex.tv, as far as they are read.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use crate::lenient;

/// Every answer of Plex Media Server.
#[derive(Deserialize)]
pub(super) struct Answered<T> {
    #[serde(rename = "MediaContainer")]
    pub(super) container: T,
}

/// `/`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Root {
    pub(super) machine_identifier: String,
    #[serde(default)]
    pub(super) friendly_name: String,
    pub(super) version: String,
    pub(super) my_plex_username: Option<String>,
}

/// `/library/sections`.
#[derive(Deserialize)]
pub(super) struct Sections<'a> {
    #[serde(borrow, default, rename = "Directory")]
    pub(super) directories: Vec<Section<'a>>,
}

/// A library.
#[derive(Deserialize)]
pub(super) struct Section<'a> {
    #[serde(borrow, default, deserialize_with = "lenient::text")]
    pub(super) key: Option<Cow<'a, str>>,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) title: String,
}

/// A page of items.
#[derive(Deserialize)]
pub(super) struct Items<'a> {
    #[serde(default, rename = "totalSize", deserialize_with = "lenient::number")]
    pub(super) total_size: Option<u64>,
    #[serde(default, rename = "librarySectionID", deserialize_with = "lenient::number")]
    pub(super) library_section_id: Option<i64>,
    #[serde(borrow, default, rename = "Metadata")]
    pub(super) metadata: Vec<Metadata<'a>>,
}

/// An item.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata<'a> {
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(super) rating_key: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type", deserialize_with = "lenient::text")]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(super) title: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(super) guid: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "Guid")]
    pub(super) guids: Vec<Guid<'a>>,
    #[serde(deserialize_with = "lenient::number")]
    pub(super) year: Option<i32>,
    #[serde(deserialize_with = "lenient::number")]
    pub(super) parent_index: Option<u32>,
    #[serde(deserialize_with = "lenient::number")]
    pub(super) index: Option<u32>,
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(super) grandparent_rating_key: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(super) grandparent_title: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(super) grandparent_guid: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "lenient::epoch")]
    pub(super) added_at: Option<Timestamp>,
    #[serde(deserialize_with = "lenient::epoch")]
    pub(super) updated_at: Option<Timestamp>,
    #[serde(deserialize_with = "lenient::epoch")]
    pub(super) last_viewed_at: Option<Timestamp>,
    #[serde(deserialize_with = "lenient::number")]
    pub(super) view_count: Option<u32>,
    #[serde(deserialize_with = "lenient::number")]
    pub(super) view_offset: Option<u64>,
    #[serde(deserialize_with = "lenient::number")]
    pub(super) duration: Option<u64>,
    #[serde(borrow, rename = "Media")]
    pub(super) media: Vec<Media<'a>>,
    #[serde(rename = "librarySectionID", deserialize_with = "lenient::number")]
    pub(super) library_section_id: Option<i64>,
    /// In `/status/sessions`: who plays it.
    #[serde(rename = "User")]
    pub(super) user: Option<SessionUser>,
}

/// An id in another catalogue.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Guid<'a> {
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(super) id: Option<Cow<'a, str>>,
}

/// A version of an item.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Media<'a> {
    #[serde(borrow, rename = "Part")]
    pub(super) parts: Vec<Part<'a>>,
}

/// A file.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Part<'a> {
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(super) file: Option<Cow<'a, str>>,
}

/// Who plays.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct SessionUser {
    #[serde(deserialize_with = "lenient::number")]
    pub(super) id: Option<i64>,
    pub(super) title: Option<String>,
}

/// plex.tv `/api/v2/user`.
#[derive(Deserialize)]
pub(super) struct TvUser {
    #[serde(default, deserialize_with = "lenient::number")]
    pub(super) id: Option<i64>,
    pub(super) title: Option<String>,
    pub(super) username: Option<String>,
}

/// plex.tv `/api/v2/home/users`.
#[derive(Deserialize)]
pub(super) struct Home {
    #[serde(default)]
    pub(super) users: Vec<HomeUser>,
}

/// A member of a Plex home.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HomeUser {
    #[serde(default, deserialize_with = "lenient::number")]
    pub(super) id: Option<i64>,
    #[serde(default)]
    pub(super) uuid: String,
    pub(super) title: Option<String>,
    pub(super) username: Option<String>,
    pub(super) friendly_name: Option<String>,
    /// A PIN is needed.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub(super) protected: Option<bool>,
}

/// plex.tv `/api/v2/home/users/{uuid}/switch`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Switched {
    pub(super) auth_token: String,
}

/// plex.tv `/api/v2/resources`: an entry.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    #[serde(default)]
    pub(super) client_identifier: String,
    pub(super) access_token: Option<String>,
}

/// plex.tv `/api/users` (XML).
#[derive(Deserialize)]
pub(super) struct Friends {
    #[serde(rename = "User", default)]
    pub(super) users: Vec<Friend>,
}

/// Somebody whom the owner shares with.
#[derive(Deserialize)]
pub(super) struct Friend {
    #[serde(rename = "@id")]
    pub(super) id: String,
    #[serde(rename = "@title", default)]
    pub(super) title: String,
    #[serde(rename = "@username", default)]
    pub(super) username: String,
}

/// plex.tv `/api/servers/{id}/shared_servers` (XML).
#[derive(Deserialize)]
pub(super) struct Shares {
    #[serde(rename = "SharedServer", default)]
    pub(super) shares: Vec<Share>,
}

/// A server as it is shared with somebody.
#[derive(Deserialize)]
pub(super) struct Share {
    #[serde(rename = "@userID")]
    pub(super) user_id: String,
    #[serde(rename = "@accessToken")]
    pub(super) access_token: Option<String>,
}
