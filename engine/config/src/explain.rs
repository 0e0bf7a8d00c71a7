//! The codes of findings, each with its page for `flow explain`.
//!
//! A [`Code`] can only be made here, together with its page, so no finding is without one.

/// The code of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(&'static str);

impl Code {
    pub(crate) fn name(self) -> &'static str {
        self.0
    }
}

/// The page about a code: what it means and what to do. None: the code is not of this crate.
pub fn explain(code: &str) -> Option<&'static str> {
    PAGES
        .iter()
        .find(|(name, _)| *name == code)
        .map(|(_, page)| *page)
}

/// Every code of this crate, sorted.
pub fn codes() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(name, _)| *name)
}

macro_rules! codes {
    ($($constant:ident = $name:literal, $page:literal;)*) => {
        $(pub(crate) const $constant: Code = Code($name);)*
        static PAGES: &[(&str, &str)] = &[$(($name, $page)),*];
    };
}

codes! {
    BAD_CHOICE = "config/bad-choice", "\
The option takes one of a few words, and this is none of them.

The message lists them. Words are written in lower case, exactly as listed.
";
    BAD_FLOW_NAME = "config/bad-flow-name", "\
A flow is named `kind/name`, after its file `<config>/<kind>/<name>.yaml`.

The kind is one of `poll`, `post`, `watch`, `subscribe`, `sarra`, `sender`, `shovel`, `winnow` and
`flow`. The name holds letters, digits, `-`, `_` and `.`, and starts with a letter or a digit.
`poll/news` and `poll/news.yaml` are the same flow.
";
    BAD_OVERRIDE = "config/bad-override", "\
`--set` takes `option=value`, as the flow file would set it:

    --set sleep=5m
    --set allow.connect='[data.example.com:993]'
    --set reader.after=keep              an option of every callback that uses plugin `reader`
    --set 'callbacks[0].after=keep'    an option of the first callback

A callback has to be in the flow already; `--set` changes its options and adds none.
";
    BAD_REGEX = "config/bad-regex", "\
The regular expression can't be read. The carets point at the spot where reading stopped.

Expressions are those of the Rust `regex` crate: as in Python, but without look-around (`(?=…)`,
`(?!…)`, `(?<…)`) and without back-references (`\\1`), so that matching takes linear time
whatever a peer sends. A rule that needs look-around can mostly be two rules:

    - reject: '.*/private/.*'
    - accept: '.*\\.pdf$'

Write expressions in single quotes: there a backslash is a backslash.
";
    BAD_TEMPLATE = "config/bad-template", "\
A `${…}` can't be filled in. The message says why.

    ${NAME}              environment variable        ${NAME:-default}   the same, or the default
    ${%Y-%m-%d}          time in UTC, strftime       ${%o-1h%Y%m%d}     an hour earlier
    ${1}                 first group of the rule that accepted the message
    ${BUP} ${BUPL}       path of baseUrl, and its last element
    ${SOURCE}            the field `source`          $${                a literal ${
    ${T1} ${T2} ${A1} ${A2} ${ii} ${CCCC} ${YY} ${GG} ${Gg} ${BBB}      parts of a bulletin's name
    ${WHATFN} ${HEADFN} ${SENDER} ${TIME} ${RYYYY} ${RMM} ${RDD} …      parts of a name from Sundew

A rule has only as many groups as its expression has parentheses.
";
    BAD_URL = "config/bad-url", "\
The value is not a URL that can be used here. A URL starts with a scheme: `https://me@host/new`.

Characters with a meaning of their own are percent-encoded: an `@` in a user name is `%40`, a
blank is `%20`, a `/` in a user name is `%2F`.
";
    BAD_VALUE = "config/bad-value", "\
The value has the right type, but can't be used for this option. The message says why.
";
    CIRCLE = "config/circle", "\
The flow posts to the exchange it consumes, under topics it is bound to, so every message it posts
comes back to it, without end.

Post to another exchange, or under another `post_topicPrefix`. With `nodupe_ttl` each message goes
round only once, so then it is a warning.
";
    CONFLICT = "config/conflict", "\
Two options exclude each other: only one of them can count, and which one nobody should have to
guess. Keep the one that is meant.
";
    DUPLICATE_KEY = "config/duplicate-key", "\
One mapping sets the same key twice. Only one of the two can have been meant, and which one counts
differs from one YAML reader to the next, so neither is taken.

Rules are not affected: `filters` is a list, and `accept` may stand in as many entries as needed.
";
    EMPTY = "config/empty", "\
The file holds no option. A flow has at least a source of messages:

    pollUrl: https://me@data.example.com/new
    callbacks: [reader]
    post_exchange: xs_news

`flow list examples` shows what there is to start from; `flow add` copies one.
";
    FORGETS_TOO_EARLY = "config/forgets-too-early", "\
A poll of listings sees the same files again and again, and knows by `nodupe_ttl` which of them it
has announced. Seeing one renews that, so it does not matter while the poll runs; after an outage
longer than `nodupe_ttl` everything that `fileAgeMax` lets pass is announced once more.

    fileAgeMax: 30d
    nodupe_ttl: 31d        longer than any file is announced; both are the defaults
";
    INCLUDE_LOOP = "config/include-loop", "\
A file includes itself, directly or through others. The message shows the circle.

Move what the files share to one that includes none of them.
";
    INCLUDE_NOT_FOUND = "config/include-not-found", "\
A file named under `include` can't be read. Paths are relative to the file that includes.
";
    KIND_NOT_AVAILABLE = "config/kind-not-available", "\
sr3 has a component of this name, and there is no such kind of flow. `cpost` is `post`, `cpump` is
`shovel` or `winnow`, and what `report` was for is in `flow retry` and `flow status`.
";
    LAX_TLS = "config/lax-tls", "\
`tlsRigour: lax` accepts any certificate, so anyone between here and the peer can pretend to be it,
and gets the password. It is for tests. For a peer with a certificate of one's own:

    caFile: /etc/ssl/office-ca.pem
";
    MISSING_DIRECTORY = "config/missing-directory", "\
The flow downloads, and for some messages it says nowhere where to. Rather than fill the directory
it happens to be started in, it does not start.

    directory: ${HOME}/inbox            for all messages, or
    filters:
      - accept: '.*\\.pdf$'
        directory: ${HOME}/inbox/pdf    for those of one rule
      - reject: '.*'                    and nothing is left over
    download: off                       or nothing is stored at all
";
    MISSING_OPTION = "config/missing-option", "\
The flow, a callback of it, or a rule can't work without this option. There is no default that would
be right for anyone, so it has to be written. The hint shows what it could look like.
";
    MISSING_UNIT = "config/missing-unit", "\
Time spans and sizes need a unit; a bare number has meant too many things.

    30s  5m  1h30m  1.5h  2d  1w  250ms
    500B  10k = 10kB  10MB  10KiB  64MiB  2G      k, M, G, T are thousands; Ki, Mi, Gi, Ti 1024

`0` needs none.
";
    NO_EFFECT = "config/no-effect", "\
The option is right, and changes nothing without another one that is not set. Set that one too, or
remove this. In an included file that several flows share it is left alone.
";
    NO_SUCH_FLOW = "config/no-such-flow", "\
There is no file `<config>/<kind>/<name>.yaml`. `flow list` shows the flows there are.
";
    NOBODY_ANSWERS = "config/nobody-answers", "\
The flow listens, but none of its plugins answers there. Requests at `listen: http:` and `https:` go
to the plugin with the entry point `request`, lines at `listen: unix:` to the one with `line`.

`flow plugin show NAME` lists the entry points of a plugin.
";
    NOBODY_SENDS = "config/nobody-sends", "\
`sendTo` names a scheme that is not built in, and no plugin of the flow sends to. Built in are
`file:`, `ftp:`, `ftps:`, `sftp:`, `s3:`, `azure:` and `gs:`. A plugin that sends is named under
`callbacks`; `flow plugin show NAME` lists its schemes.
";
    NOT_A_MAPPING = "config/not-a-mapping", "\
A flow file is a mapping of options to values, one `option: value` in a line, in any order. A list,
or a text by itself, names no option. An included file is a mapping as well.
";
    NOT_HERE = "config/not-here", "\
The option exists, but not in this place or not for this kind of flow. The message says where it
belongs. A setting without effect would only look as if it had one, so it is refused.
";
    NOT_IN_THIS_VERSION = "config/not-in-this-version", "\
sr3 has this option, and flow has not: the message says why. Remove it, if the flow can do without.
`flow convert` leaves such options out and lists them.
";
    NOT_NEEDED = "config/not-needed", "\
sr3 has this option, and flow does without: the message says what takes its place. Remove it.
`flow convert` does that by itself.
";
    NOT_YET = "config/not-yet", "\
The option is known and its value is sound, but flow does not carry it out: a file name encoding
other than UTF-8 at FTP servers, quality of service 2 and messages that are not kept with MQTT,
content inside messages of v02 and wis. A setting without effect would only look as if it had one,
so the flow does not start. The hint says what to write instead.
";
    NOTHING_GATHERS = "config/nothing-gathers", "\
No message can ever come into this flow: it consumes no queue (`exchange`), and no callback of it
gathers from somewhere else. Name a plugin that does under `callbacks`, or an `exchange`.

`flow plugin show NAME` lists the entry points of a plugin; the one that counts is `gather`.
";
    NOTHING_LISTENS = "config/nothing-listens", "\
A plugin of the flow answers HTTP requests and does nothing else, but nothing says where they come
in. Add the option `listen`:

    listen: http://127.0.0.1:8080/hooks

Only flows of kind `flow` listen.
";
    NOWHERE_TO_POST = "config/nowhere-to-post", "\
The flow tells nobody of its messages: it has no `post_exchange`, and no callback that sends or
posts. Set `post_exchange`, and let a subscribe flow bind to it with the same `exchange`.

A post, a watch, a shovel and a winnow are of no use without, and the last two would lose what they
take from their queues, so they do not start.
";
    OUT_OF_RANGE = "config/out-of-range", "\
The number is too small or too large. The message says what is possible.
";
    PASSWORD_IN_URL = "config/password-in-url", "\
Flow files are shown, copied, committed and mailed around, so they hold no passwords. Passwords are
in `credentials.conf` in the configuration directory, readable by its owner only:

    credentials.conf:   https://me:PASSWORD@data.example.com/
    the flow:           pollUrl: https://me@data.example.com/new

The two are brought together by scheme, host, port and user. Special characters in the password are
percent-encoded (`#` is `%23`, `@` is `%40`, `/` is `%2F`). Change a password that was committed.
A password is refused also when it comes in by a variable of the environment.
";
    PLUGIN_CHANGED = "config/plugin-changed", "\
The flow names the one file the plugin may be by its SHA-256, and the file that is there is another
one. It was not looked into, nothing of it ran, and the flow does not start.

    callbacks:
      - plugin: partner-fetch
        sha256: 5c1f…          # 64 digits, as `flow plugin show partner-fetch` prints them

If nobody changed the plugin on purpose, find out who did, and put the former file back. If the new
one is meant, look at what it asks for (`flow plugin show`), then write its number into the flow.
A shipped plugin changes with every version of flow; pin those only if you want to be asked then.
";
    PLUGIN_UNSIGNED = "config/plugin-unsigned", "\
The flow names the key its plugin has to be signed with, and the file that is there is not: it has
no signature beside it, or one made with another key, or one of another file. It was not looked
into, nothing of it ran, and the flow does not start.

    callbacks:
      - plugin: partner-fetch
        minisign: RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3

The signature is `partner-fetch.wasm.minisig` beside `partner-fetch.wasm`; `flow plugin add FILE
--minisign KEY` checks it and puts both where they belong. Unlike `sha256`, this takes every version
its author signs. Take the key from the author, and not from where the file came from.
";
    PLUGIN_UNUSABLE = "config/plugin-unusable", "\
The plugin is there and can't be used: it does not load, or what it says of itself is wrong. That
is for the plugin's author to fix; the message is what to send along.
";
    RELATIVE_DIRECTORY = "config/relative-directory", "\
The directory is relative, and so depends on where flow is started: in the background that is
nowhere in particular. Start it with `/`, `~/` or `${HOME}/`.
";
    SYNTAX = "config/syntax", "\
The file is not YAML, or uses a part of YAML flows do without (several documents, tags,
directives). Nothing after the spot was looked at, so there may be more findings once it is mended.

Most often a value wants single quotes: one that starts with `*`, `&`, `!`, `%`, `@` or a bracket,
one that holds `: ` or ` #`, every regular expression, and `${…}` inside `[…]` or `{…}`.
";
    TAB = "config/tab", "\
YAML indents with blanks; a tab there is an error. Set the editor to put two blanks for a tab.
";
    TOPIC_AND_FORMAT = "config/topic-and-format", "\
Bodies of one version are posted under topics of another. Those who bind to `v02.post.#` expect
messages of v02, and can't read v03. Each of `post_format` and `post_topicPrefix` follows from the
other, so one of the two is enough:

    post_format: v02       topics start with v02.post
";
    UNCLOSED_VARIABLE = "config/unclosed-variable", "\
A variable starts with `${` and ends with `}`, and here the `}` is missing. Where a `${` is meant as
it stands, write `$${`.
";
    UNKNOWN_OPTION = "config/unknown-option", "\
No option has this name here. Names are spelled as in sr3 and case counts; each has one spelling.
Older spellings of sr3 are known to `flow convert`, which rewrites them.

Options of a plugin stand in its entry under `callbacks`:

    sleep: 60s             an option of the flow
    callbacks:
      - plugin: reader
        after: keep        an option of plugin `reader`; `flow plugin show reader` lists them all
";
    UNKNOWN_PLUGIN = "config/unknown-plugin", "\
There is no plugin of this name, neither among those that come with flow nor in `<config>/plugins/`.
`flow list plugins` shows what there is.
";
    UNKNOWN_VARIABLE = "config/unknown-variable", "\
The variable is not set in the environment, and it is none of those flow knows: `${HOSTNAME}`,
`${CONFIG}` (the flow's name), `${COMPONENT}` (its kind), `${BROKER_USER}`, `${POST_BROKER_USER}`,
`${QUEUESHARE}`, and `${BD}` and `${PBD}` (baseDir and post_baseDir, where they are constant).

Set it where flow is started, or give a default: `${DATA_USER:-me%40example.com}`. Note that a
background service has an environment of its own. A literal `${` is written `$${`.
";
    UNREACHABLE_RULE = "config/unreachable-rule", "\
Rules are tried in order and the first that matches decides. An earlier rule matches everything
this one could match, so it never decides anything. Move it up, or remove it.
";
    UNREADABLE = "config/unreadable", "\
The file is there and can't be read, is not UTF-8 text, or is far too large for a flow. The message
says which. flow has to run as a user who may read its configuration directory.
";
    UNSUPPORTED_BROKER = "config/unsupported-broker", "\
Brokers are `embedded:`, which needs no server and is shared by all flows of the machine, `amqp:`
and `amqps:` (AMQP 0-9-1, such as RabbitMQ), and `mqtt:` and `mqtts:` (MQTT 5). AMQP 1.0 is another
protocol, and is not among them.
";
    VARIABLE_NOT_HERE = "config/variable-not-here", "\
The variable is different for every message, or for every moment, and this option is read once when
the flow starts. Such variables go into `directory`, `filename`, `path`, `rename`, `baseDir`,
`post_baseUrl`, `post_baseDir` and the values of `header`.
";
    WRONG_TYPE = "config/wrong-type", "\
The value is of another type than the option: a list where one value is wanted, words where a number
is wanted. The label at the spot says what to write.
";
    WRONG_UNIT = "config/wrong-unit", "\
The unit is none of those there are. They are lower case for time spans (`5d`, never `5D`): sr3 read
`5D` as five seconds. Months and years differ in length, so they are written in days.

    250ms  30s  5m  1h30m  2d  1w
    500B  10k = 10kB  10MB  10KiB  64MiB  2G
";
    CREDENTIALS_NOT_FOUND = "credentials/not-found", "\
`credentials.conf` has no line for this URL. A line belongs to a URL when scheme and host are the
same, the port is the same or left out on one side, and the user is the same if the URL names one:

    https://me:PASSWORD@data.example.com/

User and password are percent-encoded. The file is readable by its owner only (`chmod 600`).
";
    CREDENTIALS_PERMISSIONS = "credentials/permissions", "\
Others than its owner may read or change `credentials.conf`, so the passwords in it are not safe and
it is not used. `chmod 600` it. If others had access for a while, change the passwords too.
";
    CREDENTIALS_SYNTAX = "credentials/syntax", "\
A line of `credentials.conf` can't be read. Each is a URL with user and password, and after a blank
the options, separated by commas; lines that start with `#` are comments:

    sftp://me@files.example.org/ ssh_keyfile=/home/me/.ssh/id_ed25519
    ftp://me:PASSWORD@files.example.org/ passive, binary
    https://:TOKEN@api.example.org/

In user and password these are percent-encoded: `#` is `%23`, `@` is `%40`, `/` is `%2F`, `:` is
`%3A`, `?` is `%3F`, `%` is `%25`, a blank is `%20`. The line itself is never shown.
";
    CREDENTIALS_UNREADABLE = "credentials/unreadable", "\
`credentials.conf` is there and can't be read. It belongs to the user flow runs as, mode 600.
";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_well_formed_and_has_a_page() {
        let all: Vec<_> = codes().collect();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(all, sorted, "codes are unique and sorted");
        for code in all {
            let (area, slug) = code.split_once('/').expect("area/slug");
            assert!(matches!(area, "config" | "credentials"), "{code}");
            assert!(
                slug.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{code}"
            );
            let page = explain(code).expect("it was listed");
            assert!(page.len() > 60 && page.ends_with('\n'), "{code}");
            assert!(
                page.lines().all(|line| line.chars().count() <= 100),
                "{code}"
            );
        }
        assert_eq!(explain("config/no-such-code"), None);
    }
}
