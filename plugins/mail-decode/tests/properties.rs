//! What holds for every mail, broken ones above all.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;

use common::{decode, listing, run};
use mail_decode::{Options, names};
use proptest::prelude::*;

/// Pieces a mail is made of, so that random mails get past the first line.
const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    "--",
    "--b",
    "--b--",
    "--bb",
    "--bb--",
    "\r\n--b\r\n",
    "\n--bb\n",
    "\n--b--\n",
    "Content-Type: multipart/mixed; boundary=b\r\n",
    "Content-Type: multipart/mixed; boundary=\"bb\"\n",
    "Content-Type: multipart/digest; boundary=b\n",
    "Content-Type: message/rfc822\r\n",
    "Content-Type: message/rfc822\n\n",
    "Content-Type: text/plain; charset=koi8-r; format=flowed; delsp=yes\n",
    "Content-Type: text/html\n\n",
    "Content-Type: text/plain; charset=utf-7\n\n",
    "Content-Type: text/plain; charset=iso-2022-jp\n\n",
    "Content-Type: message/external-body; x=y\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
    "Content-Transfer-Encoding: x-uuencode\n",
    "Content-Disposition: attachment; filename=\"../a.txt\"\r\n",
    "Content-Disposition: attachment; filename=a.txt\n\n",
    "Content-Disposition: inline; filename*0*=utf-8''%D0; filename*1*=%9F\n",
    "Content-ID: <x>\n",
    "Subject: =?utf-8?B?0J8=?= =?koi8-r?Q?=F0?=\r\n",
    "From: \"a\" <b@c>, d:e;\n",
    "Date: 1 Jan 70 00:00 GMT+3\n",
    "name=x\n",
    "begin 644 u.bin\n",
    "#0V%T\n",
    "`\nend\n",
    "SGVsbG8=",
    "SGVsbG8",
    "=D0=9F",
    "=\r\n",
    "= \n",
    "> quoted \r\n",
    "+BB8-",
    "\u{1b}$B",
    "word ",
    "-- \n",
    "=3D==",
    "\u{feff}",
    "прив\u{301}ет",
    ";",
    ":",
    "\"",
    "(",
    "=?",
];

fn mail() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        20 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => (prop::sample::select(PIECES), 1_usize..200).prop_map(|(piece, n)| piece.repeat(n).into_bytes()),
    ];
    let multipart = prop_oneof![
        2 => Just(Vec::new()),
        1 => Just(b"Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".to_vec()),
    ];
    (multipart, prop::collection::vec(piece, 0..40))
        .prop_map(|(head, pieces)| [head, pieces.concat()].concat())
}

fn check_names(outcome: &mail_decode::Outcome<Vec<u8>>) {
    let mut seen = BTreeSet::new();
    for part in &outcome.parts {
        let path = part.rel_path.strip_prefix("in/7/").unwrap();
        assert!(seen.insert(path.to_lowercase()), "{path} twice");
        assert!(path.split('/').count() <= 2, "{path}");
        for element in path.split('/') {
            assert!(!element.is_empty() && element.len() <= 255, "{element}");
            assert!(
                !element.starts_with('.') && !element.ends_with(['.', ' ']),
                "{element}"
            );
            assert!(
                !element.contains(|c: char| c.is_control() || c == '\\'),
                "{element}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn the_outcome_does_not_depend_on_the_cut(mail in mail(), size in 1_usize..80) {
        let options = Options::default();
        let whole = run(&mail, &options, usize::MAX);
        check_names(&whole);
        let expected = listing(&whole);
        for size in [size, 1, 4096] {
            prop_assert_eq!(&listing(&run(&mail, &options, size)), &expected, "by {}", size);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(mail in prop::collection::vec(any::<u8>(), 0..4000), size in 1_usize..5000) {
        let outcome = run(&mail, &Options::default(), size);
        check_names(&outcome);
        prop_assert_eq!(outcome.empty, mail.is_empty());
        prop_assert!(mail.is_empty() || outcome.found > 0 || outcome.truncated);
    }

    #[test]
    fn damage_anywhere_does_no_harm(mail in mail(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut mail = mail;
        if !mail.is_empty() {
            let at = at.index(mail.len());
            mail[at] = byte;
            if cut {
                mail.truncate(at);
            }
        }
        check_names(&decode(&mail));
    }

    #[test]
    fn every_name_becomes_safe(name in "\\PC{0,300}|[./\\\\\u{0}-\u{20}a\u{202e}]{0,40}|(CON|nul|com1|lpt¹)[. ]{0,3}[a-z]{0,3}") {
        if let Some(safe) = names::safe(&name) {
            prop_assert!(!safe.is_empty() && safe.len() <= 255);
            let harm = ['/', '\\', '\u{202e}', '\0'];
            prop_assert!(!safe.contains(harm));
            prop_assert!(!safe.starts_with('.') && !safe.ends_with(['.', ' ']), "{:?}", safe);
            prop_assert_eq!(names::safe(&safe), Some(safe.clone()), "not stable");
        }
    }

    #[test]
    fn names_given_out_are_unique(given in prop::collection::vec("[aA~1.]{1,6}", 0..60)) {
        let mut names = names::Names::default();
        let mut seen = BTreeSet::new();
        for name in given.iter().filter_map(|name| names::safe(name)) {
            let unique = names.unique(&name);
            prop_assert!(unique.len() <= 255);
            prop_assert!(seen.insert(unique.to_lowercase()), "{} twice", unique);
        }
    }
}
