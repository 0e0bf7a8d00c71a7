//! How content is moved and trees are read.

use super::Builder;
use super::limits::size_between;
use crate::explain as code;
use crate::flow::{
    Digest, FileEvent, FileEvents, FilenameEncoding, IdentityMethod, Inflight, InlineAs,
    InlinePolicy, Kind, Listing, Transfer,
};
use crate::options::option;
use crate::units::Wrong;

impl Builder<'_> {
    pub(super) fn transfer(&mut self) -> Transfer {
        let buffer = self.read("bufSize", |text| size_between(text, 1 << 10, 1 << 28));
        Transfer {
            accept_size_wrong: self.flag("acceptSizeWrong"),
            byte_rate_max: self.size("byteRateMax"),
            buf_size: buffer
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(1 << 20),
            delete_source: self.flag("delete_source"),
            delete_destination: self.flag("delete_destination"),
            perm_copy: self.flag("permCopy"),
            time_copy: self.flag("timeCopy"),
            base_url_rel_path: self.flag("baseUrl_relPath"),
            tls: self.tls(),
            ftp_filename_encoding: match self.choice("ftpFilenameEncoding") {
                "latin-1" => FilenameEncoding::Latin1,
                _ => FilenameEncoding::Utf8,
            },
            https_safe_quote: self.text("httpsSafeQuote").unwrap_or_default(),
            http_user_agent: self.text("httpUserAgent"),
        }
    }

    pub(super) fn listing(&mut self, perm_min: u32) -> Listing {
        Listing {
            recursive: self.flag("recursive"),
            follow_symlinks: self.flag("follow_symlinks"),
            force_polling: self.flag("force_polling"),
            realpath_post: self.flag("realpathPost"),
            realpath_filter: self.flag("realpathFilter"),
            post_on_start: self.flag("post_on_start"),
            randomize: self.flag("randomize"),
            timezone: self.timezone(),
            perm_min,
        }
    }

    /// The name of a time zone. Whether the system knows it shows at the start.
    pub(super) fn timezone(&mut self) -> String {
        self.settings.retain(|setting| setting.name != "timezone");
        self.read("timezone", |text| {
            let text = text.trim();
            let good = text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-'));
            if good {
                Ok(text.to_owned())
            } else {
                Err(Wrong::new(
                    code::BAD_VALUE,
                    "is the name of a time zone",
                    "write `UTC`, or a name such as `America/Toronto`",
                ))
            }
        })
        .unwrap_or_else(|| "UTC".to_owned())
    }

    pub(super) fn inline(&mut self) -> Option<InlinePolicy> {
        let on = self.flag("inline");
        let byte_max = self.read("inlineByteMax", |text| size_between(text, 1, 16 << 20));
        let encoding = match self.choice("inlineEncoding") {
            "text" => InlineAs::Text,
            "binary" => InlineAs::Binary,
            _ => InlineAs::Guess,
        };
        let only = self.flag("inlineOnly");
        on.then_some(InlinePolicy {
            byte_max: byte_max.unwrap_or(4 << 10),
            encoding,
            only,
        })
    }

    pub(super) fn file_events(&mut self) -> FileEvents {
        let words = self.words("fileEvents");
        FileEvent::ALL
            .into_iter()
            .filter(|event| words.contains(&event.as_str()))
            .collect()
    }

    pub(super) fn identity(&mut self) -> IdentityMethod {
        let choices = option("identity").map_or(&[] as &[&str], |option| option.choices);
        self.read("identity", |text| {
            let text = text.trim();
            if let Some(value) = text.strip_prefix("arbitrary,") {
                return match value.trim() {
                    "" => Err(Wrong::new(
                        code::BAD_VALUE,
                        "is `arbitrary` without a text",
                        "write `arbitrary,TEXT`",
                    )),
                    value => Ok(IdentityMethod::Arbitrary(value.to_owned())),
                };
            }
            let parts: Vec<&str> = text.split(',').map(str::trim).collect();
            match parts.as_slice() {
                ["sha512"] => Ok(IdentityMethod::Sha512),
                ["md5"] => Ok(IdentityMethod::Md5),
                ["none"] => Ok(IdentityMethod::None),
                ["random"] => Ok(IdentityMethod::Random),
                ["cod", "sha512"] => Ok(IdentityMethod::Cod(Digest::Sha512)),
                ["cod", "md5"] => Ok(IdentityMethod::Cod(Digest::Md5)),
                ["cod"] => Err(Wrong::new(
                    code::BAD_CHOICE,
                    "is `cod` without a method",
                    "write `cod,sha512`",
                )),
                _ => super::values::one_of(text, choices.iter().copied())
                    .map(|_| IdentityMethod::Sha512),
            }
        })
        .unwrap_or(IdentityMethod::Sha512)
    }

    pub(super) fn inflight(&mut self) -> Inflight {
        const WRITE: &str =
            "write `.`, `none`, a suffix such as `.tmp`, or a directory such as `tmp/`";
        let sends = matches!(self.name.kind, Kind::Sender | Kind::Flow);
        self.read("inflight", |text| match text.trim() {
            "." => Ok(Inflight::Dot),
            "none" | "off" => Ok(Inflight::None),
            "umask" if sends => Ok(Inflight::Umask),
            "umask" => Err(Wrong::new(
                code::BAD_VALUE,
                "can be `umask` only where files are sent",
                WRITE,
            )),
            text if text.split('/').any(|part| part == "..") => {
                Err(Wrong::new(code::BAD_VALUE, "leaves the directory", WRITE))
            }
            text if text.ends_with('/') && text.len() > 1 => {
                Ok(Inflight::Directory(text.to_owned()))
            }
            text if text.contains('/') || text.is_empty() => Err(Wrong::new(
                code::BAD_VALUE,
                "is a suffix of a file name, or a directory with a `/` at its end",
                WRITE,
            )),
            text if text.starts_with(|c: char| c.is_ascii_digit()) => {
                Err(Wrong::new(code::BAD_VALUE, "is not an age here", WRITE)
                    .hint("to wait until data is old enough, use `fileAgeMin`"))
            }
            text => Ok(Inflight::Suffix(text.to_owned())),
        })
        .unwrap_or(Inflight::Dot)
    }
}
