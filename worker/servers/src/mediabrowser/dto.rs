//! Answers of Jellyfin and Emby, as far as they are read.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::lenient::{self, Scalar};

/// `/System/Info`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SystemInfo {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) server_name: String,
    pub(crate) version: String,
}

/// `/Users/Me`, an entry of `/Users`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct User {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) policy: Policy,
}

/// What a user may do.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Policy {
    pub(crate) is_administrator: bool,
}

/// `/Users/AuthenticateByName`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Login {
    pub(crate) user: User,
    pub(crate) access_token: String,
}

/// The libraries.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Views {
    pub(crate) items: Vec<ViewDto>,
}

/// A library.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ViewDto {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) collection_type: Option<String>,
    #[serde(default, rename = "Type")]
    pub(crate) kind: String,
}

/// A page of items.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Items<'a> {
    #[serde(borrow)]
    pub(crate) items: Vec<ItemDto<'a>>,
    pub(crate) total_record_count: Option<u64>,
}

/// An item.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ItemDto<'a> {
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(crate) id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "Type", deserialize_with = "lenient::text")]
    pub(crate) kind: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(crate) name: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(crate) series_id: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(crate) series_name: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "lenient::text")]
    pub(crate) path: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "lenient::number")]
    pub(crate) production_year: Option<i32>,
    #[serde(deserialize_with = "lenient::number")]
    pub(crate) parent_index_number: Option<u32>,
    #[serde(deserialize_with = "lenient::number")]
    pub(crate) index_number: Option<u32>,
    #[serde(deserialize_with = "lenient::number")]
    pub(crate) index_number_end: Option<u32>,
    #[serde(deserialize_with = "lenient::number")]
    pub(crate) run_time_ticks: Option<u64>,
    #[serde(deserialize_with = "lenient::iso")]
    pub(crate) date_created: Option<Timestamp>,
    #[serde(borrow)]
    pub(crate) provider_ids: ProviderIds<'a>,
    pub(crate) user_data: Option<UserData>,
}

/// The state of an item for a user.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct UserData {
    #[serde(deserialize_with = "lenient::flag")]
    pub(crate) played: Option<bool>,
    #[serde(deserialize_with = "lenient::number")]
    pub(crate) play_count: Option<u32>,
    #[serde(deserialize_with = "lenient::number")]
    pub(crate) playback_position_ticks: Option<u64>,
    #[serde(deserialize_with = "lenient::iso")]
    pub(crate) last_played_date: Option<Timestamp>,
}

/// `ProviderIds`: (name, value); null is none.
#[derive(Default)]
pub(crate) struct ProviderIds<'a>(pub(crate) Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for ProviderIds<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = ProviderIds<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("provider ids")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(ProviderIds::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(entries.size_hint().unwrap_or(4));
                while let Some((name, value)) = entries.next_entry::<Scalar<'de>, Scalar<'de>>()? {
                    if let (Some(name), Some(value)) = (name.into_text(), value.into_text()) {
                        pairs.push((name, value));
                    }
                }
                Ok(ProviderIds(pairs))
            }
        }
        deserializer.deserialize_any(Pairs)
    }
}

/// `/Sessions`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Session {
    pub(crate) user_id: Option<String>,
    #[serde(default)]
    pub(crate) additional_users: Option<Vec<SessionUser>>,
    pub(crate) now_playing_item: Option<NowPlaying>,
}

/// Somebody who watches along.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SessionUser {
    pub(crate) user_id: Option<String>,
}

/// What a session plays.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NowPlaying {
    pub(crate) id: String,
}
