//! Where a bucket is and who asks: what a URL and its line in `credentials.conf` say.
//!
//! Options of the line, as in sr3: `s3_endpoint` (a URL; without it Amazon's, or Google's for `gs:`),
//! `s3_session_token`, `s3_anonymous` (nothing is signed); and one more, `s3_region`.

use flow_config::Credential;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use rusty_s3::{Bucket, Credentials, UrlStyle};

use super::Regions;
use crate::object::Line;
use crate::{Error, Site};

/// The region of requests that name none.
const HOME: &str = "us-east-1";

/// A bucket, and the right to use it.
pub(super) struct Place {
    pub(super) bucket: Bucket,
    /// None: requests are not signed.
    pub(super) credentials: Option<Credentials>,
}

impl Place {
    pub(super) fn new(
        site: &Site,
        credential: Option<&Credential>,
        regions: &Regions,
    ) -> Result<Self, Error> {
        let line = Line { site, credential };
        let name = site.host.clone();
        if name.is_empty() {
            return Err(Error::config(format!("`{site}` names no bucket")));
        }
        let google = site.scheme != "s3";
        let learnt = regions
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(&name)
            .cloned();
        let endpoint = line.endpoint("s3_endpoint")?;
        let region = match (learnt.or_else(|| line.option("s3_region")), &endpoint) {
            (Some(region), _) => region,
            (None, Some(endpoint)) => region_of(endpoint).unwrap_or(HOME).to_owned(),
            (None, None) if google => "auto".to_owned(),
            (None, None) => HOME.to_owned(),
        };
        let by_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !region.chars().all(by_name) {
            return Err(line.wrong("`s3_region` is no name of a region"));
        }
        // A certificate for `*.s3…` is not for names with more dots.
        let style = match endpoint.is_some() || google || name.contains(['.', '_']) {
            true => UrlStyle::Path,
            false => UrlStyle::VirtualHost,
        };
        let endpoint = match endpoint {
            Some(endpoint) => endpoint,
            None => official(google, &region)?,
        };
        let bucket = Bucket::new(endpoint, style, name, region)
            .map_err(|error| Error::config(format!("`{site}` makes no URL: {error}")))?;
        let credentials = credential
            .filter(|credential| credential.option("s3_anonymous").is_none())
            .and_then(|credential| {
                let secret = credential.password.as_ref()?.expose();
                let user = credential.user.clone();
                Some(match line.option("s3_session_token") {
                    None => Credentials::new(user, secret),
                    // Written percent-encoded, as it may hold any character.
                    Some(token) => {
                        let token = percent_decode_str(&token).decode_utf8_lossy();
                        Credentials::new_with_token(user, secret, token)
                    }
                })
            });
        Ok(Self {
            bucket,
            credentials,
        })
    }
}

/// The service's own address.
fn official(google: bool, region: &str) -> Result<Url, Error> {
    let text = if google {
        "https://storage.googleapis.com".to_owned()
    } else {
        let country = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://s3.{region}.amazonaws.com{country}")
    };
    Url::parse(&text).map_err(|error| Error::config(format!("`{text}` is no URL: {error}")))
}

/// The region in the name of one of Amazon's endpoints.
fn region_of(endpoint: &Url) -> Option<&str> {
    let name = endpoint.host_str()?;
    let name = name.strip_suffix(".cn").unwrap_or(name);
    let region = name.strip_suffix(".amazonaws.com")?.rsplit('.').next()?;
    let region = region.strip_prefix("s3-").unwrap_or(region);
    (region != "s3").then_some(region)
}

#[cfg(test)]
mod tests {
    use flow_config::{Credentials, SafeUrl};

    use super::{Place, Regions};
    use crate::Site;

    fn place(url: &str, line: &str, regions: &Regions) -> Result<Place, String> {
        let url = SafeUrl::parse(url).unwrap();
        let credentials = Credentials::parse("c".as_ref(), line).unwrap();
        let (site, _) = Site::of(&url).unwrap();
        Place::new(&site, credentials.find(&url), regions).map_err(|error| error.to_string())
    }

    fn address(url: &str, line: &str) -> String {
        let place = place(url, line, &Regions::default()).unwrap();
        format!("{} {}", place.bucket.object_url("k"), place.bucket.region())
    }

    #[test]
    fn buckets_are_where_the_line_says() {
        for (url, line, expected) in [
            (
                "s3://data/x",
                "",
                "https://data.s3.us-east-1.amazonaws.com/k us-east-1",
            ),
            (
                "s3://my.data/x",
                "s3://a:b@my.data/ s3_region=cn-north-1",
                "https://s3.cn-north-1.amazonaws.com.cn/my.data/k cn-north-1",
            ),
            (
                "s3://data/",
                "s3://a:b@data/ s3_endpoint=http://h:9000/base",
                "http://h:9000/base/data/k us-east-1",
            ),
            (
                "s3://data/",
                "s3://a:b@data/ s3_endpoint=https://s3.ca-central-1.amazonaws.com",
                "https://s3.ca-central-1.amazonaws.com/data/k ca-central-1",
            ),
            (
                "gs://data/",
                "",
                "https://storage.googleapis.com/data/k auto",
            ),
        ] {
            assert_eq!(address(url, line), expected);
        }
        let regions = Regions::default();
        regions
            .lock()
            .unwrap()
            .insert("data".into(), "eu-west-1".into());
        let far = place("s3://data/", "", &regions).unwrap();
        assert_eq!(far.bucket.region(), "eu-west-1");
    }

    #[test]
    fn lines_that_make_no_sense_are_named_without_their_values() {
        for (line, expected) in [
            (
                "s3://a:b@data/ s3_endpoint=ftp://h/",
                "credentials of `s3://data/`: `s3_endpoint` is no `http:` or `https:` URL",
            ),
            (
                "s3://a:b@data/ s3_region=a/b",
                "credentials of `s3://data/`: `s3_region` is no name of a region",
            ),
        ] {
            let error = place("s3://data/", line, &Regions::default()).err();
            assert_eq!(error.as_deref(), Some(expected));
        }
    }

    #[test]
    fn who_asks_is_in_the_line() {
        let who = |line: &str| {
            let place = place("s3://data/", line, &Regions::default()).unwrap();
            place.credentials.map(|credentials| {
                let token = credentials.token().unwrap_or("-");
                format!("{} {} {token}", credentials.key(), credentials.secret())
            })
        };
        assert_eq!(who("s3://AK:x%2Fy@data/").as_deref(), Some("AK x/y -"));
        assert_eq!(
            who("s3://AK:x@data/ s3_session_token=a%2Fb%3D").as_deref(),
            Some("AK x a/b=")
        );
        assert_eq!(who("s3://AK:x@data/ s3_anonymous"), None);
        assert_eq!(who(""), None);
    }
}
