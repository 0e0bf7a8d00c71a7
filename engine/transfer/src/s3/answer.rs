//! What answers of a store mean: XML errors, and what can be done about them.

use reqwest::header::HeaderMap;

use crate::Kind;
use crate::object::Refused;
use crate::object::answer::{Answer, tag};

/// What an answer that is no success means.
pub(super) fn refused(answer: &Answer<'_>) -> Refused {
    let code = tag(answer.text, "Code");
    let mut reason = answer.reason(code.as_deref());
    if let Some(message) = tag(answer.text, "Message") {
        reason.push_str(&format!(" ({message})"));
    }
    let kind = match (code.as_deref().unwrap_or_default(), answer.status.as_u16()) {
        ("RequestTimeTooSkewed", _) => {
            reason.push_str("; check the clock of this machine");
            answer.temporary()
        }
        ("InvalidObjectState", _) => {
            reason.push_str("; it is archived, and has to be restored there first");
            Kind::Permanent
        }
        ("InvalidAccessKeyId" | "SignatureDoesNotMatch", _)
        | ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _)
        | (_, 401 | 403) => {
            reason.push_str(answer.denied());
            Kind::Auth
        }
        ("RequestTimeout", _) => Kind::Broken,
        ("OperationAborted" | "ConditionalRequestConflict" | "SlowDown", _)
        | (_, 408 | 423 | 425 | 429 | 500..=599) => answer.temporary(),
        (_, 404 | 410) => Kind::NotFound,
        _ => Kind::Permanent,
    };
    answer.refused(kind, reason, code)
}

/// The region a bucket is in, where the server says so.
pub(super) fn region(headers: &HeaderMap, text: &str) -> Option<String> {
    let said = headers
        .get("x-amz-bucket-region")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
        .or_else(|| tag(text, "Region"))?;
    let by_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (!said.is_empty() && said.chars().all(by_name)).then_some(said)
}

/// The namespace of S3's answers.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The answer with the namespace the parser expects: some stores have another, or none.
pub(super) fn with_namespace(text: &str) -> String {
    let start = |at: usize| text[at..].find('<').map(|found| at + found);
    let Some(mut root) = start(0) else {
        return text.to_owned();
    };
    // `<?xml …?>` and comments come first.
    while text[root..].starts_with("<?") || text[root..].starts_with("<!") {
        match start(root + 1) {
            Some(next) => root = next,
            None => return text.to_owned(),
        }
    }
    let Some(end) = text[root..].find('>').map(|found| root + found) else {
        return text.to_owned();
    };
    let opening = text[root..end].trim_end_matches('/');
    let empty = if text[root..end].ends_with('/') {
        "/"
    } else {
        ""
    };
    let name = opening.split_whitespace().next().unwrap_or(opening);
    format!(
        "{}{name} xmlns=\"{NAMESPACE}\"{empty}{}",
        &text[..root],
        &text[end..]
    )
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::{Answer, Refused, refused, region, with_namespace};
    use crate::Kind;

    fn read(status: u16, text: &str, signed: bool) -> Refused {
        refused(&Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            text,
            what: "`s3://b/k`",
            signed,
        })
    }

    #[test]
    fn codes_mean_more_than_statuses() {
        let temporary = Kind::Temporary { retry_after: None };
        for (status, code, expected) in [
            (404, "NoSuchKey", Kind::NotFound),
            (404, "", Kind::NotFound),
            (403, "AccessDenied", Kind::Auth),
            (403, "", Kind::Auth),
            (403, "RequestTimeTooSkewed", temporary),
            (403, "InvalidObjectState", Kind::Permanent),
            (400, "ExpiredToken", Kind::Auth),
            (400, "RequestTimeout", Kind::Broken),
            (400, "EntityTooLarge", Kind::Permanent),
            (409, "OperationAborted", temporary),
            (503, "SlowDown", temporary),
            (500, "", temporary),
            (416, "InvalidRange", Kind::Permanent),
        ] {
            let text = match code {
                "" => String::new(),
                code => format!("<?xml version='1.0'?>\n<Error><Code>{code}</Code></Error>"),
            };
            assert_eq!(read(status, &text, true).error.kind(), expected, "{code}");
        }
    }

    #[test]
    fn what_the_server_says_is_told() {
        let text = "<Error><Code>AccessDenied</Code><Message>no &amp;\n no</Message></Error>";
        assert_eq!(
            read(403, text, false).error.to_string(),
            "`s3://b/k`: the server says 403 AccessDenied (no & no); there are no credentials for \
             it in credentials.conf"
        );
        assert_eq!(
            read(500, "<html>", true).error.to_string(),
            "`s3://b/k`: the server says 500 Internal Server Error"
        );
    }

    #[test]
    fn the_region_is_in_the_headers_or_the_text() {
        let headers =
            HeaderMap::from_iter([("x-amz-bucket-region", "eu-west-1")].map(|(name, value)| {
                let name = reqwest::header::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            }));
        assert_eq!(region(&headers, "").as_deref(), Some("eu-west-1"));
        let text = "<Error><Region>us-west-2</Region></Error>";
        assert_eq!(
            region(&HeaderMap::new(), text).as_deref(),
            Some("us-west-2")
        );
        let hostile = "<Error><Region>x.example/</Region></Error>";
        assert_eq!(region(&HeaderMap::new(), hostile), None);
    }

    #[test]
    fn any_namespace_will_do() {
        let expected = "<R xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
        for (text, head, tail) in [
            ("<R><a/></R>", "", "><a/></R>"),
            (
                "<?xml version=\"1.0\"?>\n<R xmlns='http://doc.s3.amazonaws.com/2006-03-01'></R>",
                "<?xml version=\"1.0\"?>\n",
                "></R>",
            ),
            ("<R/>", "", "/>"),
        ] {
            assert_eq!(with_namespace(text), format!("{head}{expected}{tail}"));
        }
        assert_eq!(with_namespace("nothing"), "nothing");
    }
}
