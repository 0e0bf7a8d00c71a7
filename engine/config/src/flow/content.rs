//! How content is moved: events, names, fingerprints, rates, and how a tree of files is read.

use flow_message::Message;

use super::input::TlsRigour;

/// How unfinished content is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inflight {
    /// `name` + this suffix, beside the final name (sr3: `inflight .tmp`).
    Suffix(String),
    /// `.name.tmp`: hidden, beside the final name (sr3: `inflight .`). The default.
    Dot,
    /// The final name, in this directory: below the final one, or absolute if it starts with `/`.
    /// Always ends in `/`. It has to be on the same file system.
    Directory(String),
    /// The final name without permissions, which are given at the end. Only for what is sent.
    Umask,
    /// Under the final name from the start.
    None,
}

/// Fingerprint computed while content streams, or announced for what is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityMethod {
    /// SHA-512, the default.
    Sha512,
    /// MD5, for old consumers.
    Md5,
    /// None is announced.
    None,
    /// A random number: every message is about something new.
    Random,
    /// This text, agreed on with those who receive it.
    Arbitrary(String),
    /// Announces that it is to be computed on download, with this method. For polls, which do not
    /// read content.
    Cod(Digest),
}

/// A method that is computed from content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-512.
    Sha512,
    /// MD5.
    Md5,
}

/// One thing that happens to a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileEvent {
    /// It appeared.
    Create,
    /// Its content changed.
    Modify,
    /// A file or link went away.
    Delete,
    /// A symbolic or hard link appeared.
    Link,
    /// A directory appeared.
    Mkdir,
    /// A directory went away.
    Rmdir,
    /// It got another name.
    Rename,
}

impl FileEvent {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::Modify,
        Self::Delete,
        Self::Link,
        Self::Mkdir,
        Self::Rmdir,
        Self::Rename,
    ];

    /// As written in `fileEvents`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Modify => "modify",
            Self::Delete => "delete",
            Self::Link => "link",
            Self::Mkdir => "mkdir",
            Self::Rmdir => "rmdir",
            Self::Rename => "rename",
        }
    }
}

/// A set of events: which are announced, or carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileEvents(u8);

impl Default for FileEvents {
    fn default() -> Self {
        FileEvent::ALL.into_iter().collect()
    }
}

impl FromIterator<FileEvent> for FileEvents {
    fn from_iter<I: IntoIterator<Item = FileEvent>>(events: I) -> Self {
        Self(events.into_iter().fold(0, |set, event| set | bit(event)))
    }
}

const fn bit(event: FileEvent) -> u8 {
    1 << event as u8
}

impl FileEvents {
    /// Whether `event` is one of them.
    pub const fn contains(self, event: FileEvent) -> bool {
        self.0 & bit(event) != 0
    }

    /// Those in it, in the order of [`FileEvent::ALL`].
    pub fn iter(self) -> impl Iterator<Item = FileEvent> {
        FileEvent::ALL
            .into_iter()
            .filter(move |event| self.contains(*event))
    }

    /// Whether what `message` announces is one of them. Content that is announced may be new or
    /// changed, so either `create` or `modify` lets it pass.
    pub fn include(self, message: &Message) -> bool {
        let Some(operation) = &message.file_op else {
            return self.contains(FileEvent::Create) || self.contains(FileEvent::Modify);
        };
        let event = if operation.rename.is_some() {
            FileEvent::Rename
        } else if operation.remove && operation.directory {
            FileEvent::Rmdir
        } else if operation.remove {
            FileEvent::Delete
        } else if operation.directory {
            FileEvent::Mkdir
        } else if operation.link.is_some() || operation.hlink.is_some() {
            FileEvent::Link
        } else {
            return true;
        };
        self.contains(event)
    }
}

/// How content is fetched, sent and written, beyond its name and permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Whether content whose length is not the announced one is kept.
    pub accept_size_wrong: bool,
    /// Most bytes in a second, for one transfer; zero: no limit.
    pub byte_rate_max: u64,
    /// Bytes read or written at once.
    pub buf_size: usize,
    /// Whether the origin's file is removed once it is safe here.
    pub delete_source: bool,
    /// Whether what was fetched is thrown away; for tests of throughput.
    pub delete_destination: bool,
    /// Whether the mode a message announces is given to the file.
    pub perm_copy: bool,
    /// Whether the times a message announces are given to the file.
    pub time_copy: bool,
    /// Whether the path of baseUrl counts as the beginning of relPath where content is placed.
    pub base_url_rel_path: bool,
    /// How certificates of servers are checked.
    pub tls: TlsRigour,
    /// What an FTP server's file names are written in.
    pub ftp_filename_encoding: FilenameEncoding,
    /// Characters of a path that HTTP requests do not percent-encode.
    pub https_safe_quote: String,
    /// Who HTTP requests say they are from; none: flow and its version.
    pub http_user_agent: Option<String>,
}

/// What file names are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FilenameEncoding {
    /// UTF-8.
    #[default]
    Utf8,
    /// ISO 8859-1.
    Latin1,
}

/// How a tree of files, here or at a server, becomes messages: for post, watch and poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Whether directories below are read too.
    pub recursive: bool,
    /// Whether what a symbolic link leads to is announced in place of the link.
    pub follow_symlinks: bool,
    /// Whether a watch reads the tree again and again instead of asking the system.
    pub force_polling: bool,
    /// Whether paths are announced without symbolic links in them.
    pub realpath_post: bool,
    /// Whether rules see paths without symbolic links in them.
    pub realpath_filter: bool,
    /// Whether a watch announces what is there when it starts.
    pub post_on_start: bool,
    /// Whether what is found is announced in random order.
    pub randomize: bool,
    /// The time zone of times in listings: an IANA name, `UTC` by default.
    pub timezone: String,
    /// Permission bits an entry of a listing must have to be announced; zero: none.
    pub perm_min: u32,
}

/// Small content that travels in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InlinePolicy {
    /// Largest content, in bytes.
    pub byte_max: u64,
    /// How it is written.
    pub encoding: InlineAs,
    /// Whether messages that can't hold their content are rejected.
    pub only: bool,
}

/// How inline content is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InlineAs {
    /// Text if it is UTF-8, else base64.
    #[default]
    Guess,
    /// Text; content that is not UTF-8 is not inlined.
    Text,
    /// Base64.
    Binary,
}

/// Where the field `source` comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SourceStamp {
    /// As the message has it, if it has it.
    #[default]
    Keep,
    /// This where the message has none.
    Fill(String),
    /// This, whatever the message has.
    Set(String),
    /// The user in the name of the exchange it came from; see [`user_of_exchange`].
    FromExchange,
}

/// The user a source's exchange belongs to: what follows `xs_`, up to the next `_`, as sr3 has it. A
/// user with a `_` in the name is cut there, so such users are better not sources.
pub fn user_of_exchange(exchange: &str) -> Option<&str> {
    let user = exchange.strip_prefix("xs_")?.split('_').next()?;
    (!user.is_empty()).then_some(user)
}

#[cfg(test)]
mod tests {
    use flow_message::FileOp;

    use super::*;

    #[test]
    fn events_are_those_messages_are_about() {
        let time = "20261122T015207".parse().expect("a time");
        let about = |file_op: Option<FileOp>| {
            let mut message = Message::new(time, "file:/", "a");
            message.file_op = file_op;
            message
        };
        let operation = |change: fn(&mut FileOp)| {
            let mut operation = FileOp::default();
            change(&mut operation);
            Some(operation)
        };
        for (event, file_op) in [
            (FileEvent::Create, None),
            (FileEvent::Modify, None),
            (FileEvent::Delete, operation(|op| op.remove = true)),
            (FileEvent::Mkdir, operation(|op| op.directory = true)),
            (
                FileEvent::Rmdir,
                operation(|op| (op.remove, op.directory) = (true, true)),
            ),
            (FileEvent::Link, operation(|op| op.link = Some("b".into()))),
            (FileEvent::Link, operation(|op| op.hlink = Some("b".into()))),
            (
                FileEvent::Rename,
                operation(|op| op.rename = Some("b".into())),
            ),
        ] {
            let only: FileEvents = [event].into_iter().collect();
            let message = about(file_op);
            assert!(only.include(&message), "{event:?}");
            assert!(FileEvents::default().include(&message), "{event:?}");
            let others: FileEvents = FileEvents::default()
                .iter()
                .filter(|other| match event {
                    FileEvent::Create | FileEvent::Modify => {
                        !matches!(other, FileEvent::Create | FileEvent::Modify)
                    }
                    event => *other != event,
                })
                .collect();
            assert!(!others.include(&message), "{event:?}");
        }
    }

    #[test]
    fn users_of_exchanges() {
        assert_eq!(user_of_exchange("xs_me"), Some("me"));
        assert_eq!(user_of_exchange("xs_me_public"), Some("me"));
        assert_eq!(user_of_exchange("xpublic"), None);
        assert_eq!(user_of_exchange("xs_"), None);
    }
}
