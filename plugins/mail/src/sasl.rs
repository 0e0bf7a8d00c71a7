//! What is said to log in, the same for both protocols.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_plugin::{Failure, Result, secret};

use crate::options::Auth;
use crate::server::Server;

/// Something to log in with. Never printed.
pub(crate) enum Login {
    Password { user: String, password: String },
    Token { user: String, token: String },
}

/// Asks the host for what fits the option, and fills in the server's user.
///
/// # Errors
/// `config` where credentials.conf has nothing for the server.
pub(crate) fn login_for(server: &mut Server, auth: Auth) -> Result<Login> {
    if let (Some(user), Some(password), true) =
        (&server.user, &server.password, auth != Auth::Xoauth2)
    {
        return Ok(Login::Password {
            user: user.clone(),
            password: password.clone(),
        });
    }
    let url = server.url();
    let credentials = match secret::credential(&url) {
        Ok(credentials) => Some(credentials),
        // A token may be all there is.
        Err(_) if auth == Auth::Xoauth2 && server.user.is_some() => None,
        Err(failure) => return Err(failure),
    };
    let user = match (&server.user, &credentials) {
        (Some(user), _) => user.clone(),
        (None, Some(credentials)) if !credentials.user.is_empty() => credentials.user.clone(),
        _ => {
            return Err(Failure::config(format!(
                "no user for {url}: write it into the URL, or into credentials.conf"
            )));
        }
    };
    server.user = Some(user.clone());
    let has_token = credentials
        .as_ref()
        .is_some_and(|c| c.password.is_empty() || c.option("bearer_token").is_some());
    if auth == Auth::Xoauth2 || (auth == Auth::Auto && has_token) {
        let token = secret::bearer_token(&server.url())?;
        return Ok(Login::Token { user, token });
    }
    let password = credentials
        .map(|credentials| credentials.password)
        .unwrap_or_default();
    if password.is_empty() {
        return Err(Failure::config(format!(
            "credentials.conf has no password for {}",
            server.url()
        )));
    }
    Ok(Login::Password { user, password })
}

/// The initial response of XOAUTH2 (Google, Microsoft).
pub(crate) fn xoauth2(user: &str, token: &str) -> String {
    format!("user={user}\x01auth=Bearer {token}\x01\x01")
}

/// The response of PLAIN (RFC 4616).
pub(crate) fn plain(user: &str, password: &str) -> String {
    format!("\0{user}\0{password}")
}

pub(crate) fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// The failure for refused credentials; the server's text is shown, ours is not.
pub(crate) fn refused(server: &Server, token: bool, text: &str) -> Failure {
    let what = if token { "access token" } else { "password" };
    Failure::auth(format!(
        "`{}` refused the {what} of `{}`: {text}\n  = hint: correct the line for `{}` in credentials.conf",
        server.host,
        server.user.as_deref().unwrap_or("?"),
        server.url()
    ))
}

/// Nothing is said in clear text to another machine, unless the flow says so.
pub(crate) fn clear_text(server: &Server) -> Failure {
    let scheme = if server.protocol == crate::server::Protocol::Imap {
        "imaps"
    } else {
        "pops"
    };
    Failure::config(format!(
        "{} offers no TLS on port {}, and the password of {} would go there in clear text; use {scheme}:, or accept it with `starttls: off`",
        server.host,
        server.port,
        server.account()
    ))
}

/// TLS was asked for, and is not to be had.
pub(crate) fn no_starttls(server: &Server) -> Failure {
    Failure::config(format!(
        "{} does not offer STARTTLS on port {}, and `starttls: required` insists on it",
        server.host, server.port
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sasl_responses_are_as_documented() {
        assert_eq!(
            base64(&xoauth2("some@example.org", "ya29.TOKEN")),
            "dXNlcj1zb21lQGV4YW1wbGUub3JnAWF1dGg9QmVhcmVyIHlhMjkuVE9LRU4BAQ=="
        );
        assert_eq!(
            base64(&plain("tim", "tanstaaftanstaaf")),
            "AHRpbQB0YW5zdGFhZnRhbnN0YWFm"
        );
    }
}
