//! The token of a request, and whose it is. Tokens are compared by their SHA-256, all of them in the same time whether one fits or none.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Longer ones are nobody's.
const LONGEST: usize = 1_024;

/// The token that a request bears: `?apikey=`, the header `X-apikey`, or `Authorization: Bearer`. None: it bears none.
pub fn offered(query: Option<&str>, headers: &HeaderMap) -> Option<SecretBox<[u8]>> {
    let of_query = || {
        let pairs = url::form_urlencoded::parse(query?.as_bytes());
        pairs.into_owned().find(|(name, _)| name.eq_ignore_ascii_case("apikey")).map(|(_, value)| value.into_bytes())
    };
    let of_header = || headers.get("x-apikey").map(|value| value.as_bytes().to_vec());
    let bearer = || {
        let value = headers.get(AUTHORIZATION)?.as_bytes();
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii().to_vec())
    };
    let token = of_header().or_else(of_query).or_else(bearer)?;
    (!token.is_empty() && token.len() <= LONGEST).then(|| SecretBox::new(token.into_boxed_slice()))
}

/// The tokens of all servers.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Vec<([u8; 32], Vec<i64>)>);

impl Tokens {
    /// The tokens' SHA-256, each with the servers that share it.
    pub fn new(tokens: impl IntoIterator<Item = (i64, Vec<u8>)>) -> Self {
        let mut all: Vec<([u8; 32], Vec<i64>)> = Vec::new();
        for (server, hash) in tokens {
            let Ok(hash) = <[u8; 32]>::try_from(hash) else { continue };
            match all.iter_mut().find(|(known, _)| *known == hash) {
                Some((_, servers)) => servers.push(server),
                None => all.push((hash, vec![server])),
            }
        }
        Self(all)
    }

    /// The servers whose token it is; None: nobody's.
    pub fn servers(&self, offered: Option<&SecretBox<[u8]>>) -> Option<&[i64]> {
        let hash: [u8; 32] = Sha256::digest(offered.map_or(&[][..], ExposeSecret::expose_secret)).into();
        self.with_hash(hash).filter(|_| offered.is_some())
    }

    fn with_hash(&self, offered: [u8; 32]) -> Option<&[i64]> {
        let mut found = u32::MAX;
        // No way out before the end: the time must not tell how far one got.
        for (place, (hash, _)) in (0_u32..).zip(&self.0) {
            let fits: Choice = hash.ct_eq(&offered);
            found.conditional_assign(&place, fits);
        }
        self.0.get(usize::try_from(found).ok()?).map(|(_, servers)| servers.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(token: &str) -> Vec<u8> {
        Sha256::digest(token.as_bytes()).to_vec()
    }

    type Case<'a> = (Option<&'a str>, &'a [(&'static str, &'a str)], Option<&'a str>);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_token_is_read_from_query_header_or_bearer() {
        let long = "x".repeat(LONGEST + 1);
        let cases: [Case<'_>; 12] = [
            (Some("apikey=abc"), &[], Some("abc")),
            (Some("x=1&apikey=a%2Bb"), &[], Some("a+b")),
            (Some("ApiKey=abc"), &[], Some("abc")),
            (None, &[("x-apikey", "abc")], Some("abc")),
            (None, &[("authorization", "Bearer abc")], Some("abc")),
            (None, &[("authorization", "bearer abc ")], Some("abc")),
            (None, &[("authorization", "Basic abc")], None),
            (None, &[("authorization", "Bear")], None),
            (Some("apikey="), &[], None),
            (Some("key=abc"), &[], None),
            (None, &[("x-apikey", &long)], None),
            (Some("apikey=other"), &[("x-apikey", "abc")], Some("abc")),
        ];
        for (query, pairs, expected) in cases {
            let token = offered(query, &headers(pairs));
            let token = token.as_ref().map(ExposeSecret::expose_secret);
            assert_eq!(token, expected.map(str::as_bytes), "{query:?} {pairs:?}");
        }
    }

    #[test]
    fn servers_may_share_a_token_and_no_other_fits() {
        let tokens = Tokens::new([(1, hash("one")), (2, hash("two")), (3, hash("one")), (4, b"short".to_vec())]);
        let of = |token: &str| tokens.servers(offered(Some(&format!("apikey={token}")), &HeaderMap::new()).as_ref());
        assert_eq!(of("one"), Some(&[1, 3][..]));
        assert_eq!(of("two"), Some(&[2][..]));
        assert_eq!(of("three"), None);
        assert_eq!(tokens.servers(None), None);
    }

    #[test]
    fn no_token_is_nobodys_even_if_somebody_has_an_empty_one() {
        assert_eq!(Tokens::new([(1, hash(""))]).servers(None), None);
    }
}
