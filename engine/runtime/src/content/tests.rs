//! What files look like before, during and after.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_config::{IdentityMethod, Inflight};
use flow_message::{Identity, Message, Timestamp};

use super::commit::with_hash;
use super::file::Draft;
use super::{Commit, Local, Method, Place, Refused, commit_all, file_path, is_announced};
use crate::filter::Placed;
use crate::ports::{Failure, Location};
use crate::testing::plain_flow;

struct Fixture {
    directory: tempfile::TempDir,
    local: Arc<Local>,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut flow_config::Flow)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut flow = plain_flow();
        change(&mut flow);
        let local = Local::new(&flow, directory.path().to_owned());
        Self { directory, local }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn draft(&self, name: &str) -> Result<Draft, Failure> {
        let root = self.directory.path();
        let path = self.path(name);
        let (directory, file) = (
            path.parent().unwrap(),
            path.file_name().unwrap().to_str().unwrap(),
        );
        Draft::create(
            &self.local,
            root,
            directory,
            file,
            self.local.overwrite,
            Method::Sha512,
        )
    }

    fn commit(&self, name: &str, text: &str, place: Place) -> Result<String, Refused> {
        let written = match &place {
            Place::Beside { hash } => with_hash(name, hash),
            _ => name.to_owned(),
        };
        let mut draft = self.draft(&written)?;
        draft.write(text.as_bytes())?;
        let stored = draft.finish()?;
        let path = self.path(name);
        let location = Location {
            directory: path.parent().unwrap().to_owned(),
            filename: path.file_name().unwrap().to_str().unwrap().to_owned(),
        };
        let placed = Placed {
            location,
            root: self.directory.path().to_owned(),
        };
        let done = commit_all(
            &self.local,
            vec![Commit {
                stored,
                placed,
                place,
                looks: super::Looks::default(),
            }],
            true,
        )
        .unwrap();
        done.into_iter()
            .next()
            .unwrap()
            .map(|location| location.filename)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

fn beside(hash: &str) -> Place {
    Place::Beside { hash: hash.into() }
}

#[test]
fn nothing_shows_under_the_final_name_before_the_commit() {
    for (inflight, expected) in [
        (Inflight::Dot, ".x.tmp"),
        (Inflight::Suffix(".part".into()), "x.part"),
        (Inflight::None, "x"),
    ] {
        let fixture = Fixture::new(|flow| flow.inflight = inflight);
        let mut draft = fixture.draft("x").unwrap();
        draft.write(b"half").unwrap();
        assert_eq!(fixture.names(), [expected]);
        drop(draft);
        assert!(fixture.names().is_empty());
        let mut draft = fixture.draft("x").unwrap();
        draft.write(b"whole").unwrap();
        let stored = draft.finish().unwrap();
        assert_eq!(fixture.names(), [expected]);
        drop(stored);
        assert!(fixture.names().is_empty());
        assert_eq!(fixture.commit("x", "whole", Place::Replace).unwrap(), "x");
        assert_eq!(fixture.names(), ["x"]);
    }
}

#[test]
fn unfinished_content_can_be_in_a_directory_of_its_own() {
    let elsewhere = tempfile::tempdir().unwrap();
    let absolute = elsewhere.path().join("in");
    for (directory, place) in [
        ("tmp/".to_owned(), None),
        (format!("{}/", absolute.display()), Some(&absolute)),
    ] {
        let fixture = Fixture::new(|flow| flow.inflight = Inflight::Directory(directory.clone()));
        let place = place.cloned().unwrap_or_else(|| fixture.path("tmp"));
        let mut draft = fixture.draft("x").unwrap();
        draft.write(b"half").unwrap();
        assert!(place.join("x").exists() && !fixture.path("x").exists());
        drop(draft);
        assert!(!place.join("x").exists());
        fixture.commit("x", "whole", Place::Replace).unwrap();
        assert_eq!(fixture.read("x"), "whole");
        assert!(!place.join("x").exists());
    }
}

#[test]
fn a_redo_takes_what_a_crash_left() {
    let fixture = Fixture::new(|_| {});
    fs::write(fixture.path(".x.tmp"), "left by a crash, and longer").unwrap();
    fixture.commit("x", "redone", Place::Replace).unwrap();
    assert_eq!(fixture.names(), ["x"]);
    assert_eq!(fixture.read("x"), "redone");
}

#[test]
fn a_planted_link_is_replaced_and_not_followed() {
    let fixture = Fixture::new(|_| {});
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("precious");
    fs::write(&target, "precious").unwrap();
    symlink(&target, fixture.path(".x.tmp")).unwrap();
    symlink(&target, fixture.path("x")).unwrap();
    fixture.commit("x", "new", Place::Replace).unwrap();
    assert_eq!(fs::read_to_string(target).unwrap(), "precious");
    assert_eq!(fixture.read("x"), "new");
}

#[test]
fn links_that_lead_out_are_refused_and_those_that_stay_are_not() {
    let fixture = Fixture::new(|_| {});
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), fixture.path("out")).unwrap();
    fs::create_dir(fixture.path("in")).unwrap();
    symlink(fixture.path("in"), fixture.path("alias")).unwrap();
    assert!(matches!(fixture.draft("out/x"), Err(Failure::Permanent(_))));
    assert!(matches!(
        fixture.draft("out/deeper/x"),
        Err(Failure::Permanent(_))
    ));
    assert!(fixture.draft("alias/x").is_ok());
    fs::write(fixture.path("file"), "").unwrap();
    assert!(matches!(
        fixture.draft("file/x"),
        Err(Failure::Permanent(_))
    ));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn two_writers_of_one_name_do_not_meet() {
    let fixture = Fixture::new(|_| {});
    let mut first = fixture.draft("x").unwrap();
    let mut second = fixture.draft("x").unwrap();
    first.write(b"first").unwrap();
    second.write(b"second").unwrap();
    assert_eq!(fixture.names(), [".x.2.tmp", ".x.tmp"]);
    drop(first.finish().unwrap());
    drop(second);
    assert!(fixture.names().is_empty());
    drop(fixture.draft("x").unwrap());
}

#[test]
fn another_process_on_the_same_name_is_noticed() {
    let fixture = Fixture::new(|_| {});
    let mut draft = fixture.draft("x").unwrap();
    draft.write(b"ours").unwrap();
    let stored = draft.finish().unwrap();
    fs::write(fixture.path("other"), "thei").unwrap();
    fs::rename(fixture.path("other"), fixture.path(".x.tmp")).unwrap();
    let location = Location {
        directory: fixture.directory.path().into(),
        filename: "x".into(),
    };
    let placed = Placed {
        location,
        root: fixture.directory.path().into(),
    };
    let commit = Commit {
        stored,
        placed,
        place: Place::Replace,
        looks: super::Looks::default(),
    };
    let done = commit_all(&fixture.local, vec![commit], false).unwrap();
    assert!(
        matches!(done[0], Err(Refused::Failed(Failure::Temporary { .. }))),
        "{done:?}"
    );
    assert!(!fixture.path("x").exists());
}

#[test]
fn what_must_stay_stays_unless_it_is_the_same() {
    let fixture = Fixture::new(|flow| flow.overwrite = false);
    fixture.commit("x", "older", Place::Keep).unwrap();
    let refused = fixture.commit("x", "newer", Place::Keep).unwrap_err();
    assert!(matches!(refused, Refused::Rejected(rejection) if rejection.code == 204));
    assert_eq!(fixture.commit("x", "older", Place::Keep).unwrap(), "x");
    assert_eq!(fixture.names(), ["x"]);
    assert_eq!(fixture.read("x"), "older");
}

#[test]
fn derived_content_keeps_its_name_over_redos_in_any_order() {
    let fixture = Fixture::new(|_| {});
    let write = |hash: &str, text: &str| fixture.commit("r.pdf", text, beside(hash)).unwrap();
    assert_eq!(write("aaaaaaaa", "of a"), "r.pdf");
    assert_eq!(write("bbbbbbbb", "of b"), "r~bbbbbbbb.pdf");
    assert_eq!(write("cccccccc", "of c"), "r~cccccccc.pdf");
    for _ in 0..2 {
        assert_eq!(write("cccccccc", "of c"), "r~cccccccc.pdf");
        assert_eq!(write("aaaaaaaa", "of a"), "r.pdf");
        assert_eq!(write("bbbbbbbb", "of b"), "r~bbbbbbbb.pdf");
    }
    // Whoever had the plain name left: the others keep theirs.
    fs::remove_file(fixture.path("r.pdf")).unwrap();
    assert_eq!(write("bbbbbbbb", "of b"), "r~bbbbbbbb.pdf");
    // Equal bytes under an equal name are one file.
    assert_eq!(write("dddddddd", "same"), "r.pdf");
    assert_eq!(write("eeeeeeee", "same"), "r.pdf");
    assert_eq!(
        fixture.names(),
        ["r.pdf", "r~bbbbbbbb.pdf", "r~cccccccc.pdf"]
    );
}

#[test]
fn hashed_names_keep_their_extension_and_fit() {
    for (name, expected) in [
        ("report.pdf", "report~12345678.pdf"),
        ("archive.tar.gz", "archive.tar~12345678.gz"),
        ("README", "README~12345678"),
        (".hidden", ".hidden~12345678"),
    ] {
        assert_eq!(with_hash(name, "12345678"), expected);
    }
    for name in [
        "ж".repeat(127) + "x",
        "x".repeat(251) + ".pdf",
        format!("a.{}", "x".repeat(253)),
    ] {
        let hashed = with_hash(&name, "12345678");
        assert!(
            hashed.len() <= 255 && hashed.contains("~12345678"),
            "{hashed}"
        );
    }
}

#[test]
fn the_longest_names_have_an_inflight_name() {
    let fixture = Fixture::new(|_| {});
    let name = "x".repeat(255);
    assert_eq!(fixture.commit(&name, "text", Place::Replace).unwrap(), name);
    assert_eq!(fixture.names(), [name]);
}

#[test]
fn modes_are_those_of_the_options_whatever_the_umask() {
    let fixture = Fixture::new(|flow| {
        flow.perm_default = 0o666;
        flow.perm_dir_default = 0o777;
    });
    fixture.commit("a/b/x", "text", Place::Replace).unwrap();
    let mode = |name: &str| {
        fs::metadata(fixture.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(
        (mode("a/b/x"), mode("a/b"), mode("a")),
        (0o666, 0o777, 0o777)
    );
}

#[test]
fn fingerprints_are_those_of_the_literature() {
    let fixture = Fixture::new(|_| {});
    let identity = |method| {
        let directory = fixture.directory.path();
        let mut draft =
            Draft::create(&fixture.local, directory, directory, "x", true, method).unwrap();
        draft.write(b"a").unwrap();
        draft.write(b"bc").unwrap();
        let stored = draft.finish().unwrap();
        assert_eq!(stored.size, 3);
        let identity = &stored.identity;
        identity.clone()
    };
    // RFC 1321, A.5, and FIPS 180-4's `abc`.
    assert_eq!(
        identity(Method::Md5).unwrap().value,
        "kAFQmDzST7DWlj99KOF/cg=="
    );
    assert_eq!(
        identity(Method::Sha512).unwrap().value,
        "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="
    );
    assert_eq!(identity(Method::None), None);
}

#[test]
fn the_message_chooses_the_fingerprint_where_it_can_be_computed() {
    let fixture = Fixture::new(|flow| flow.identity = IdentityMethod::None);
    let announced = |method: &str, value: &str| Identity {
        method: method.into(),
        value: value.into(),
    };
    assert_eq!(
        fixture.local.method(Some(&announced("md5", "x"))),
        Method::Md5
    );
    assert_eq!(
        fixture.local.method(Some(&announced("cod", "sha512"))),
        Method::Sha512
    );
    assert_eq!(
        fixture.local.method(Some(&announced("random", "7"))),
        Method::None
    );
    assert_eq!(fixture.local.method(None), Method::None);
}

#[test]
fn a_file_is_recognised_by_what_is_announced() {
    let fixture = Fixture::new(|_| {});
    fs::write(fixture.path("x"), "abc").unwrap();
    let location = |name: &str| Location {
        directory: fixture.directory.path().into(),
        filename: name.into(),
    };
    let mut message = Message::new(Timestamp::from_unix(0, 0), "http://origin/", "x");
    assert_eq!(is_announced(&location("gone").path(), &message), None);
    assert_eq!(is_announced(&location("x").path(), &message), None);
    message.size = Some(4);
    assert_eq!(is_announced(&location("x").path(), &message), Some(false));
    message.size = Some(3);
    message.identity = Some(Identity {
        method: "md5".into(),
        value: "kAFQmDzST7DWlj99KOF/cg==".into(),
    });
    assert_eq!(is_announced(&location("x").path(), &message), Some(true));
    fs::write(fixture.path("x"), "abd").unwrap();
    assert_eq!(is_announced(&location("x").path(), &message), Some(false));
}

#[test]
fn file_urls_name_files_of_this_machine_only() {
    let check =
        |base: &str, path: &str| file_path(&Message::new(Timestamp::from_unix(0, 0), base, path));
    let data = Some(PathBuf::from("/data/a/b"));
    assert_eq!(check("file:///", "data/a/b"), data);
    assert_eq!(check("file:/", "/data/a/b"), data);
    assert_eq!(check("file:///data/", "a//b"), data);
    assert_eq!(check("file://localhost/data", "a/b"), data);
    assert_eq!(check("file:", "data/a/b"), data);
    assert_eq!(check("file://elsewhere/data", "a/b"), None);
    assert_eq!(check("file:///data/", "../etc/passwd"), None);
    assert_eq!(check("http://host/", "a"), None);
}

#[test]
fn large_content_streams() {
    let fixture = Fixture::new(|_| {});
    let chunk = vec![7u8; 64 << 10];
    let mut draft = fixture.draft("large").unwrap();
    for _ in 0..(200 << 20) / chunk.len() {
        draft.write(&chunk).unwrap();
    }
    let stored = draft.finish().unwrap();
    assert_eq!(stored.size, 200 << 20);
    let (mut reader, length) = super::file::open(stored.path()).unwrap();
    assert_eq!(length, 200 << 20);
    let mut read = 0;
    loop {
        let data = reader.read(64 << 10).unwrap();
        assert!(data.len() <= 64 << 10);
        if data.is_empty() {
            break;
        }
        read += data.len() as u64;
    }
    assert_eq!(read, length);
}

#[test]
fn a_directory_is_no_content() {
    let fixture = Fixture::new(|_| {});
    assert!(super::file::open(Path::new(fixture.directory.path())).is_err());
}
