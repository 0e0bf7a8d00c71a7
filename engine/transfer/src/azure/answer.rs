//! What answers of a store mean: its word for an error, and what can be done about it.

use crate::Kind;
use crate::object::Refused;
use crate::object::answer::{Answer, tag};

/// What an answer that is no success means.
pub(super) fn refused(answer: &Answer<'_>) -> Refused {
    // In the text as well, which an answer to HEAD has not.
    let code = answer
        .headers
        .get("x-ms-error-code")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
        .or_else(|| tag(answer.text, "Code"));
    let mut reason = answer.reason(code.as_deref());
    let details = tag(answer.text, "AuthenticationErrorDetail").unwrap_or_default();
    // How long a request is good for is what the server says when a clock is wrong.
    if details.contains("Request date header too old") {
        reason.push_str("; check the clock of this machine");
    }
    let kind = match (code.as_deref().unwrap_or_default(), answer.status.as_u16()) {
        ("BlobArchived" | "BlobBeingRehydrated", _) => {
            reason.push_str("; it is archived, and has to be rehydrated there first");
            Kind::Permanent
        }
        // What is not public is said not to be there to who does not say who it is.
        ("ResourceNotFound" | "PublicAccessNotPermitted" | "NoAuthenticationInformation", _)
            if !answer.signed =>
        {
            reason.push_str(answer.denied());
            Kind::Auth
        }
        (_, 401 | 403) => {
            reason.push_str(answer.denied());
            Kind::Auth
        }
        ("LeaseIdMissing" | "ContainerBeingDeleted" | "LeaseAlreadyPresent", _)
        | (_, 408 | 425 | 429 | 500..=599) => answer.temporary(),
        (_, 404 | 410) => Kind::NotFound,
        _ => Kind::Permanent,
    };
    answer.refused(kind, reason, code)
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{Answer, refused};
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
            let name = HeaderName::from_static("x-ms-error-code");
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(code))]);
            let read = |headers: &HeaderMap, text: &str| {
                refused(&Answer {
                    status: StatusCode::from_u16(status).unwrap(),
                    headers,
                    text,
                    what: "`azure://a/c/k`",
                    signed,
                })
            };
            let refused = read(&headers, "");
            assert_eq!(refused.error.kind(), expected, "{code}");
            let text = format!("<Error><Code>{code}</Code></Error>");
            let told = read(&HeaderMap::new(), &text);
            assert_eq!(told.error, refused.error);
        }
    }
}
