//! Options of what passes, where it is stored, and how it is moved.

use super::super::{OptionDoc, OptionType as T};
use super::declare::{
    CARRIES_OUT, FETCHES, HAS_FILES, IDENTIFIES, MOVES, SENDS, SPEAKS, STORES, WITH_CONTENT, of,
};
use crate::flow::Kind::{Poll, Sarra, Sender, Subscribe, Winnow};

pub(super) static FILTERS: &[OptionDoc] = &[
    of(
        "messageAgeMax",
        T::Duration,
        "Messages announced longer ago are rejected, and go away while they wait in the queue; \
         `none`: no limit.",
        "1d",
    )
    .default("none"),
    of(
        "fileAgeMax",
        T::Duration,
        "Data modified longer ago is rejected; `none`: no limit. A poll of listings has 30d.",
        "30d",
    )
    .default("none")
    .listing("30d"),
    of(
        "fileAgeMin",
        T::Duration,
        "Data modified more recently is left until it is this old; `none`: no limit.",
        "30s",
    )
    .default("none"),
    of(
        "fileSizeMax",
        T::Size,
        "Larger data is rejected; `none`: no limit.",
        "2GB",
    )
    .default("none"),
    of(
        "fileEvents",
        T::Words,
        "What is announced, or carried out; other messages are rejected. Content that is new or has \
         changed is `create` or `modify`. A watch without `rename` announces what is renamed as removed \
         and new.",
        "[create, modify, link]",
    )
    .only(CARRIES_OUT)
    .default("create, modify, delete, link, mkdir, rmdir, rename")
    .one_of(&["create", "modify", "delete", "link", "mkdir", "rmdir", "rename"])
    .unlike(
        "all but `rename`",
        "a rename that is not carried out leaves the old file, so it is listed with the others",
    ),
    of(
        "filters",
        T::Filters,
        "Rules, tried in order; the first that matches decides. Each entry is `accept:` or `reject:` \
         with a regular expression, matched from the start of `baseUrl/relPath`, or with a mapping \
         of `url`, `size`, `contentType`, `header` and `fileEvents` that all have to match. An \
         `accept` may set `directory`, `mirror`, `strip`, `flatten` and `filename` for what it \
         accepts.",
        "[{accept: '.*\\.pdf$'}, {reject: {size: '>1GB'}}]",
    )
    .was("`accept` and `reject`"),
    of(
        "acceptUnmatched",
        T::Flag,
        "Whether messages pass that no rule matches.",
        "off",
    )
    .default("on"),
    of(
        "nodupe_ttl",
        T::Duration,
        "How long a message is remembered, so that the same is not processed twice; `off`: not at \
         all. A poll of listings has 31d, and a `flow` with a `pollUrl` the default of a poll.",
        "7h",
    )
    .default("off")
    .but(&[(Poll, "7h"), (Winnow, "5m")])
    .listing("31d")
    .unlike(
        "the same, but 7h for every poll",
        "a poll that was down for longer announced everything again; now a file is remembered for \
         as long as `fileAgeMax` lets it pass",
    ),
    of(
        "nodupe_basis",
        T::Choice,
        "What makes two messages the same: identity and relPath (`path`), identity and file name \
         (`name`), identity alone (`data`), file name alone (`name_only`), relPath alone \
         (`path_only`).",
        "data",
    )
    .default("path")
    .one_of(&["path", "name", "data", "name_only", "path_only"]),
    of(
        "callbacks",
        T::Callbacks,
        "Plugins, in the order they run: a name, or a mapping with `plugin`, its options, `filters` for what it derives, `limits`, `sha256`: the only file it may be, `minisign`: the public key it has to be signed with, and `tlsPin`: the SHA-256 of the certificate its servers have, one or several, which then counts instead of who signed it, its names and its dates.",
        "[mail, decode]",
    )
    .was("`callback` and `flowCallback`"),
    of(
        "allow",
        T::Allow,
        "What plugins may reach beyond the hosts of URLs in this file: lists `connect` and `http` of \
         `host:port`, `host:*` or `*.domain:port`, and `secrets` of URLs whose credentials may be read. \
         A host that only `*.domain` covers is not asked over HTTP where its name leads to this machine \
         or to a private network. HTTP goes through the proxies of the variables `http_proxy`, \
         `https_proxy`, `all_proxy` and `no_proxy`.",
        "{connect: ['data.example.com:993']}",
    )
    .new_here(),
];

pub(super) static PLACEMENT: &[OptionDoc] = &[
    of(
        "download",
        T::Flag,
        "Whether content is fetched and stored. On by default for `subscribe` and `sarra`, and for a \
         `flow` with a plugin that downloads.",
        "off",
    )
    .only(FETCHES)
    .default("off")
    .but(&[(Subscribe, "on"), (Sarra, "on")]),
    of(
        "sendTo",
        T::Url,
        "The server content is sent to. User, no password: that is in `credentials.conf`.",
        "sftp://me@files.example.org/",
    )
    .only(SENDS)
    .required(&[Sender]),
    of(
        "directory",
        T::Template,
        "Where content is stored, or sent to. `~/` is the home directory.",
        "${HOME}/inbox/${%Y-%m-%d}",
    )
    .only(MOVES)
    .in_rules(),
    of(
        "mirror",
        T::Flag,
        "Whether the directories of relPath are made again below `directory`.",
        "on",
    )
    .only(MOVES)
    .default("off")
    .but(&[(Sarra, "on"), (Sender, "on")])
    .in_rules()
    .unlike(
        "on, but off for subscribe",
        "the same for the kinds of sr3; a `flow` written by hand puts files where `directory` says",
    ),
    of(
        "strip",
        T::Strip,
        "How many directories to drop from the front of relPath, or a regular expression of which the first match is dropped.",
        "2",
    )
    .only(MOVES)
    .default("0")
    .in_rules(),
    of(
        "flatten",
        T::Text,
        "Joins the directories of relPath and the file name to one name with this text; `/` leaves them as they are.",
        "_",
    )
    .only(MOVES)
    .default("/")
    .in_rules(),
    of(
        "filename",
        T::Template,
        "The name to store under. By default the last element of relPath. `${WHATFN}`, `${HEADFN}` \
         and their like are parts of that.",
        "report-${%Y%m%d}.pdf",
    )
    .only(MOVES)
    .in_rules(),
    of(
        "baseDir",
        T::Template,
        "The root of the local tree: where a sender finds what messages announce, and what is \
         dropped from the front of paths that are placed.",
        "/var/www/data",
    )
    .only(HAS_FILES),
    of(
        "baseUrl_relPath",
        T::Flag,
        "Whether the path of baseUrl counts as the beginning of relPath.",
        "on",
    )
    .only(MOVES)
    .default("off"),
];

pub(super) static TRANSFER: &[OptionDoc] = &[
    of(
        "inflight",
        T::Inflight,
        "How unfinished content is named: `.` for `.name.tmp`, a suffix such as `.tmp`, a directory \
         with a `/` at its end, `umask` for the final name without permissions (only sent), or \
         `none` for the final name from the start.",
        ".tmp",
    )
    .only(MOVES)
    .default(".")
    .unlike("none", "nothing half done is ever seen under its final name"),
    of(
        "identity",
        T::Identity,
        "Fingerprint announced: computed while content streams (`sha512`, `md5`), `none`, `random`, \
         a text agreed on (`arbitrary,TEXT`), or to be computed by who downloads (`cod,sha512`).",
        "md5",
    )
    .only(IDENTIFIES)
    .default("sha512")
    .but(&[(Poll, "cod,sha512")])
    .one_of(&["sha512", "md5", "none", "random", "cod,sha512", "cod,md5"]),
    of(
        "overwrite",
        T::Flag,
        "Whether existing files are replaced.",
        "off",
    )
    .only(MOVES)
    .default("on"),
    of(
        "acceptSizeWrong",
        T::Flag,
        "Whether content is kept whose length is not the announced one.",
        "on",
    )
    .only(MOVES)
    .default("off"),
    of(
        "delete_source",
        T::Flag,
        "Whether the file is removed where it came from, once it is safe where it goes. A watch that announces the removal has it removed there as well: leave `delete` out of its `fileEvents`.",
        "on",
    )
    .only(MOVES)
    .default("off")
    .was("`delete`"),
    of(
        "delete_destination",
        T::Flag,
        "Whether what was fetched is thrown away, to try how fast that is.",
        "on",
    )
    .only(FETCHES)
    .default("off")
    .was("`discard`"),
    of(
        "permDefault",
        T::Mode,
        "Permission bits of files written. For a poll those an entry of a listing must have.",
        "600",
    )
    .only(STORES)
    .default("644")
    .but(&[(Poll, "400")])
    .unlike(
        "0, which leaves it to the umask; poll 400",
        "what is stored must not depend on the shell a flow was started from",
    ),
    of(
        "permDirDefault",
        T::Mode,
        "Permission bits of directories made.",
        "700",
    )
    .only(MOVES)
    .default("755")
    .unlike("775", "whoever shares the group need not be able to change what is stored"),
    of(
        "permCopy",
        T::Flag,
        "Whether the permissions of files are announced, and given to what is stored and sent.",
        "off",
    )
    .only(HAS_FILES)
    .default("on"),
    of(
        "timeCopy",
        T::Flag,
        "Whether the times of files are announced, and given to what is stored and sent.",
        "off",
    )
    .only(HAS_FILES)
    .default("on"),
    of(
        "fsync",
        T::Flag,
        "Whether content is on the disk, not only in memory, before its message counts as done.",
        "off",
    )
    .only(STORES)
    .default("on")
    .new_here(),
    of(
        "inline",
        T::Flag,
        "Whether small content travels in messages; refused with a `post_format` other than v03.",
        "on",
    )
    .only(WITH_CONTENT)
    .default("off"),
    of(
        "inlineByteMax",
        T::Size,
        "The largest content that travels in messages.",
        "64KiB",
    )
    .only(WITH_CONTENT)
    .default("4KiB"),
    of(
        "inlineEncoding",
        T::Choice,
        "How inline content is written: text if it can be, else base64 (`guess`), or one of the two.",
        "binary",
    )
    .only(WITH_CONTENT)
    .default("guess")
    .one_of(&["guess", "text", "binary"]),
    of(
        "inlineOnly",
        T::Flag,
        "Whether messages are rejected that can't hold their content.",
        "on",
    )
    .only(WITH_CONTENT)
    .default("off"),
    of(
        "concurrency",
        T::Count,
        "Most transfers at the same time. Messages for the same path keep their order.",
        "8",
    )
    .default("4")
    .between(1, 1_000)
    .new_here(),
    of(
        "timeout",
        T::Duration,
        "Longest one connect, read or write may take.",
        "5m",
    )
    .default("60s")
    .unlike("5m", "a peer that says nothing for a minute is gone; what was under way is tried again"),
    of(
        "bufSize",
        T::Size,
        "Bytes read or written at once.",
        "256KiB",
    )
    .only(HAS_FILES)
    .default("1MiB"),
    of(
        "byteRateMax",
        T::Size,
        "Most bytes in a second, for one transfer; `none`: no limit.",
        "500kB",
    )
    .only(MOVES)
    .default("none"),
    of(
        "ftpFilenameEncoding",
        T::Choice,
        "What an FTP server's file names are written in. Only `utf-8` is spoken; `latin-1` is refused.",
        "utf-8",
    )
    .only(SPEAKS)
    .default("utf-8")
    .one_of(&["utf-8", "latin-1"]),
    of(
        "httpsSafeQuote",
        T::Text,
        "Characters of a path that HTTP requests do not percent-encode.",
        "'/+:'",
    )
    .only(SPEAKS)
    .default("/+"),
    of(
        "httpUserAgent",
        T::Text,
        "Who HTTP requests say they are from. By default flow with its version.",
        "'office-mirror/1.0'",
    )
    .only(SPEAKS)
    .unlike("Sarracenia and its version", "it is another program"),
];
