//! `credentials.conf`: what is read, what is found, and that nothing of it is shown.

use std::path::Path;

use flow_config::{Credentials, SafeUrl};

fn url(text: &str) -> SafeUrl {
    SafeUrl::parse(text).expect(text)
}

fn parse(text: &str) -> Credentials {
    Credentials::parse(Path::new("credentials.conf"), text).expect("it is right")
}

#[test]
fn lines_are_read_as_sr3_writes_them() {
    let credentials = parse(
        "# comment\n\n  imaps://me%40example.com:p%23%40ss@imap.example.com/  \r\n\
         sftp://you@files.example.org:2222/ ssh_keyfile=/home/me/.ssh/id , sftp_compat_mode\n\
         https://api.example.com/ bearer_token = a=b,binary\n",
    );
    let [mail, files, api] = credentials.entries() else {
        panic!("three lines")
    };
    assert_eq!(mail.user, "me@example.com");
    assert_eq!(mail.password.as_ref().expect("one").expose(), "p#@ss");
    assert_eq!(
        mail.url.to_string(),
        "imaps://me%40example.com@imap.example.com/"
    );
    assert_eq!(
        files.option("ssh_keyfile").expect("set").expose(),
        "/home/me/.ssh/id"
    );
    assert_eq!(files.option("sftp_compat_mode").expect("set").expose(), "");
    assert!(files.password.is_none() && files.option("binary").is_none());
    assert_eq!(api.option("bearer_token").expect("set").expose(), "a=b");
    let printed = format!("{credentials:?}");
    assert!(
        !printed.contains("ss@") && !printed.contains("a=b") && !printed.contains("p#"),
        "{printed}"
    );
}

#[test]
fn the_line_that_says_most_is_found() {
    let credentials = parse(
        "imaps://a:1@host/\nimaps://b:2@host:993/\nimaps://b:3@host:1993/\npop3s://a:4@HOST\nftp://host/ passive\n",
    );
    let password = |text: &str| {
        let found = credentials.find(&url(text))?;
        Some(
            found
                .password
                .as_ref()
                .map_or("none", |password| password.expose())
                .to_owned(),
        )
    };
    for (text, expected) in [
        ("imaps://a@host/INBOX", Some("1")),
        ("imaps://a@host:993/INBOX", Some("1")),
        ("imaps://b@host:993/", Some("2")),
        ("imaps://b@host:1993/", Some("3")),
        ("imaps://b@host/", Some("2")),
        ("imaps://host/", Some("1")),
        ("imaps://c@host/", None),
        ("imaps://a@other/", None),
        ("imap://a@host/", None),
        ("pop3s://a@Host/", Some("4")),
        ("ftp://host/x", Some("none")),
        ("ftp://me@host/x", None),
    ] {
        assert_eq!(password(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn what_is_missing_says_what_to_write() {
    let credentials = Credentials::load(Path::new("/nonexistent/credentials.conf")).expect("empty");
    assert!(credentials.entries().is_empty());
    let error = credentials
        .get(&url("imaps://me%40example.com@host:1993/INBOX"))
        .expect_err("none");
    assert_eq!(
        error.to_string(),
        "\
error[credentials/not-found]: no credentials for `imaps://me%40example.com@host:1993/INBOX`
  --> /nonexistent/credentials.conf
    = hint: add the line `imaps://me%40example.com:PASSWORD@host:1993/` to /nonexistent/credentials.conf (chmod 600)"
    );
    let error = credentials.missing(&url("https://host/"));
    assert!(
        error.hints[0].contains("`https://USER:PASSWORD@host/`"),
        "{error}"
    );
}

#[test]
fn wrong_lines_are_named_and_not_shown() {
    let text = "imaps://me:ge#heim@host/\nimaps://ok:ok@host/\nnonsense geheim\nimaps://me:ge/heim@host/\n\
                imaps://me:1/geheim@host/\nimaps://me:%ff@host/\nimaps:///geheim\nftp://a@h/ a=geheim,a=2\nftp://a@h/ =geheim\n";
    let report = Credentials::parse(Path::new("credentials.conf"), text).expect_err("wrong");
    assert_eq!(
        report.to_string(),
        "\
error[credentials/syntax]: there is a `#` in the URL
  --> credentials.conf:1
    = hint: in a password a `#` is written `%23`

error[credentials/syntax]: the line does not start with a URL
  --> credentials.conf:3
    = hint: a line is `scheme://user:password@host/`, a blank, and options

error[credentials/syntax]: the URL can't be read, perhaps for a special character in the password
  --> credentials.conf:4
    = hint: percent-encode it: `#` is `%23`, `@` is `%40`, `/` is `%2F`, `:` is `%3A`, `?` is `%3F`

error[credentials/syntax]: there is an `@` after the host: the password holds a `/` or a `?`
  --> credentials.conf:5
    = hint: percent-encode it: `#` is `%23`, `@` is `%40`, `/` is `%2F`, `:` is `%3A`, `?` is `%3F`

error[credentials/syntax]: the password is not UTF-8 text
  --> credentials.conf:6
    = hint: it is percent-encoded UTF-8

error[credentials/syntax]: the URL has no host
  --> credentials.conf:7
    = hint: a line is `scheme://user:password@host/`, a blank, and options

error[credentials/syntax]: an option is given twice
  --> credentials.conf:8
    = hint: options are `name` or `name=value`, separated by commas

error[credentials/syntax]: an option can't be read
  --> credentials.conf:9
    = hint: options are `name` or `name=value`, separated by commas"
    );
}

#[cfg(unix)]
#[test]
fn a_file_others_may_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("credentials.conf");
    std::fs::write(&path, "imaps://me:geheim@host/\n").expect("written");
    let mode = |mode: u32| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("allowed");
        Credentials::load(&path)
            .map(|credentials| credentials.entries().len())
            .map_err(|report| {
                report
                    .to_string()
                    .replace(&path.display().to_string(), "PATH")
            })
    };
    for good in [0o600, 0o400] {
        assert_eq!(mode(good), Ok(1), "{good:o}");
    }
    for (bad, who) in [
        (0o644, "its group and everybody else"),
        (0o640, "its group"),
        (0o604, "everybody"),
        (0o620, "its group"),
    ] {
        let expected = format!(
            "\
error[credentials/permissions]: the credentials are open to {who} (mode {bad:o})
  --> PATH
    = hint: `chmod 600 PATH`"
        );
        assert_eq!(mode(bad), Err(expected));
    }
}
