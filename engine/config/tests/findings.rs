//! What a person reads when a flow is wrong, pinned word for word.

mod common;

use common::{load, load_with, refused};

/// The start of a poll that is right.
const POLL: &str =
    "pollUrl: imaps://me@imap.example.com/INBOX\ncallbacks: [mail]\npost_exchange: xs\n";

#[track_caller]
fn check(name: &str, text: &str, expected: &str) {
    assert_eq!(refused(name, text), expected.trim_start_matches('\n'));
}

#[track_caller]
fn check_set(option: &str, value: &str, expected: &str) {
    let report = load_with("poll/mail", POLL, &[(option, value)]).expect_err("it loaded");
    assert_eq!(report.render(false), expected.trim_start_matches('\n'));
}

#[test]
fn several_findings_come_at_once_in_file_order() {
    check(
        "subscribe/scans",
        "\
# subscribe/scans.yaml
exchange: xs_scans
timeout: 30
directory: /data
callbacks:
  - plugin: decode
    languages: [en]
    limits: { deadline: 5 }
  - plugin: mial
  - mail
post_exchange: xpublic
",
        "
error[config/missing-unit]: `timeout` needs a unit
  --> subscribe/scans.yaml:3:10
    |
  3 | timeout: 30
    |          ^^ write `30s`, `30m` or `30h`

error[config/unknown-option]: `languages` is not an option of plugin `decode`
  --> subscribe/scans.yaml:7:5
    |
  7 |     languages: [en]
    |     ^^^^^^^^^ did you mean `language`?
    = hint: `flow plugin show decode` lists every option with its default

error[config/missing-unit]: `deadline` needs a unit
  --> subscribe/scans.yaml:8:25
    |
  8 |     limits: { deadline: 5 }
    |                         ^ write `5s`, `5m` or `5h`

error[config/unknown-plugin]: there is no plugin `mial`
  --> subscribe/scans.yaml:9:13
    |
  9 |   - plugin: mial
    |             ^^^^ did you mean `mail`?
    = hint: `flow list plugins` shows what there is
",
    );
}

#[test]
fn unknown_options_say_what_was_meant() {
    check(
        "poll/mail",
        &format!(
            "{POLL}slep: 5m\naccept_unmatch: on\nexchange: x\ninstances: 3\nafter: keep\nzzz: 1\naccept: x\n"
        ),
        "
error[config/unknown-option]: `slep` is not an option of a `poll` flow
  --> poll/mail.yaml:4:1
    |
  4 | slep: 5m
    | ^^^^ did you mean `sleep`?

error[config/unknown-option]: `accept_unmatch` is not an option of a `poll` flow
  --> poll/mail.yaml:5:1
    |
  5 | accept_unmatch: on
    | ^^^^^^^^^^^^^^ it is spelled `acceptUnmatched`
    = hint: `flow convert` rewrites older spellings

error[config/not-here]: `exchange` means nothing in a `poll` flow
  --> poll/mail.yaml:6:1
    |
  6 | exchange: x
    | ^^^^^^^^ a poll consumes no queue
    = hint: a poll posts, so its exchange is `post_exchange`

error[config/not-here]: `instances` means nothing in a `poll` flow
  --> poll/mail.yaml:7:1
    |
  7 | instances: 3
    | ^^^^^^^^^ a poll consumes no queue
    = hint: it belongs to `subscribe`, `sarra`, `sender`, `shovel`, `winnow` and `flow` flows

error[config/unknown-option]: `after` is not an option of a `poll` flow
  --> poll/mail.yaml:8:1
    |
  8 | after: keep
    | ^^^^^ it is an option of plugin `mail`: move it to its entry in `callbacks`

error[config/unknown-option]: `zzz` is not an option of a `poll` flow
  --> poll/mail.yaml:9:1
    |
  9 | zzz: 1
    | ^^^
    = hint: `flow explain config/unknown-option` shows where options go

error[config/unknown-option]: `accept` is not an option of a `poll` flow
  --> poll/mail.yaml:10:1
    |
 10 | accept: x
    | ^^^^^^ rules are entries of `filters`
    = hint: for example `filters: [{accept: '.*\\.pdf$'}]`
",
    );
}

#[test]
fn values_of_the_wrong_kind_say_what_to_write() {
    check(
        "poll/mail",
        &format!(
            "{POLL}housekeeping: 5D\nbatch: many\nsleep: [1s]\ntimeout:\nidentity: sha256\n\
             permDefault: 888\nfileAgeMin: -1s\nfsync: maybe\nconcurrency: 0\n"
        ),
        "
error[config/wrong-unit]: `housekeeping` has the unknown unit `D`
  --> poll/mail.yaml:4:15
    |
  4 | housekeeping: 5D
    |               ^^ write `5d`

error[config/wrong-type]: `batch` is a whole number, and `many` is none
  --> poll/mail.yaml:5:8
    |
  5 | batch: many
    |        ^^^^ write digits only, such as `100`

error[config/wrong-type]: `sleep` takes a single value, this is a list
  --> poll/mail.yaml:6:8
    |
  6 | sleep: [1s]
    |        ^^^^ write `sleep: 5m`

error[config/wrong-type]: `timeout` has no value
  --> poll/mail.yaml:7:8
    |
  7 | timeout:
    |        ^ write `timeout: 5m`

error[config/bad-choice]: `identity` can't be `sha256`
  --> poll/mail.yaml:8:11
    |
  8 | identity: sha256
    |           ^^^^^^ one of `sha512`, `md5`, `none`, `random`, `cod,sha512`, `cod,md5`

error[config/wrong-type]: `permDefault` is permission bits in octal, and `888` is not
  --> poll/mail.yaml:9:14
    |
  9 | permDefault: 888
    |              ^^^ write three octal digits, such as `644`

error[config/out-of-range]: `fileAgeMin` can't be negative
  --> poll/mail.yaml:10:13
    |
 10 | fileAgeMin: -1s
    |             ^^^ write `0` for none

error[config/wrong-type]: `fsync` is on or off, and `maybe` is neither
  --> poll/mail.yaml:11:8
    |
 11 | fsync: maybe
    |        ^^^^^ write `on` or `off`

error[config/out-of-range]: `concurrency` has to be at least 1
  --> poll/mail.yaml:12:14
    |
 12 | concurrency: 0
    |              ^ write `1` or more
",
    );
}

#[test]
fn a_password_is_refused_and_never_shown() {
    let expected = "
error[config/password-in-url]: the URL in `pollUrl` holds a password
  --> poll/mail.yaml:1:21
    |
  1 | pollUrl: imaps://me:****@imap.example.com/INBOX
    |                     ^^^^ flow files are no place for it
    = hint: write the URL with the user only, and put it with the password in `credentials.conf` (chmod 600)
";
    // A password with characters that have to be encoded makes the URL wrong, and is hidden too.
    for password in [
        "geheim",
        "ge#heim",
        "ge/h@eim",
        "ge?heim:1",
        "geheim%",
        "p:geheim",
    ] {
        let text = POLL.replace("me@", &format!("me:{password}@"));
        check("poll/mail", &text, expected);
        let json =
            serde_json::to_string(&load("poll/mail", &text).expect_err("refused")).expect("JSON");
        assert!(!json.contains("heim"), "{json}");
    }
}

#[test]
fn passwords_are_found_wherever_a_url_is() {
    check(
        "flow/a",
        "\
exchange: x
callbacks:
  - { plugin: api, url: 'https://u:geheim@h/', token: geheim, strct: on }
post_exchange: y
post_baseUrl: https://u:geheim@data.example.org/${%Y}
header: {via: 'https://${MAIL_USER:-x}:geheim@h/'}
",
        "
error[config/password-in-url]: the URL in `url` holds a password
  --> flow/a.yaml:3:36
    |
  3 |   - { plugin: api, url: 'https://u:****@h/', token: ****, strct: on }
    |                                    ^^^^ flow files are no place for it
    = hint: write the URL with the user only, and put it with the password in `credentials.conf` (chmod 600)

error[config/unknown-option]: `strct` is not an option of plugin `api`
  --> flow/a.yaml:3:63
    |
  3 |   - { plugin: api, url: 'https://u:****@h/', token: ****, strct: on }
    |                                                           ^^^^^ did you mean `strict`?
    = hint: `flow plugin show api` lists every option with its default

error[config/password-in-url]: the URL in `post_baseUrl` holds a password
  --> flow/a.yaml:5:25
    |
  5 | post_baseUrl: https://u:****@data.example.org/${%Y}
    |                         ^^^^ flow files are no place for it
    = hint: write the URL with the user only, and put it with the password in `credentials.conf` (chmod 600)

error[config/password-in-url]: the URL in `via` holds a password
  --> flow/a.yaml:6:40
    |
  6 | header: {via: 'https://${MAIL_USER:-x}:****@h/'}
    |                                        ^^^^ flow files are no place for it
    = hint: write the URL with the user only, and put it with the password in `credentials.conf` (chmod 600)
",
    );
}

#[test]
fn variables_that_are_not_known_are_pointed_at() {
    check(
        "poll/mail",
        &format!(
            "{POLL}sleep: ${{SLEEP:-${{NAP}}}}\ntimeout: '${{HOMME}}'\ndescription: a ${{ b\n\
             caFile: /x/${{%Y}}\nbatch: ${{MAIL_USER}}\nrename: ${{%Y%!}}\n"
        ),
        "
error[config/unknown-variable]: the variable `NAP` in `sleep` is not set
  --> poll/mail.yaml:4:17
    |
  4 | sleep: ${SLEEP:-${NAP}}
    |                 ^^^^^^ not in the environment
    = hint: set it where flow is started, or give a default: `${NAP:-value}`

error[config/unknown-variable]: the variable `HOMME` in `timeout` is not set
  --> poll/mail.yaml:5:11
    |
  5 | timeout: '${HOMME}'
    |           ^^^^^^^^ did you mean `${HOME}`?
    = hint: set it where flow is started, or give a default: `${HOMME:-value}`

error[config/unclosed-variable]: `${` in `description` is never closed
  --> poll/mail.yaml:6:16
    |
  6 | description: a ${ b
    |                ^^ the `}` is missing
    = hint: a literal `${` is written `$${`

error[config/variable-not-here]: `${%Y}` can't be used in `caFile`, which is read once
  --> poll/mail.yaml:7:12
    |
  7 | caFile: /x/${%Y}
    |            ^^^^^ changes with the time

error[config/wrong-type]: `batch` is a whole number, and `me%40example.com` is none
  --> poll/mail.yaml:8:8
    |
  8 | batch: ${MAIL_USER}
    |        ^^^^^^^^^^^^ write digits only, such as `100`
    = note: it is `me%40example.com`, with `MAIL_USER` from the environment

error[config/bad-template]: `${%Y%!}` in `rename` has a time format `%Y%!` that is not understood
  --> poll/mail.yaml:9:9
    |
  9 | rename: ${%Y%!}
    |         ^^^^^^^
    = hint: a literal `${` is written `$${`
",
    );
}

#[test]
fn rules_are_checked_one_by_one_and_against_each_other() {
    check(
        "flow/a",
        "\
exchange: x
filters:
  - accept: '*.pdf'
  - accept: '.*\\.(pdf$'
  - accept: '.*/(a|b)/.*'
    directory: /d/${2}
  - accept: '.*/(a|b)/.*'
  - accept: '.*'
  - reject: 'x'
    mirror: on
  - keep: y
  - acept: z
  - just text
  - {accept: a, reject: b, sleep: 5s}
",
        "
error[config/bad-regex]: `accept` is not a regular expression: repetition operator missing expression
  --> flow/a.yaml:3:14
    |
  3 |   - accept: '*.pdf'
    |              ^ nothing is before it
    = hint: an expression is no file pattern: write `.*` for anything

error[config/bad-regex]: `accept` is not a regular expression: unclosed group
  --> flow/a.yaml:4:18
    |
  4 |   - accept: '.*\\.(pdf$'
    |                  ^

error[config/bad-template]: `${2}` in `directory` is always empty
  --> flow/a.yaml:6:19
    |
  6 |     directory: /d/${2}
    |                   ^^^^ the rule has one group
    = hint: a group is what parentheses in the rule's expression match

error[config/unreachable-rule]: this rule is never reached
  --> flow/a.yaml:7:13
    |
  7 |   - accept: '.*/(a|b)/.*'
    |             ^^^^^^^^^^^^^ flow/a.yaml:5 accepts the same before
    = hint: rules are tried in order and the first that matches decides: move it up, or remove it

error[config/unreachable-rule]: this rule is never reached
  --> flow/a.yaml:9:13
    |
  9 |   - reject: 'x'
    |             ^^^ flow/a.yaml:8 accepts everything before
    = hint: rules are tried in order and the first that matches decides: move it up, or remove it

error[config/not-here]: `mirror` has no effect in a `reject`
  --> flow/a.yaml:10:5
    |
 10 |     mirror: on
    |     ^^^^^^ what is rejected is not stored

error[config/missing-option]: a rule needs `accept` or `reject`
  --> flow/a.yaml:11:5
    |
 11 |   - keep: y
    |     ^^^^^^^ which one?
    = hint: for example `- accept: '.*\\.pdf$'`

error[config/unknown-option]: `keep` is not an option of a rule
  --> flow/a.yaml:11:5
    |
 11 |   - keep: y
    |     ^^^^
    = hint: a rule has `accept` or `reject`, and `directory`, `mirror`, `strip`, `flatten`, `filename`

error[config/unknown-option]: `acept` is not an option of a rule
  --> flow/a.yaml:12:5
    |
 12 |   - acept: z
    |     ^^^^^ did you mean `accept`?
    = hint: a rule has `accept` or `reject`, and `directory`, `mirror`, `strip`, `flatten`, `filename`

error[config/wrong-type]: a rule is `accept:` or `reject:`, this is a single value
  --> flow/a.yaml:13:5
    |
 13 |   - just text
    |     ^^^^^^^^^ write `accept: '.*\\.pdf$'`

error[config/unreachable-rule]: this rule is never reached
  --> flow/a.yaml:14:14
    |
 14 |   - {accept: a, reject: b, sleep: 5s}
    |              ^ flow/a.yaml:8 accepts everything before
    = hint: rules are tried in order and the first that matches decides: move it up, or remove it

error[config/not-here]: a rule either accepts or rejects
  --> flow/a.yaml:14:17
    |
 14 |   - {accept: a, reject: b, sleep: 5s}
    |                 ^^^^^^ start a new entry with `-`

error[config/not-here]: `sleep` can't be set in a rule
  --> flow/a.yaml:14:28
    |
 14 |   - {accept: a, reject: b, sleep: 5s}
    |                            ^^^^^ it is an option of the flow
",
    );
}

#[test]
fn what_is_no_flow_at_all() {
    let nothing = "
error[config/empty]: the file holds no option
  --> flow/a.yaml
    = hint: `flow list examples` shows what there is to start from
";
    for text in ["", "\n\n", "# only a comment\n", "---\n", "~\n"] {
        check("flow/a", text, nothing);
    }
    check(
        "flow/a",
        "- a\n",
        "
error[config/not-a-mapping]: a flow is a mapping of options, this is a list
  --> flow/a.yaml:1:1
    |
  1 | - a
    | ^^^ write `option: value`
",
    );
    check(
        "flow/a",
        "filters:\n\t- accept: x\n",
        "
error[config/tab]: a tab where YAML wants blanks
  --> flow/a.yaml:2:1
    |
  2 |  - accept: x
    | ^ replace the tab with blanks
    = hint: set the editor to indent YAML with two blanks
",
    );
    check(
        "flow/a",
        "filters:\n  - accept: *.pdf\n",
        "
error[config/syntax]: the file is not valid YAML: `*` starts an alias, and there is no anchor of this name
  --> flow/a.yaml:2:13
    |
  2 |   - accept: *.pdf
    |             ^
    = hint: put the value in single quotes: '…'
",
    );
    check(
        "flow/a",
        "description: a: b\n",
        "
error[config/syntax]: the file is not valid YAML: `: ` inside a value that is not quoted
  --> flow/a.yaml:1:15
    |
  1 | description: a: b
    |               ^
    = hint: put the value in single quotes: '…'
",
    );
    check(
        "flow/a",
        "allow: {connect: [${HOST}:993]}\n",
        "
error[config/syntax]: the file is not valid YAML: expected `,` or the closing bracket
  --> flow/a.yaml:1:20
    |
  1 | allow: {connect: [${HOST}:993]}
    |                    ^
    = hint: inside `[…]` and `{…}`, put a value with `${…}` in single quotes
",
    );
}

#[test]
fn a_key_that_is_set_twice() {
    check(
        "poll/mail",
        &format!("{POLL}sleep: 5s\npollUrl: x\n"),
        "
error[config/duplicate-key]: `pollUrl` is set twice
  --> poll/mail.yaml:5:1
    |
  5 | pollUrl: x
    | ^^^^^^^ first set in line 1
    = hint: keep one of the two
",
    );
}

#[test]
fn what_a_kind_can_not_do_without() {
    check(
        "subscribe/x",
        "sleep: 5s\n",
        "
error[config/missing-option]: a `subscribe` flow needs the option `exchange`
  --> subscribe/x.yaml
    = hint: for example `exchange: xs_news`

error[config/missing-directory]: nothing says where to store what is downloaded
  --> subscribe/x.yaml
    = hint: add `directory: ${HOME}/inbox`, or `download: off` if nothing is to be stored
",
    );
    check(
        "poll/x",
        "sleep: 5s\n",
        "
error[config/missing-option]: a `poll` flow needs the option `pollUrl`
  --> poll/x.yaml
    = hint: for example `pollUrl: https://me%40example.com@data.example.com/new`

error[config/nothing-gathers]: no message can ever come into this flow
  --> poll/x.yaml
    = hint: name the plugin that asks `pollUrl` under `callbacks`; `flow list plugins` shows what there is

warning[config/nowhere-to-post]: the poll tells nobody what it finds
  --> poll/x.yaml
    = hint: add `post_exchange: xs_…`, and `exchange: xs_…` to the flow that is to get it
",
    );
}

#[test]
fn the_command_line_is_pointed_at_too() {
    check_set(
        "sleep",
        "5",
        "
error[config/missing-unit]: `sleep` needs a unit
  --> --set
    |
    | sleep=5
    |       ^ write `5s`, `5m` or `5h`
",
    );
    check_set(
        "mail.after",
        "kep",
        "
error[config/bad-choice]: `after` can't be `kep`
  --> --set
    |
    | mail.after=kep
    |            ^^^ did you mean `keep`?
    = hint: it is one of `keep`, `seen`, `move`, `delete`
",
    );
    check_set(
        "mial.after",
        "keep",
        "
error[config/bad-override]: the flow has no callback `mial`
  --> --set
    |
    | mial.after=keep
    | ^^^^^^^^^^ did you mean `mail`?
",
    );
    check_set(
        "callbacks[3].after",
        "keep",
        "
error[config/bad-override]: the flow has no `callbacks[3]`
  --> --set
    |
    | callbacks[3].after=keep
    | ^^^^^^^^^^^^^^^^^^ its only one is `callbacks[0]`
",
    );
    check_set(
        "pollUrl",
        "imaps://me:geheim@h/",
        "
error[config/password-in-url]: the URL in `pollUrl` holds a password
  --> --set
    |
    | pollUrl=imaps://me:****@h/
    |                    ^^^^ flow files are no place for it
    = hint: write the URL with the user only, and put it with the password in `credentials.conf` (chmod 600)
",
    );
}

#[test]
fn the_machine_readable_form_is_stable() {
    let report = load(
        "poll/mail",
        &POLL.replace("post_exchange: xs", "sleep: 30\npost_exchange: xs"),
    )
    .expect_err("refused");
    assert_eq!(
        serde_json::to_string(&report).expect("JSON"),
        concat!(
            r#"[{"code":"config/missing-unit","severity":"error","file":"poll/mail.yaml","line":3,"#,
            r#""column":8,"length":2,"message":"`sleep` needs a unit","#,
            r#""label":"write `30s`, `30m` or `30h`","notes":[],"hints":[],"#,
            r#""source":{"text":"sleep: 30","start":7,"length":2}}]"#
        )
    );
}

#[test]
fn colour_adds_nothing_but_colour() {
    let report = load("poll/mail", &format!("{POLL}slep: 5s\nbatch: x\n")).expect_err("refused");
    let coloured = report.render(true);
    assert!(coloured.contains("\u{1b}[1;31merror[config/unknown-option]\u{1b}[0m"));
    let mut plain = String::new();
    for part in coloured.split('\u{1b}') {
        plain.push_str(match part.strip_prefix('[') {
            Some(rest) => rest.split_once('m').expect("an escape ends in m").1,
            None => part,
        });
    }
    assert_eq!(plain, report.render(false));
}
