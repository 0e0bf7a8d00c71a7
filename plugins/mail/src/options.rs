//! The plugin's options: declared once, read into a struct.

use std::time::Duration;

use flow_plugin::{Context, Failure, Grant, Manifest, OptionKind, Result, manifest, option};

use crate::server::{Protocol, Server};

/// What to do with a mail once it is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Seen,
    Move,
    Delete,
}

/// When to turn a plain connection into a TLS one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartTls {
    Auto,
    Required,
    Off,
}

/// How to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Auth {
    Auto,
    Login,
    Plain,
    Xoauth2,
}

/// The options, read.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) after: After,
    pub(crate) move_to: Option<String>,
    pub(crate) folders: Vec<String>,
    /// None is ALL.
    pub(crate) search: Option<String>,
    pub(crate) starttls: StartTls,
    pub(crate) auth: Auth,
    pub(crate) idle: bool,
    pub(crate) idle_renew: Duration,
    pub(crate) limit_size: Option<u64>,
    pub(crate) window: u64,
}

pub(crate) fn describe() -> Manifest {
    use OptionKind::{Choice, Duration, Size, Text};
    manifest("mail", env!("CARGO_PKG_VERSION"), "polls and downloads mail over IMAP and POP3")
        .doc(include_str!("../README.md"))
        .schemes(&["imap", "imaps", "pop", "pops"])
        .grant(Grant::Connect)
        .grant(Grant::Secrets)
        .option(
            option("after", Choice, "What to do with a mail once it is safe: leave it alone, mark it seen, move it to `move_to`, or delete it. POP3 knows `keep` and `delete`. `move` and `delete` need a flow that downloads.")
                .choices(&["keep", "seen", "move", "delete"])
                .default("keep")
                .example("seen"),
        )
        .option(option("move_to", Text, "Folder for `after: move`; made if it is missing.").example("Processed"))
        .option(
            option("folders", Text, "Folders to poll, as people see their names; `*` and `%` stand for any text, `%` stopping at a level. Default: the path of the URL, or INBOX. IMAP only.")
                .repeated()
                .example("[INBOX, Work/*]"),
        )
        .option(option("search", Text, "Poll only mails that match these IMAP SEARCH criteria; with any, a mail is announced again when it stops matching and matches later. IMAP only.").default("ALL").example("UNSEEN SINCE 1-Jan-2026"))
        .option(
            option("starttls", Choice, "TLS on `imap` and `pop` URLs: use it if offered (`auto`), insist on it (`required`), or never (`off`). With `auto`, a password goes in clear text only to this machine itself.")
                .choices(&["auto", "required", "off"])
                .default("auto")
                .example("required"),
        )
        .option(
            option("auth", Choice, "How to log in. `auto` takes XOAUTH2 where credentials.conf has a token for the server, a password otherwise.")
                .choices(&["auto", "login", "plain", "xoauth2"])
                .default("auto")
                .example("xoauth2"),
        )
        .option(option("idle", Choice, "Let the server tell of new mail at once (IDLE) where it can, instead of waiting for `sleep` to pass.").choices(&["on", "off"]).default("on").example("off"))
        .option(option("idle_renew", Duration, "How often IDLE is renewed, in units of time; servers and address translators forget a connection that is silent for longer.").default("10m").example("20m"))
        .option(option("limit_size", Size, "Mails larger than this, in bytes, are rejected instead of downloaded. Unset: no limit.").example("50MiB"))
        .option(option("window", Size, "Mails of 1 MiB and more are fetched in pieces of this size, in bytes, from 64KiB to 16MiB. IMAP only.").default("1MiB").example("4MiB"))
        .build()
}

impl Settings {
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let options = &context.options;
        let settings = Self {
            after: match options.text("after")?.as_str() {
                "seen" => After::Seen,
                "move" => After::Move,
                "delete" => After::Delete,
                _ => After::Keep,
            },
            move_to: options
                .get::<String>("move_to")?
                .filter(|name| !name.is_empty()),
            folders: options.list("folders")?,
            search: options
                .get::<String>("search")?
                .filter(|text| !text.trim().is_empty() && !text.trim().eq_ignore_ascii_case("ALL")),
            starttls: match options.text("starttls")?.as_str() {
                "required" => StartTls::Required,
                "off" => StartTls::Off,
                _ => StartTls::Auto,
            },
            auth: match options.text("auth")?.as_str() {
                "login" => Auth::Login,
                "plain" => Auth::Plain,
                "xoauth2" => Auth::Xoauth2,
                _ => Auth::Auto,
            },
            idle: options.text("idle")? == "on",
            idle_renew: options.duration("idle_renew")?.max(Duration::from_secs(1)),
            limit_size: options.get("limit_size")?,
            window: options.size("window")?.clamp(64 * 1024, 16 * 1024 * 1024),
        };
        settings.check(context)?;
        Ok(settings)
    }

    fn check(&self, context: &Context) -> Result<()> {
        if self.after == After::Move && self.move_to.is_none() {
            return Err(Failure::config(
                "`after: move` needs `move_to`, the folder to move mails to",
            ));
        }
        if self.after != After::Move && self.move_to.is_some() {
            return Err(Failure::config(
                "`move_to` is set, but nothing is moved: write `after: move` as well",
            ));
        }
        if matches!(self.after, After::Move | After::Delete) && !context.downloads {
            let after = if self.after == After::Move {
                "move"
            } else {
                "delete"
            };
            return Err(Failure::config(format!(
                "`after: {after}` in a flow that only announces mails: they would be gone before the flow that downloads them comes; \
                 write it in that flow, or use `after: seen` here"
            )));
        }
        let folders = self.folders.iter().map(|name| ("folders", name));
        let others = self
            .move_to
            .iter()
            .map(|name| ("move_to", name))
            .chain(self.search.iter().map(|text| ("search", text)));
        for (option, text) in folders.chain(others) {
            if text.is_empty() || text.contains(char::is_control) {
                return Err(Failure::config(format!(
                    "`{option}` holds an empty text or control characters"
                )));
            }
        }
        if let Some(url) = &context.poll_url {
            self.check_protocol(&Server::parse(url)?)?;
        }
        Ok(())
    }

    /// POP3 has neither flags nor folders.
    pub(crate) fn check_protocol(&self, server: &Server) -> Result<()> {
        if server.protocol == Protocol::Imap {
            return Ok(());
        }
        let wrong = match self.after {
            After::Seen => Some("`after: seen`: POP3 has no flags"),
            After::Move => Some("`after: move`: POP3 has no folders"),
            After::Keep | After::Delete if !self.folders.is_empty() => {
                Some("`folders`: POP3 has no folders")
            }
            After::Keep | After::Delete if self.search.is_some() => {
                Some("`search`: POP3 can't search")
            }
            After::Keep | After::Delete => None,
        };
        match wrong {
            Some(wrong) => Err(Failure::config(format!(
                "{wrong}; use an imap or imaps URL, or leave the option out"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use flow_plugin::Setting;

    /// A context with every default of the manifest, and these on top.
    pub(crate) fn context(poll_url: Option<&str>, options: &[(&str, Setting)]) -> Context {
        let mut all = vec![
            ("after", Setting::Text("keep".to_owned())),
            ("search", Setting::Text("ALL".to_owned())),
            ("starttls", Setting::Text("auto".to_owned())),
            ("auth", Setting::Text("auto".to_owned())),
            ("idle", Setting::Text("on".to_owned())),
            ("idle_renew", Setting::Duration(600_000)),
            ("window", Setting::Size(1024 * 1024)),
        ];
        all.extend_from_slice(options);
        flow_plugin::testing::context(poll_url, &all)
    }

    pub(crate) fn text(value: &str) -> Setting {
        Setting::Text(value.to_owned())
    }

    #[track_caller]
    fn refused(context: &Context, part: &str) {
        match Settings::read(context) {
            Err(Failure::Config(reason)) => assert!(reason.contains(part), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_that_lose_mail_or_make_no_sense_are_refused() {
        let mut announces = context(None, &[("after", text("delete"))]);
        announces.downloads = false;
        refused(&announces, "gone before the flow that downloads");
        announces = context(None, &[("after", text("move")), ("move_to", text("Done"))]);
        announces.downloads = false;
        refused(&announces, "`after: move` in a flow that only announces");
        refused(
            &context(None, &[("after", text("move"))]),
            "needs `move_to`",
        );
        refused(
            &context(None, &[("move_to", text("Done"))]),
            "nothing is moved",
        );
        refused(
            &context(None, &[("search", text("ALL\r\na1 DELETE INBOX"))]),
            "control characters",
        );
        refused(
            &context(Some("pop://me@host/"), &[("after", text("seen"))]),
            "POP3 has no flags",
        );
        refused(
            &context(Some("pops://me@host/"), &[("search", text("UNSEEN"))]),
            "can't search",
        );
        refused(&context(Some("http://host/"), &[]), "no mail server");
    }

    #[test]
    fn every_option_is_documented_with_an_example() {
        let manifest = describe();
        assert_eq!(manifest.name, "mail");
        for option in &manifest.options {
            assert!(
                option.doc.ends_with('.') && option.example.is_some(),
                "{option:?}"
            );
            assert!(
                manifest.doc.contains(&format!("`{}`", option.name)),
                "the README does not mention `{}`",
                option.name
            );
        }
    }

    #[test]
    fn defaults_are_the_careful_ones() {
        let settings = Settings::read(&context(Some("imaps://me@host/"), &[])).expect("defaults");
        assert_eq!(
            (settings.after, settings.starttls, settings.search),
            (After::Keep, StartTls::Auto, None)
        );
        let small =
            Settings::read(&context(None, &[("window", Setting::Size(1))])).expect("clamped");
        assert_eq!(small.window, 64 * 1024);
    }
}
