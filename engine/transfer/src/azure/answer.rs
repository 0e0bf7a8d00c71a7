//! What answers of a store mean: its word for an error, and what can be done about it.

use flow_message::Timestamp;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::http::failure::retry_after;
use crate::s3::tag;
use crate::{Error, Kind};

/// A request that was not answered with a success.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: Error,
    /// Of the answer, if there was one.
    pub(super) status: Option<u16>,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

impl Refused {
    /// Without an answer.
    pub(super) fn of(error: Error) -> Self {
        Self {
            error,
            status: None,
        }
    }

    /// From an answer about `what`; `signed` says whether the request was.
    pub(super) fn read(
        status: StatusCode,
        headers: &HeaderMap,
        text: &str,
        what: &str,
        signed: bool,
    ) -> Self {
        // In the text as well, which an answer to HEAD has not.
        let code = headers
            .get("x-ms-error-code")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
            .or_else(|| tag(text, "Code"));
        let mut reason = format!("{what}: the server says {}", status.as_u16());
        match (&code, status.canonical_reason()) {
            (Some(code), _) => reason.push_str(&format!(" {code}")),
            (None, Some(words)) => reason.push_str(&format!(" {words}")),
            (None, None) => {}
        }
        let details = tag(text, "AuthenticationErrorDetail").unwrap_or_default();
        // How long a request is good for is what the server says when a clock is wrong.
        if details.contains("Request date header too old") {
            reason.push_str("; check the clock of this machine");
        }
        let temporary = Kind::Temporary {
            retry_after: retry_after(headers, Timestamp::from(jiff::Timestamp::now())),
        };
        let kind = match (code.as_deref().unwrap_or_default(), status.as_u16()) {
            ("BlobArchived" | "BlobBeingRehydrated", _) => {
                reason.push_str("; it is archived, and has to be rehydrated there first");
                Kind::Permanent
            }
            // What is not public is said not to be there to who does not say who it is.
            (
                "ResourceNotFound" | "PublicAccessNotPermitted" | "NoAuthenticationInformation",
                _,
            ) if !signed => {
                reason.push_str("; there are no credentials for it in credentials.conf");
                Kind::Auth
            }
            (_, 401 | 403) => {
                reason.push_str(match signed {
                    true => "; the credentials in credentials.conf were refused",
                    false => "; there are no credentials for it in credentials.conf",
                });
                Kind::Auth
            }
            ("LeaseIdMissing" | "ContainerBeingDeleted" | "LeaseAlreadyPresent", _)
            | (_, 408 | 425 | 429 | 500..=599) => temporary,
            (_, 404 | 410) => Kind::NotFound,
            _ => Kind::Permanent,
        };
        Self {
            error: Error::new(kind, reason),
            status: Some(status.as_u16()),
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::Refused;
    use crate::Kind;

    #[test]
    fn codes_mean_more_than_statuses() {
        let temporary = Kind::Temporary { retry_after: None };
        for (status, code, signed, expected) in [
            (404, "BlobNotFound", true, Kind::NotFound),
            (404, "ResourceNotFound", false, Kind::Auth),
            (404, "ResourceNotFound", true, Kind::NotFound),
            (403, "AuthenticationFailed", true, Kind::Auth),
            (409, "PublicAccessNotPermitted", false, Kind::Auth),
            (409, "BlobArchived", true, Kind::Permanent),
            (412, "LeaseIdMissing", true, temporary),
            (503, "ServerBusy", true, temporary),
            (400, "InvalidUri", true, Kind::Permanent),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let name = HeaderName::from_static("x-ms-error-code");
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(code))]);
            let refused = Refused::read(status, &headers, "", "`azure://a/c/k`", signed);
            assert_eq!(refused.error.kind(), expected, "{code}");
            let text = format!("<Error><Code>{code}</Code></Error>");
            let told = Refused::read(status, &HeaderMap::new(), &text, "`azure://a/c/k`", signed);
            assert_eq!(told.error, refused.error);
        }
    }
}
