//! `credentials.conf`: the passwords that are in no flow file.
//!
//! One in a line, in the syntax of sr3: a URL with user and password, after a blank the options,
//! separated by commas. Lines are never shown, not even in findings: what is wrong with a line may
//! be that its password can't be told from the rest.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use crate::explain::{self as code, Code};
use crate::report::{Finding, Report};
use crate::{SafeUrl, Secret};

/// The content of a `credentials.conf`.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    path: PathBuf,
    entries: Vec<Credential>,
}

/// One line of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// What it is for, without the password.
    pub url: SafeUrl,
    /// Decoded; empty if the line has none.
    pub user: String,
    /// Decoded; none if the line has none, as for keys and tokens.
    pub password: Option<Secret>,
    /// Options by name; one without a value is empty. All are secret, as tokens are among them.
    pub options: BTreeMap<String, Secret>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.options.keys().collect();
        f.debug_struct("Credential")
            .field("url", &self.url)
            .field("options", &names)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads a file; one that is not there holds nothing.
    ///
    /// # Errors
    /// Others may read or change it, it can't be read, or lines of it can't: all of those at once.
    pub fn load(path: &Path) -> Result<Self, Report> {
        let shown = path.display().to_string();
        let about = match std::fs::metadata(path) {
            Ok(about) => about,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self {
                    path: path.to_owned(),
                    entries: Vec::new(),
                });
            }
            Err(error) => return Err(unreadable(&shown, &error)),
        };
        check_permissions(&shown, &about)?;
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(&shown, &error))?;
        let entries = parse(&shown, &text)?;
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// Reads a text that would be the content of `path`.
    ///
    /// # Errors
    /// Lines that can't be read, all at once.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Report> {
        let entries = parse(&path.display().to_string(), text)?;
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every line, in order.
    pub fn entries(&self) -> &[Credential] {
        &self.entries
    }

    /// The line for `url`: same scheme, host, port and user, where left out on one side is the same.
    ///
    /// The path does not count. Of several the one that says more about port and user wins, then
    /// the first. A URL without a user gets the first line of its host.
    pub fn find(&self, url: &SafeUrl) -> Option<&Credential> {
        let user = url.user();
        let mut best: Option<(u8, &Credential)> = None;
        for entry in self.entries.iter().filter(|entry| entry.is_for(url, &user)) {
            let exact = u8::from(entry.url.port() == url.port()) + u8::from(entry.user == user);
            if best.is_none_or(|(score, _)| exact > score) {
                best = Some((exact, entry));
            }
        }
        best.map(|(_, entry)| entry)
    }

    /// As [`find`](Self::find), with the error to show if there is none.
    ///
    /// # Errors
    /// One finding that says which line to add to which file.
    pub fn get(&self, url: &SafeUrl) -> Result<&Credential, Report> {
        self.find(url).ok_or_else(|| self.missing(url).into())
    }

    /// The error for a URL without a line.
    pub fn missing(&self, url: &SafeUrl) -> Finding {
        let path = self.path.display().to_string();
        let line = line_for(url);
        Finding::about(
            code::CREDENTIALS_NOT_FOUND,
            path.clone(),
            format!("no credentials for `{}`", url.without_password()),
        )
        .with_hint(format!("add the line `{line}` to {path} (chmod 600)"))
    }
}

/// The line somebody has to write for `url`.
fn line_for(url: &SafeUrl) -> String {
    let user = match url.expose().username() {
        "" => "USER",
        user => user,
    };
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!(
        "{}://{user}:PASSWORD@{}{port}/",
        url.scheme(),
        url.host().unwrap_or_default()
    )
}

impl Credential {
    /// The value of an option; empty for one without a value.
    pub fn option(&self, name: &str) -> Option<&Secret> {
        self.options.get(name)
    }

    fn is_for(&self, url: &SafeUrl, user: &str) -> bool {
        let host = |url: &SafeUrl| url.host().unwrap_or_default().to_ascii_lowercase();
        // The scheme's own port is known to the plugin only, so an absent port is any.
        let same_port = match (self.url.port(), url.port()) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.url.scheme() == url.scheme()
            && same_port
            && (user.is_empty() || self.user == user)
            && host(&self.url) == host(url)
    }
}

fn parse(path: &str, text: &str) -> Result<Vec<Credential>, Report> {
    let mut entries = Vec::new();
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match parse_line(line) {
            Ok(entry) => entries.push(entry),
            Err((message, hint)) => {
                let mut finding = about(code::CREDENTIALS_SYNTAX, path, message);
                finding.line = Some(index + 1);
                findings.push(finding.with_hint(hint));
            }
        }
    }
    if findings.is_empty() {
        Ok(entries)
    } else {
        Err(findings.into())
    }
}

/// Reads a line; the error is what is wrong and what to do, with nothing of the line in it.
fn parse_line(line: &str) -> Result<Credential, (&'static str, &'static str)> {
    const FORM: &str = "a line is `scheme://user:password@host/`, a blank, and options";
    const ENCODE: &str =
        "percent-encode it: `#` is `%23`, `@` is `%40`, `/` is `%2F`, `:` is `%3A`, `?` is `%3F`";
    let (text, options) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    if text.contains('#') {
        return Err((
            "there is a `#` in the URL",
            "in a password a `#` is written `%23`",
        ));
    }
    if !text.contains("://") {
        return Err(("the line does not start with a URL", FORM));
    }
    let url = SafeUrl::parse(text).map_err(|_| {
        (
            "the URL can't be read, perhaps for a special character in the password",
            ENCODE,
        )
    })?;
    if url.scheme() != "file" && url.host().is_none_or(str::is_empty) {
        return Err(("the URL has no host", FORM));
    }
    // Behind the host an `@` can only be the rest of a password with a raw `/` or `?` in it.
    let parsed = url.expose();
    if parsed.path().contains('@') || parsed.query().is_some_and(|query| query.contains('@')) {
        return Err((
            "there is an `@` after the host: the password holds a `/` or a `?`",
            ENCODE,
        ));
    }
    let decode = |text: &str, what: &'static str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| (what, "it is percent-encoded UTF-8"))
    };
    let user = decode(parsed.username(), "the user is not UTF-8 text")?;
    let password = match parsed.password() {
        Some(password) => Some(Secret::new(decode(
            password,
            "the password is not UTF-8 text",
        )?)),
        None => None,
    };
    let without =
        SafeUrl::parse(&url.without_password()).map_err(|_| ("the URL can't be read", FORM))?;
    Ok(Credential {
        url: without,
        user,
        password,
        options: parse_options(options)?,
    })
}

fn parse_options(text: &str) -> Result<BTreeMap<String, Secret>, (&'static str, &'static str)> {
    const FORM: &str = "options are `name` or `name=value`, separated by commas";
    let mut options = BTreeMap::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = name.trim();
        let good = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if !good {
            return Err(("an option can't be read", FORM));
        }
        if options
            .insert(name.to_owned(), Secret::new(value.trim()))
            .is_some()
        {
            return Err(("an option is given twice", FORM));
        }
    }
    Ok(options)
}

fn about(code: Code, path: &str, message: impl Into<String>) -> Finding {
    Finding::about(code, path.to_owned(), message.into())
}

fn unreadable(path: &str, error: &std::io::Error) -> Report {
    // Not the error's text: for bytes that are no UTF-8 it could one day hold some of them.
    let reason = match error.kind() {
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        std::io::ErrorKind::PermissionDenied => "it belongs to somebody else".to_owned(),
        _ => error.to_string(),
    };
    about(
        code::CREDENTIALS_UNREADABLE,
        path,
        format!("the credentials can't be read: {reason}"),
    )
    .into()
}

#[cfg(unix)]
fn check_permissions(path: &str, about_file: &std::fs::Metadata) -> Result<(), Report> {
    use std::os::unix::fs::PermissionsExt;
    let mode = about_file.permissions().mode() & 0o777;
    if mode & 0o066 == 0 {
        return Ok(());
    }
    let who = match (mode & 0o060 != 0, mode & 0o006 != 0) {
        (true, true) => "its group and everybody else",
        (true, false) => "its group",
        _ => "everybody",
    };
    let finding = about(
        code::CREDENTIALS_PERMISSIONS,
        path,
        format!("the credentials are open to {who} (mode {mode:o})"),
    );
    Err(finding.with_hint(format!("`chmod 600 {path}`")).into())
}

#[cfg(not(unix))]
fn check_permissions(_: &str, _: &std::fs::Metadata) -> Result<(), Report> {
    Ok(())
}
