//! A bucket as the place of backups. It speaks S3 by presigned requests: Amazon's service and all that do the same.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Certificate, Client, RequestBuilder};
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::Misconfigured;

/// What the address of a bucket begins with.
pub const SCHEME: &str = "s3://";
/// So long a request may be on its way.
const VALID: Duration = Duration::from_mins(15);
/// Connecting, and each pause in an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a bucket is reached. The names of the variables are those that other S3 clients read.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where --to is s3://bucket/prefix")]
pub struct BucketArgs {
    /// Where the service is [default: Amazon's]
    #[arg(long, env = "AWS_ENDPOINT_URL_S3", value_name = "URL")]
    pub s3_endpoint: Option<Url>,
    /// The bucket's region
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1", value_name = "REGION")]
    pub s3_region: String,
    /// The id of the access key
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide_env_values = true, value_name = "ID")]
    pub s3_access_key_id: Option<SecretString>,
    /// The access key
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true, value_name = "KEY")]
    pub s3_secret_access_key: Option<SecretString>,
    /// Certificates of a private authority that signed the service's, in PEM
    #[arg(long, env = "AWS_CA_BUNDLE", value_name = "FILE")]
    pub s3_ca: Option<PathBuf>,
}

/// The address of a bucket, where it is one; None: a folder.
pub fn address(to: &Path) -> Result<Option<&str>, Misconfigured> {
    let Some((to, (scheme, _))) = to.to_str().and_then(|to| Some((to, to.split_once("://")?))) else { return Ok(None) };
    if to.starts_with(SCHEME) {
        return Ok(Some(to));
    }
    Err(Misconfigured(format!(
        "--to: backups can't be sent by {scheme}; a folder, s3://bucket/prefix or - for standard output is expected"
    )))
}

/// A bucket, and what the names of its objects begin with.
pub struct Place {
    bucket: Bucket,
    prefix: String,
    credentials: Credentials,
    client: Client,
}

/// Without the credentials.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.bucket.name(), self.prefix)
    }
}

impl Place {
    /// The bucket behind `s3://bucket/prefix`.
    pub fn new(address: &str, args: &BucketArgs) -> Result<Self> {
        let wrong = |problem: String| Misconfigured(format!("--to {address}: {problem}"));
        let (name, prefix) = split(address).ok_or_else(|| wrong("s3://bucket/prefix is expected".to_owned()))?;
        let (Some(id), Some(key)) = (&args.s3_access_key_id, &args.s3_secret_access_key) else {
            return Err(wrong("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are needed".to_owned()).into());
        };
        // Services of one's own seldom have a host name for each bucket.
        let style = if args.s3_endpoint.is_some() { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let amazon = || Url::parse(&format!("https://s3.{}.amazonaws.com", args.s3_region));
        let endpoint = args.s3_endpoint.clone().map_or_else(amazon, Ok);
        let endpoint = endpoint.map_err(|_| wrong(format!("{:?} is no region", args.s3_region)))?;
        let bucket = Bucket::new(endpoint, style, name.to_owned(), args.s3_region.clone())
            .map_err(|error| wrong(error.to_string()))?;
        let mut client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE);
        if let Some(file) = &args.s3_ca {
            let pem = std::fs::read(file).map_err(|error| wrong(format!("{}: {error}", file.display())))?;
            let authorities = Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|found| !found.is_empty())
                .ok_or_else(|| wrong(format!("{} holds no certificate in PEM", file.display())))?;
            client = client.tls_certs_merge(authorities);
        }
        let client = client.build().context("no client for the bucket can be made")?;
        let credentials = Credentials::new(id.expose_secret(), key.expose_secret());
        Ok(Self { bucket, prefix, credentials, client })
    }

    /// Sends a file as the object of that name.
    pub async fn put(&self, file: &Path, name: &str, now: Timestamp) -> Result<()> {
        let content = tokio::fs::File::open(file).await.with_context(|| format!("{} can't be read", file.display()))?;
        let length = content.metadata().await.with_context(|| format!("{} can't be read", file.display()))?.len();
        let key = format!("{}{name}", self.prefix);
        let url = self.bucket.put_object(Some(&self.credentials), &key).sign_with_time(VALID, &now);
        let request = self.client.put(url).header(CONTENT_LENGTH, length).body(content);
        self.send(request, "the backup can't be sent").await.map(drop)
    }

    /// The names of the objects there, without the prefix.
    pub async fn names(&self, now: Timestamp) -> Result<Vec<String>> {
        let (mut names, mut next) = (Vec::new(), None::<String>);
        loop {
            let mut list = self.bucket.list_objects_v2(Some(&self.credentials));
            list.with_prefix(&*self.prefix);
            if let Some(next) = &next {
                list.with_continuation_token(&**next);
            }
            let answer =
                self.send(self.client.get(list.sign_with_time(VALID, &now)), "the bucket can't be listed").await?;
            let page = ListObjectsV2::parse_response(&answer)
                .with_context(|| format!("{self}: the service's list can't be read"))?;
            let found = page.contents.iter().filter_map(|object| object.key.strip_prefix(&self.prefix));
            names.extend(found.filter(|name| !name.contains('/')).map(str::to_owned));
            next = page.next_continuation_token;
            if next.is_none() {
                return Ok(names);
            }
        }
    }

    /// Removes an object.
    pub async fn remove(&self, name: &str, now: Timestamp) -> Result<()> {
        let key = format!("{}{name}", self.prefix);
        let url = self.bucket.delete_object(Some(&self.credentials), &key).sign_with_time(VALID, &now);
        self.send(self.client.delete(url), "an older backup can't be removed").await.map(drop)
    }

    /// Sends a request and reads the answer. No error shows the address, which carries the signature.
    async fn send(&self, request: RequestBuilder, failed: &'static str) -> Result<String> {
        let answer =
            request.send().await.map_err(reqwest::Error::without_url).with_context(|| format!("{self}: {failed}"))?;
        let status = answer.status();
        let body =
            answer.text().await.map_err(reqwest::Error::without_url).with_context(|| format!("{self}: {failed}"))?;
        if status.is_success() {
            return Ok(body);
        }
        let code = code(&body).unwrap_or("no reason given");
        if status.is_server_error() || status.as_u16() == 429 {
            bail!("{self}: {failed}: the service answered {status} ({code})");
        }
        let help = "see the bucket's name, region, endpoint and access key";
        Err(Misconfigured(format!("{self}: {failed}: the service answered {status} ({code}); {help}")).into())
    }
}

/// Bucket, and prefix with the `/` at its end.
fn split(address: &str) -> Option<(&str, String)> {
    let (name, prefix) = address.strip_prefix(SCHEME).map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
    let prefix = prefix.trim_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    (!name.is_empty()).then_some((name, prefix))
}

/// The word for the error. The rest of the answer may repeat what was signed.
fn code(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 64 && code.chars().all(char::is_alphanumeric)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_an_address_is_a_bucket_or_refused() {
        assert_eq!(address(Path::new("s3://home/deep")).unwrap(), Some("s3://home/deep"));
        for folder in ["backups", "/srv/backups", "ftp:", "./s3:/home"] {
            assert_eq!(address(Path::new(folder)).unwrap(), None, "{folder}");
        }
        for (wrong, scheme) in [("ftp://anna:hush@nas/x", "ftp"), ("S3://home", "S3"), ("file:///srv", "file")] {
            let told = address(Path::new(wrong)).unwrap_err().to_string();
            assert!(told.contains(&format!("by {scheme};")) && told.contains("s3://bucket/prefix"), "{told}");
            assert!(!told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn an_address_is_a_bucket_and_a_prefix() {
        for (address, expected) in [
            ("s3://home", Some(("home", ""))),
            ("s3://home/", Some(("home", ""))),
            ("s3://home/a/b", Some(("home", "a/b/"))),
            ("s3://home/a/b/", Some(("home", "a/b/"))),
            ("s3://", None),
            ("/home", None),
        ] {
            assert_eq!(split(address), expected.map(|(name, prefix)| (name, prefix.to_owned())), "{address}");
        }
    }

    #[test]
    fn only_the_word_of_an_error_is_shown() {
        let body = "<?xml?><Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIA1</AWSAccessKeyId></Error>";
        assert_eq!(code(body), Some("SignatureDoesNotMatch"));
        assert_eq!(code("<Code>AKIA1 said</Code>"), None);
        assert_eq!(code("<html>"), None);
    }
}
