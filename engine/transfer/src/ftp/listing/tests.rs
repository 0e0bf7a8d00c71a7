//! Listings of FTP servers as they come.

use flow_message::Timestamp;
use jiff::tz::TimeZone;

use super::{facts, line, machine, stamp, time};
use crate::{Entry, EntryKind};

fn now() -> Timestamp {
    "20260310T120000".parse().unwrap()
}

fn read(text: &str) -> Option<Entry> {
    line(text, &TimeZone::UTC, now())
}

/// Kind, name, size, time, mode and target, in one line.
fn shown(entry: Option<Entry>) -> String {
    let Some(entry) = entry else {
        return "none".into();
    };
    let kind = match entry.kind {
        EntryKind::File => 'f',
        EntryKind::Directory => 'd',
        EntryKind::Link => 'l',
        EntryKind::Other => 'o',
    };
    let mut text = format!("{kind} `{}`", entry.name);
    if let Some(size) = entry.size {
        text += &format!(" {size}");
    }
    if let Some(mtime) = entry.mtime {
        text += &format!(" {}", mtime.as_jiff());
    }
    if let Some(mode) = entry.mode {
        text += &format!(" {mode:o}");
    }
    if let Some(target) = entry.target {
        text += &format!(" -> {target}");
    }
    text
}

#[test]
fn unix_lines() {
    for (given, expected) in [
        (
            "-rw-r--r--   1 me       us             12 Jan 22 01:52 a  b.txt",
            "f `a  b.txt` 12 2026-01-22T01:52:00Z 644",
        ),
        (
            "-rw-r--r-- 1 ftp ftp 12 Nov 22 01:52 x",
            "f `x` 12 2025-11-22T01:52:00Z 644",
        ),
        (
            "-rw-r--r-- 1 ftp ftp 12 Mar 11 09:00 tomorrow",
            "f `tomorrow` 12 2026-03-11T09:00:00Z 644",
        ),
        (
            "-rw-r--r-- 1 ftp ftp 12 Feb 29 09:00 leap",
            "f `leap` 12 644",
        ),
        (
            "-rw-r--r--+ 1 ftp ftp 5000000000 Nov 22  2019 x",
            "f `x` 5000000000 2019-11-22T00:00:00Z 644",
        ),
        (
            "drwxrwsr-t   2 0 0 4096 Mar  1 00:00 dir",
            "d `dir` 2026-03-01T00:00:00Z 3775",
        ),
        (
            "lrwxrwxrwx 1 0 0 7 Mar  1 00:00 link -> to/there",
            "l `link` 2026-03-01T00:00:00Z 777 -> to/there",
        ),
        // Without a group, and with dates of `ls --time-style=long-iso` and of another language.
        (
            "-rw------- 1 me 12 Mar  1 00:00 x",
            "f `x` 12 2026-03-01T00:00:00Z 600",
        ),
        (
            "-rw------- 1 me us 12 2026-02-03 04:05 x",
            "f `x` 12 2026-02-03T04:05:00Z 600",
        ),
        ("-rw------- 1 me us 12 Mai  1 00:00 x", "f `x` 12 600"),
        ("-rw------- 1 me us 12 1 mars 00:00 x", "f `x` 12 600"),
        (" total 12", "none"),
        ("drwxr-xr-x 2 0 0 4096 Mar  1 00:00 .", "none"),
        ("drwxr-xr-x 2 0 0 4096 Mar  1 00:00 ..", "none"),
        ("", "none"),
    ] {
        assert_eq!(shown(read(given)), expected, "{given}");
    }
}

#[test]
fn windows_lines() {
    for (given, expected) in [
        (
            "11-22-26  01:52AM       <DIR>          some dir",
            "d `some dir` 2026-11-22T01:52:00Z",
        ),
        (
            "02-11-99  12:07PM                 1234 a b.txt",
            "f `a b.txt` 1234 1999-02-11T12:07:00Z",
        ),
        (
            "02-11-2016  12:07AM            1,234,567 x",
            "f `x` 1234567 2016-02-11T00:07:00Z",
        ),
        (
            "02-11-2016  23:07                 1 x",
            "f `x` 1 2016-02-11T23:07:00Z",
        ),
    ] {
        assert_eq!(shown(read(given)), expected, "{given}");
    }
}

#[test]
fn times_are_of_the_zone_that_is_given() {
    let zone = TimeZone::fixed(jiff::tz::offset(-5));
    let entry = line("-rw-r--r-- 1 f f 12 Jan 22 01:52 x", &zone, now()).unwrap();
    let mtime = entry.mtime.unwrap();
    assert_eq!(mtime.as_jiff().to_string(), "2026-01-22T06:52:00Z");
}

#[test]
fn lines_for_programs() {
    for (given, expected) in [
        (
            "modify=20260122015206.25;perm=r;size=12;type=file;unique=80;unix.mode=0644; a  b",
            "f `a  b` 12 2026-01-22T01:52:06.25Z 644",
        ),
        (
            "Type=dir;Modify=20260122015206; dir",
            "d `dir` 2026-01-22T01:52:06Z",
        ),
        (
            "type=OS.unix=slink:/to/it;size=4; link",
            "l `link` -> /to/it",
        ),
        ("type=OS.unix=symlink; link", "l `link`"),
        ("type=OS.unix=chr-1/3; null", "o `null`"),
        ("type=cdir;size=4; /home", "none"),
        ("type=pdir; ..", "none"),
        (" bare name", "f `bare name`"),
        ("nonsense", "none"),
    ] {
        assert_eq!(shown(machine(given)), expected, "{given}");
    }
}

#[test]
fn facts_and_times() {
    let reply =
        "250-Listing \"/x\":\r\n type=file;size=7;modify=20200102030405; /a b\r\n250 End.\r\n";
    let about = facts(reply).unwrap();
    assert_eq!(about.size, Some(7));
    assert_eq!(stamp(about.mtime.unwrap()), "20200102030405");
    for wrong in ["", "2020", "2020010203040x", "20201302030405", "äöü"] {
        assert_eq!(time(wrong), None, "{wrong}");
    }
}
