//! How a call says who it comes from: the `Authorization` header of the `MediaBrowser` scheme and, where the server
//! still reads them, the older ways.

use percent_encoding::percent_decode_str;

use crate::http::Call;
use crate::world::Flavor;

/// What was said about the caller. The token is not verified yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub token: Option<String>,
    pub device: Device,
}

/// The caller's player.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Device {
    pub client: Option<String>,
    pub name: Option<String>,
    pub id: Option<String>,
    pub version: Option<String>,
}

impl Credentials {
    /// Reads headers and query. `legacy` is the server's setting `EnableLegacyAuthorization`; Emby has no such thing
    /// and reads everything.
    pub fn of(call: &Call, flavor: Flavor, legacy: bool) -> Self {
        let legacy = legacy || flavor.is_emby();
        let header = |name| call.header(name).filter(|value| !value.is_empty());
        let mut found = header("authorization").and_then(|value| Self::scheme(value, legacy)).unwrap_or_default();
        if legacy && let Some(older) = header("x-emby-authorization").and_then(|value| Self::scheme(value, true)) {
            found.token = found.token.or(older.token);
            if found.device == Device::default() {
                found.device = older.device;
            }
        }
        if legacy && found.token.is_none() {
            let sent = header("x-emby-token").or_else(|| header("x-mediabrowser-token"));
            found.token = sent.map(str::to_owned);
        }
        if found.token.is_none() {
            // Jellyfin reads `ApiKey` in exactly this spelling.
            let exact = call.query.iter().find(|(name, _)| name == "ApiKey").map(|(_, value)| value.as_str());
            let older = legacy.then(|| call.value("api_key")).flatten();
            found.token = exact.or(older).map(str::to_owned);
        }
        found.token = found.token.filter(|token| !token.is_empty());
        found
    }

    /// `MediaBrowser Client="…", Device="…", DeviceId="…", Version="…", Token="…"`; a comma too many is tolerated.
    fn scheme(header: &str, legacy: bool) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ')?;
        let known = scheme.eq_ignore_ascii_case("MediaBrowser") || (legacy && scheme.eq_ignore_ascii_case("Emby"));
        if !known {
            return None;
        }
        let mut found = Self::default();
        for part in split_outside_quotes(rest) {
            let Some((name, value)) = part.split_once('=') else { continue };
            let value = percent_decode_str(value.trim().trim_matches('"')).decode_utf8_lossy().into_owned();
            let place = match name.trim().to_ascii_lowercase().as_str() {
                "token" => &mut found.token,
                "client" => &mut found.device.client,
                "device" => &mut found.device.name,
                "deviceid" => &mut found.device.id,
                "version" => &mut found.device.version,
                _ => continue,
            };
            *place = Some(value);
        }
        Some(found)
    }
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let split = text.split(move |letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    });
    split.map(str::trim).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(call: &Call, flavor: Flavor) -> Option<String> {
        Credentials::of(call, flavor, flavor.accepts_legacy_authorization()).token
    }

    #[test]
    fn the_header_is_read_with_a_leading_comma_and_encoded_values() {
        let header =
            r#"MediaBrowser , Client="Jelly, Plex", Device="My%20script", DeviceId="d", Version="6.0", Token="t%2B1""#;
        let found = Credentials::of(&Call::get("/").with_header("Authorization", header), Flavor::Jellyfin12, false);
        assert_eq!(found.token.as_deref(), Some("t+1"));
        assert_eq!(found.device.client.as_deref(), Some("Jelly, Plex"));
        assert_eq!(found.device.name.as_deref(), Some("My script"));
    }

    #[test]
    fn older_ways_are_read_by_emby_and_by_jellyfin_before_12() {
        let older = [
            Call::get("/").with_header("X-Emby-Token", "t"),
            Call::get("/").with_header("X-MediaBrowser-Token", "t"),
            Call::get("/").with_header("X-Emby-Authorization", r#"MediaBrowser Token="t""#),
            Call::get("/").with_header("Authorization", r#"Emby UserId="u", Token="t""#),
            Call::get("/?api_key=t"),
        ];
        for call in &older {
            for flavor in [Flavor::Emby48, Flavor::Emby49, Flavor::Jellyfin1010, Flavor::Jellyfin1011] {
                assert_eq!(token(call, flavor).as_deref(), Some("t"), "{flavor:?} {call:?}");
            }
            assert_eq!(token(call, Flavor::Jellyfin12), None, "{call:?}");
        }
        assert_eq!(token(&Call::get("/?ApiKey=t"), Flavor::Jellyfin12).as_deref(), Some("t"));
    }
}
