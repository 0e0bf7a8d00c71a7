//! What replies and broken connections mean.
//!
//! Reply codes say little (550 is anything from a missing file to a full disk), so words count where
//! the code alone would decide wrongly.

use suppaftp::types::Response;
use suppaftp::{FtpError, Status};

use crate::Error;

/// An operation that failed; `what` is what was attempted, with the path.
pub(super) fn of(error: FtpError, what: &str) -> Error {
    match error {
        FtpError::UnexpectedResponse(response) => of_response(&response, what),
        FtpError::ConnectionError(error) => {
            Error::broken(format!("{what}: the connection broke: {error}"))
        }
        FtpError::SecureError(why) => {
            Error::temporary(format!("{what}: no safe connection: {}", plain(&why)))
        }
        other => Error::broken(format!(
            "{what}: the server answers in a way nobody understands: {other}"
        )),
    }
}

/// The innermost words of a TLS failure: each layer puts the same prefix in front.
pub(super) fn plain(why: &str) -> &str {
    why.trim_start_matches("Secure error: ")
}

fn of_response(response: &Response, what: &str) -> Error {
    let said = said(response);
    let reason = format!("{what}: the server says {said}");
    match response.status {
        // It closes the control connection with these, or has closed the data connection.
        Status::NotAvailable | Status::TransferAborted | Status::CannotOpenDataConnection => {
            Error::broken(reason)
        }
        Status::NotLoggedIn | Status::InvalidCredentials | Status::StoringNeedAccount => {
            Error::auth(reason)
        }
        Status::BadCommand | Status::NotImplemented | Status::NotImplementedParameter => {
            Error::new(crate::Kind::Unsupported, reason)
        }
        Status::FileUnavailable | Status::BadFilename | Status::RequestFileActionIgnored => {
            of_words(&said, response.status, reason)
        }
        Status::ExceededStorage => Error::temporary(reason),
        status if (400..500).contains(&status.code()) => Error::temporary(reason),
        _ => Error::permanent(reason),
    }
}

fn of_words(said: &str, status: Status, reason: String) -> Error {
    const REFUSED: [&str; 5] = [
        "denied",
        "permission",
        "not permitted",
        "not allowed",
        "privilege",
    ];
    const LATER: [&str; 6] = [
        "in use",
        "being used",
        "busy",
        "locked",
        "no space",
        "quota",
    ];
    const OTHER: [&str; 5] = [
        "not empty",
        "not a regular",
        "not a plain",
        "is a directory",
        "not a directory",
    ];
    let said = said.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    // Permissions are given by people, as room is made: later may do.
    if has(&LATER) || has(&REFUSED) {
        Error::temporary(reason)
    } else if has(&OTHER) {
        Error::permanent(reason)
    } else if status == Status::RequestFileActionIgnored && !said.contains("no such") {
        Error::temporary(reason)
    } else {
        Error::not_found(reason)
    }
}

/// What the server said, on one line and not too long.
fn said(response: &Response) -> String {
    let text = String::from_utf8_lossy(&response.body);
    let line: String = text
        .lines()
        .next_back()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    format!("`{}`", line.trim())
}

#[cfg(test)]
mod tests {
    use suppaftp::types::Response;
    use suppaftp::{FtpError, Status};

    use super::of;
    use crate::Kind;

    #[test]
    fn replies_mean_what_can_be_done() {
        let temporary = Kind::Temporary { retry_after: None };
        for (code, words, expected) in [
            (550, "No such file or directory.", Kind::NotFound),
            (550, "Failed to open file.", Kind::NotFound),
            (550, "Permission denied.", temporary),
            (550, "Access is denied. ", temporary),
            (550, "Directory not empty.", Kind::Permanent),
            (
                550,
                "The process cannot access the file because it is being used.",
                temporary,
            ),
            (553, "Could not create file.", Kind::NotFound),
            (450, "No such file or directory", Kind::NotFound),
            (450, "Try later", temporary),
            (421, "Timeout", Kind::Broken),
            (426, "Data connection closed", Kind::Broken),
            (452, "Disk full", temporary),
            (552, "Quota exceeded", temporary),
            (530, "Login incorrect.", Kind::Auth),
            (502, "What?", Kind::Unsupported),
            (501, "What?", Kind::Permanent),
        ] {
            let body = format!("{code}-first\r\n{code} {words}\r\n").into_bytes();
            let error = of(
                FtpError::UnexpectedResponse(Response::new(Status::from(code), body)),
                "fetching `/x`",
            );
            assert_eq!(error.kind(), expected, "{code} {words}");
            assert_eq!(
                error.to_string(),
                format!("fetching `/x`: the server says `{code} {}`", words.trim())
            );
        }
    }
}
