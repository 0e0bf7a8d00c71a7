//! What answers and broken connections mean.

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::StatusCode;

use crate::{Error, Kind};

/// An operation that failed; `what` is what was attempted, with the path.
pub(super) fn of(error: SftpError, what: &str) -> Error {
    let status = match error {
        SftpError::Status(status) => status,
        SftpError::Limited(why) => return Error::temporary(format!("{what}: {why}")),
        other => return Error::broken(format!("{what}: the connection broke: {other}")),
    };
    let said: String = status
        .error_message
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    let reason = format!("{what}: the server says `{}`", said.trim());
    match status.status_code {
        StatusCode::NoSuchFile => Error::not_found(reason),
        StatusCode::OpUnsupported => Error::new(Kind::Unsupported, reason),
        StatusCode::BadMessage => Error::permanent(reason),
        StatusCode::NoConnection | StatusCode::ConnectionLost => Error::broken(reason),
        // A full disk, a directory in the way, …: SFTP does not tell them apart.
        _ => Error::temporary(reason),
    }
}

/// Whether it is only the end of a file or a listing.
pub(super) fn is_end(error: &SftpError) -> bool {
    matches!(error, SftpError::Status(status) if status.status_code == StatusCode::Eof)
}

#[cfg(test)]
mod tests {
    use russh_sftp::client::error::Error as SftpError;
    use russh_sftp::protocol::{Status, StatusCode};

    use super::of;
    use crate::Kind;

    #[test]
    fn answers_mean_what_can_be_done() {
        for (status_code, expected) in [
            (StatusCode::NoSuchFile, Kind::NotFound),
            (StatusCode::OpUnsupported, Kind::Unsupported),
            (StatusCode::BadMessage, Kind::Permanent),
            (StatusCode::ConnectionLost, Kind::Broken),
            (
                StatusCode::PermissionDenied,
                Kind::Temporary { retry_after: None },
            ),
            (StatusCode::Failure, Kind::Temporary { retry_after: None }),
        ] {
            let error = SftpError::Status(Status {
                id: 1,
                status_code,
                error_message: "no\n".into(),
                language_tag: String::new(),
            });
            let error = of(error, "fetching `x`");
            assert_eq!(error.kind(), expected);
            assert_eq!(error.to_string(), "fetching `x`: the server says `no`");
        }
        let error = of(SftpError::UnexpectedPacket, "fetching `x`");
        assert_eq!(error.kind(), Kind::Broken);
    }
}
