//! Bodies of answers: taken in as they stream, up to a limit, and shown in part only.

use secrecy::SecretString;

use super::exposed;

/// No answer may be larger, unpacked.
pub(super) const LIMIT: usize = 64 << 20;

/// How much of a bad answer is shown.
const EXCERPT: usize = 60;

/// Why a body isn't there.
pub(super) enum Problem {
    TooLarge,
    TimedOut(reqwest::Error),
    Cut(reqwest::Error),
}

/// Takes in a body to its end.
pub(super) async fn whole(mut response: reqwest::Response) -> Result<Vec<u8>, Problem> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    if announced > LIMIT {
        return Err(Problem::TooLarge);
    }
    let mut body = Vec::with_capacity(announced);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > LIMIT => return Err(Problem::TooLarge),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(Problem::TimedOut(error.without_url())),
            Err(error) => return Err(Problem::Cut(error.without_url())),
        }
    }
}

/// True for HTML.
pub(super) fn is_web_page(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    ["<!doctype html", "<html"]
        .iter()
        .any(|tag| body.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes())))
}

/// The beginning of a body on one line, without the token.
pub(super) fn excerpt(body: &[u8], token: Option<&SecretString>) -> String {
    // Cut after the token is blanked: half a token would not be found.
    let mut text = String::from_utf8_lossy(&body[..body.len().min(4096)]).into_owned();
    if let Some(token) = token.map(exposed).filter(|token| !token.is_empty()) {
        text = text.replace(token, "***");
    }
    let line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let words: Vec<&str> = line.split_whitespace().collect();
    let short: String = words.join(" ").chars().take(EXCERPT).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_page_is_told_from_what_servers_answer() {
        for page in ["<!DOCTYPE html><html>", "\n <html lang=\"en\">", "<HTML>"] {
            assert!(is_web_page(page.as_bytes()), "{page}");
        }
        for answer in ["", "{}", "<?xml version=\"1.0\"?><MediaContainer/>", "<MediaContainer size=\"0\"/>", "<ht"] {
            assert!(!is_web_page(answer.as_bytes()), "{answer}");
        }
    }

    #[test]
    fn an_excerpt_is_short_on_one_line_and_without_the_token() {
        let token = SecretString::from("s3cret-token\n");
        let shown =
            excerpt(b"<html>\n <b>s3cret-token</b>\x1b[31m and a lot of other text that nobody needs", Some(&token));
        assert_eq!(shown, "\"<html> <b>***</b> [31m and a lot of other text that nobody n\"");
    }
}
