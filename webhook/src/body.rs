//! From a request's body to the JSON of its event, whatever the server wraps it in. Pictures are read past and never kept.

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

/// The longest text of an event; real ones have a few KiB.
const LONGEST_EVENT: usize = 1024 * 1024;
/// What is read past of a body that is too large.
const MOST_READ_PAST: usize = 16 * 1024 * 1024;
/// Parts of a form; real ones have two.
const MOST_PARTS: usize = 16;
/// The parts that hold an event: Plex, Emby.
const FIELDS: [&str; 2] = ["payload", "data"];

/// Why a body can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More than is taken.
    #[error("the body is too large")]
    TooLarge,
    /// Cut off, or not what its headers say.
    #[error("the body is cut off, or isn't the form that its Content-Type says")]
    Broken,
    /// A form without an event in it.
    #[error("the form holds no event: a part named payload (Plex) or data (Emby) is expected")]
    NoEvent,
}

/// Reads a body of at most `limit` bytes.
pub async fn read(content_type: Option<&str>, body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut stream = body.into_data_stream();
    let read = match content_type.map(multer::parse_boundary) {
        Some(Ok(boundary)) => form(boundary, &mut stream, limit).await,
        _ => whole(&mut stream, limit.min(LONGEST_EVENT)).await,
    };
    if read == Err(BodyError::TooLarge) {
        // Whoever is still sending hears no answer: a connection that is closed on them is all they would see.
        let mut passed = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            passed += chunk.len();
            if passed > MOST_READ_PAST {
                break;
            }
        }
    }
    read
}

async fn whole(stream: &mut BodyDataStream, limit: usize) -> Result<Bytes, BodyError> {
    let mut all = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        if all.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge);
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

async fn form(boundary: String, stream: &mut BodyDataStream, limit: usize) -> Result<Bytes, BodyError> {
    let limits = multer::SizeLimit::new().whole_stream(limit as u64);
    let constraints = multer::Constraints::new().size_limit(limits);
    let mut parts = multer::Multipart::with_constraints(stream, boundary, constraints);
    let mut event = None;
    for _ in 0..MOST_PARTS {
        let Some(mut part) = parts.next_field().await.map_err(wrong)? else {
            return event.ok_or(BodyError::NoEvent);
        };
        let wanted = event.is_none() && part.name().is_some_and(|name| FIELDS.contains(&name));
        let mut text = BytesMut::new();
        while let Some(chunk) = part.chunk().await.map_err(wrong)? {
            if !wanted {
                continue;
            }
            if text.len() + chunk.len() > LONGEST_EVENT {
                return Err(BodyError::TooLarge);
            }
            text.extend_from_slice(&chunk);
        }
        if wanted {
            event = Some(text.freeze());
        }
    }
    Err(BodyError::Broken)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn wrong(error: multer::Error) -> BodyError {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => BodyError::TooLarge,
        _ => BodyError::Broken,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDARY: &str = "multipart/form-data; boundary=X";

    async fn text(content_type: Option<&str>, body: impl Into<Body>) -> Result<String, BodyError> {
        let bytes = read(content_type, body.into(), 100_000).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn part(name: &str, content: &str) -> String {
        format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    }

    #[tokio::test]
    async fn an_event_is_found_in_every_wrapping() {
        let picture = part("thumb", &"x".repeat(50_000));
        let cases = [
            (None, "{}".to_owned(), Ok("{}")),
            (Some("text/plain; charset=utf-8"), "{}".to_owned(), Ok("{}")),
            (Some("application/json"), String::new(), Ok("")),
            (Some(BOUNDARY), format!("{}{picture}--X--\r\n", part("payload", "{1}")), Ok("{1}")),
            (Some(BOUNDARY), format!("{picture}{}--X--\r\n", part("payload", "{1}")), Ok("{1}")),
            (Some(BOUNDARY), format!("{}--X--\r\n", part("data", "{2}")), Ok("{2}")),
            (Some(BOUNDARY), format!("{picture}--X--\r\n"), Err(BodyError::NoEvent)),
            (Some(BOUNDARY), part("payload", "{1}"), Err(BodyError::Broken)),
            (Some(BOUNDARY), String::new(), Err(BodyError::Broken)),
            (Some(BOUNDARY), part("thumb", &"x".repeat(200_000)), Err(BodyError::TooLarge)),
            (None, "x".repeat(200_000), Err(BodyError::TooLarge)),
        ];
        for (content_type, body, expected) in cases {
            let start: String = body.chars().take(80).collect();
            assert_eq!(text(content_type, body).await, expected.map(str::to_owned), "{content_type:?} {start:?}");
        }
    }

    #[tokio::test]
    async fn a_form_of_endless_parts_is_given_up() {
        let body = part("other", "x").repeat(100);
        assert_eq!(text(Some(BOUNDARY), body).await, Err(BodyError::Broken));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), form in any::<bool>()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(read(form.then_some(BOUNDARY), Body::from(bytes.clone()), 1_000));
            if !form {
                prop_assert_eq!(read.is_ok(), bytes.len() <= 1_000);
            }
        }
    }
}
