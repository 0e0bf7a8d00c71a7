//! The plugin against a sandbox in memory.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use flow_plugin::http::{Body, Request, Response};
use flow_plugin::secret::Credentials;
use flow_plugin::testing::{Host, context};
use flow_plugin::{Edit, Header, Setting, Verdict};

use super::*;
use crate::options::Settings;

const URL: &str = "https://sandbox.example";
const CLEAN: &str = r#"{"scan_state":"FULL","verdict":"CLEAN","errors":[]}"#;
const DANGEROUS: &str =
    r#"{"scan_state":"FULL","verdict":"DANGEROUS","threat":"Trojan.X","errors":[]}"#;

type Settable<'a> = (&'a str, Setting);

fn text(value: &str) -> Setting {
    Setting::Text(value.to_owned())
}

fn given(more: &[Settable<'_>]) -> flow_plugin::Context {
    let mut settings = vec![
        ("sandbox", text(URL)),
        ("form", text("two_step")),
        ("answers", text("poll")),
        ("allow_preflight", Setting::Flag(false)),
        ("timeout", Setting::Duration(1000)),
        ("upload_timeout", Setting::Duration(1000)),
        ("hold", Setting::Duration(300)),
        ("poll", Setting::Duration(10)),
        ("poll_max", Setting::Duration(20)),
        ("max_in_flight", Setting::Count(8)),
        ("give_up", Setting::Duration(3_600_000)),
        ("max_size", Setting::Size(1 << 20)),
        ("cache_ttl", Setting::Duration(3_600_000)),
        ("on_doubt", text("rejected")),
        ("actions", text("carry_out")),
        (
            "headers",
            Setting::List(vec!["X-V: {verdict}".into(), "X-T: {threat}".into()]),
        ),
        ("quarantine", text("quarantine")),
    ];
    for (name, setting) in more {
        settings.retain(|(known, _)| known != name);
        settings.push((name, setting.clone()));
    }
    context(None, &settings)
}

pub(crate) fn settings(more: &[Settable<'_>]) -> Settings {
    Settings::read(&given(more)).unwrap()
}

/// What the sandbox was asked: path and, where it is JSON, the question.
type Asked = Rc<RefCell<Vec<(String, serde_json::Value)>>>;

/// Answers by path, in order; the last one again and again.
struct Sandbox {
    answers: BTreeMap<&'static str, VecDeque<(u16, String)>>,
    asked: Asked,
    uploads: u32,
}

impl Sandbox {
    fn answer(&mut self, request: &Request) -> Result<Response> {
        assert!(
            request
                .headers
                .contains(&("x-api-key".into(), "key".into()))
        );
        let path = request
            .url
            .strip_prefix("https://sandbox.example/api/v1/")
            .expect("the API");
        let question = match &request.body {
            Body::Bytes(bytes) => serde_json::from_slice(bytes).unwrap(),
            Body::Content(content) => content.size().into(),
            Body::None => serde_json::Value::Null,
        };
        // A scan nobody says anything of is under way.
        let about = question.get("scan_id").and_then(|id| id.as_str());
        let about = about.map(running);
        self.asked.borrow_mut().push((path.to_owned(), question));
        let path = path.split('?').next().unwrap();
        let (status, body) = match self.answers.get_mut(path) {
            Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
            Some(answers) => answers[0].clone(),
            None if about.is_some() => about.expect("just looked"),
            None => {
                self.uploads += 1;
                let data = match path {
                    "storage/uploadScanFile" => {
                        format!(r#"{{"file_uri":"sfm:{}","ttl":60}}"#, self.uploads)
                    }
                    _ => format!(r#"{{"scan_id":"s{}"}}"#, self.uploads),
                };
                (200, format!(r#"{{"data":{data},"errors":[]}}"#))
            }
        };
        if status == 0 {
            return Err(Failure::temporary(body));
        }
        Ok(Response {
            status,
            headers: Vec::new(),
            body: body.into_bytes(),
        })
    }
}

fn over(scan: &str, result: &str) -> (u16, String) {
    (
        200,
        format!(r#"{{"data":{{"scan_id":"{scan}","result":{result}}},"errors":[]}}"#),
    )
}

fn running(scan: &str) -> (u16, String) {
    (
        200,
        format!(r#"{{"data":{{"scan_id":"{scan}"}},"errors":[]}}"#),
    )
}

type Answers = Vec<(&'static str, Vec<(u16, String)>)>;

struct Scene {
    host: Rc<RefCell<Host>>,
    asked: Asked,
    plugin: PtSandbox,
}

impl Scene {
    fn new(contents: &[&[u8]], answers: Answers, more: &[Settable<'_>]) -> Self {
        let asked = Asked::default();
        let mut sandbox = Sandbox {
            answers: answers
                .into_iter()
                .map(|(path, list)| (path, list.into()))
                .collect(),
            asked: Rc::clone(&asked),
            uploads: 0,
        };
        let mut host = Host {
            answer: Box::new(move |request| sandbox.answer(request)),
            ..Host::default()
        };
        let credentials = Credentials {
            user: String::new(),
            password: String::new(),
            options: vec![("api_key".into(), "key".into())],
        };
        host.credentials.insert(URL.to_owned(), credentials);
        for (id, bytes) in (1u64..).zip(contents) {
            host.content.insert(id, bytes.to_vec());
        }
        Self {
            host: host.install(),
            asked,
            plugin: PtSandbox::start(given(more)).unwrap(),
        }
    }

    fn run(&mut self) -> Vec<Verdict> {
        let count = self.host.borrow().content.len() as u64;
        let batch = (1..=count).map(|id| Message::new(id, "file:/", format!("{id}.eml")));
        self.plugin.after_work(batch.collect()).unwrap()
    }

    fn uploads(&self) -> usize {
        let paths = self.paths();
        paths
            .iter()
            .filter(|path| *path == "uploadScanFile")
            .count()
    }

    fn paths(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        asked
            .iter()
            .map(|(path, _)| path.rsplit('/').next().unwrap_or_default().to_owned())
            .collect()
    }
}

fn set(verdict: &Verdict, name: &str) -> Option<String> {
    let Verdict::Update(edits) = verdict else {
        panic!("{verdict:?}")
    };
    edits.iter().find_map(|edit| match edit {
        Edit::Header((header, Some(flow_plugin::Value::Text(text)))) if header == name => {
            Some(text.clone())
        }
        _ => None,
    })
}

#[track_caller]
fn failed(verdict: &Verdict) -> &Failure {
    let Verdict::Fail(failure) = verdict else {
        panic!("{verdict:?}")
    };
    failure
}

#[test]
fn a_clean_one_goes_on_with_its_verdict_and_is_remembered() {
    let mut scene = Scene::new(
        &[b"hello"],
        vec![("analysis/checkTask", vec![running("s2"), over("s2", CLEAN)])],
        &[
            ("priority", Setting::Count(4)),
            ("analysis_depth", Setting::Count(3)),
            ("behaviour", Setting::Flag(true)),
        ],
    );
    let verdict = scene.run().remove(0);
    assert_eq!(set(&verdict, "sandbox-state").as_deref(), Some("full"));
    assert_eq!(set(&verdict, "sandbox-verdict").as_deref(), Some("clean"));
    assert_eq!(set(&verdict, "sandbox-scan-id").as_deref(), Some("s2"));
    assert_eq!(set(&verdict, "sandbox-action").as_deref(), Some("ok"));
    assert_eq!(set(&verdict, "sandbox-threat"), None);
    assert_eq!(
        scene.paths(),
        ["uploadScanFile", "createScanTask", "checkTask", "checkTask"]
    );
    let task = scene.asked.borrow()[1].1.to_string();
    assert!(!task.contains("null"), "{task}");
    assert_eq!(
        scene.asked.borrow()[1].1["options"]["sandbox"]["enabled"],
        true
    );
    assert_eq!(scene.asked.borrow()[1].1["async_result"], true);
    // The same content is not scanned again, and nothing is left of the scan but its verdict.
    let verdict = scene.run().remove(0);
    assert_eq!(set(&verdict, "sandbox-scan-id").as_deref(), Some("s2"));
    assert_eq!(scene.paths().len(), 4);
    assert!(
        scene
            .host
            .borrow()
            .state
            .keys()
            .all(|key| key.starts_with("verdict/"))
    );
}

#[test]
fn scans_of_a_batch_overlap_and_answers_find_their_messages() {
    let contents: Vec<Vec<u8>> = (0..5).map(|n| vec![n; 10]).collect();
    let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    let mut scene = Scene::new(&contents, Vec::new(), &[("hold", Setting::Duration(0))]);
    // Nobody has a verdict: all five were asked for, and all are put aside.
    let verdicts = scene.run();
    let wait = |verdict: &Verdict| matches!(verdict, Verdict::Wait(_));
    assert!(verdicts.iter().all(wait), "{verdicts:?}");
    assert_eq!(scene.uploads(), 5);
}

#[test]
fn what_has_no_verdict_is_put_aside_and_resumed() {
    let mut scene = Scene::new(
        &[b"hello"],
        vec![(
            "analysis/checkTask",
            vec![running("s2"), over("s2", DANGEROUS)],
        )],
        &[
            ("hold", Setting::Duration(0)),
            ("cache_ttl", Setting::Duration(0)),
        ],
    );
    let verdict = scene.run().remove(0);
    assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
    assert!(scene.host.borrow().state.contains_key("scan/key-1.eml"));
    let verdict = scene.run().remove(0);
    let Verdict::Replace(made) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(
        scene.paths(),
        ["uploadScanFile", "createScanTask", "checkTask", "checkTask"]
    );
    assert_eq!(made.len(), 1);
    assert!(
        made[0].rel_path.starts_with("quarantine/")
            && made[0].rel_path.ends_with("-1.eml.quarantine")
    );
    assert!(
        made[0]
            .headers
            .contains(&Header::text("sandbox-threat", "Trojan.X"))
    );
    let host = scene.host.borrow();
    assert_eq!(host.derived[0].bytes, b"hello");
    assert!(host.state.is_empty(), "{:?}", host.state);
}

#[test]
fn a_verdict_counts_only_for_the_content_it_is_about() {
    let mut scene = Scene::new(
        &[b"hello"],
        vec![(
            "analysis/checkTask",
            vec![running("s2"), over("s2", CLEAN), over("s4", DANGEROUS)],
        )],
        &[("hold", Setting::Duration(0))],
    );
    scene.run();
    scene
        .host
        .borrow_mut()
        .content
        .insert(1, b"changed".to_vec());
    let verdict = scene.run().remove(0);
    assert!(matches!(verdict, Verdict::Replace(_)), "{verdict:?}");
    assert_eq!(scene.uploads(), 2);
}

#[test]
fn an_answer_about_another_scan_is_no_verdict() {
    let mut scene = Scene::new(
        &[b"x"],
        vec![("analysis/checkTask", vec![over("other", CLEAN)])],
        &[],
    );
    let verdict = scene.run().remove(0);
    assert!(
        failed(&verdict).reason().contains("answered about `other`"),
        "{verdict:?}"
    );
}

#[test]
fn what_the_sandbox_forgot_is_asked_for_once_more() {
    let gone = (404, String::new());
    let mut scene = Scene::new(
        &[b"x"],
        vec![("analysis/checkTask", vec![gone.clone(), over("s4", CLEAN)])],
        &[],
    );
    let verdict = scene.run().remove(0);
    assert_eq!(set(&verdict, "sandbox-scan-id").as_deref(), Some("s4"));
    let mut scene = Scene::new(&[b"x"], vec![("analysis/createScanTask", vec![gone])], &[]);
    let verdict = scene.run().remove(0);
    assert!(matches!(failed(&verdict), Failure::Temporary(_)));
    assert_eq!(
        scene.paths(),
        [
            "uploadScanFile",
            "createScanTask",
            "uploadScanFile",
            "createScanTask"
        ]
    );
}

#[test]
fn a_refused_key_and_a_lost_connection_end_the_round() {
    for (answer, auth) in [
        ((401, String::new()), true),
        ((0, "refused".to_owned()), false),
    ] {
        let mut scene = Scene::new(
            &[b"x", b"y", b"z"],
            vec![("storage/uploadScanFile", vec![answer])],
            &[],
        );
        let verdicts = scene.run();
        assert_eq!(scene.paths().len(), 1, "nothing more is asked");
        for verdict in &verdicts {
            assert_eq!(
                matches!(failed(verdict), Failure::Auth(_)),
                auth,
                "{verdict:?}"
            );
        }
        // They are remembered as seen, and nothing else.
        assert!(
            scene
                .host
                .borrow()
                .state
                .keys()
                .all(|key| key.starts_with("seen/"))
        );
    }
}

#[test]
fn questions_that_fail_are_repeated_and_then_left_for_later_with_the_scan() {
    let busy = (503, String::new());
    let mut scene = Scene::new(
        &[b"x"],
        vec![(
            "analysis/checkTask",
            vec![busy.clone(), busy.clone(), over("s2", CLEAN)],
        )],
        &[],
    );
    assert!(set(&scene.run().remove(0), "sandbox-verdict").is_some());
    let mut scene = Scene::new(&[b"x"], vec![("analysis/checkTask", vec![busy])], &[]);
    assert!(failed(&scene.run().remove(0)).reason().contains("503"));
    assert!(scene.host.borrow().state.contains_key("scan/key-1.eml"));
}

#[test]
fn doubt_is_rejected_or_as_the_policy_says() {
    let partial = r#"{"scan_state":"PARTIAL","verdict":"CLEAN"}"#;
    let run = |more: &[Settable<'_>]| {
        let mut scene = Scene::new(
            &[b"x"],
            vec![("analysis/checkTask", vec![over("s2", partial)])],
            more,
        );
        scene.run().remove(0)
    };
    assert!(failed(&run(&[])).reason().contains("clean (partial)"));
    let passed = run(&[("on_partial", text("failure"))]);
    assert_eq!(set(&passed, "sandbox-action").as_deref(), Some("failure"));
    let refused = run(&[("on_partial", text("error"))]);
    assert!(matches!(refused, Verdict::Reject(_)), "{refused:?}");
    let marked = run(&[("on_doubt", text("addheader"))]);
    assert_eq!(
        set(&marked, "sandbox-action-text").as_deref(),
        Some("X-V: clean")
    );
    let said = run(&[("actions", text("announce"))]);
    assert_eq!(set(&said, "sandbox-action").as_deref(), Some("rejected"));
}

#[test]
fn what_is_announced_as_discarded_goes_on_without_its_content() {
    let mut scene = Scene::new(
        &[b"x"],
        vec![("analysis/checkTask", vec![over("s2", DANGEROUS)])],
        &[("actions", text("announce"))],
    );
    let mut message = Message::new(1, "file:/", "1.eml");
    message.headers = vec![
        Header::text("peer", "7"),
        Header::json("content", r#"{"encoding":"utf-8","value":"x"}"#),
        Header::text("sandbox-verdict", "clean"),
    ];
    let verdict = scene.plugin.after_work(vec![message]).unwrap().remove(0);
    let Verdict::Replace(made) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!((made.len(), made[0].rel_path.as_str()), (2, "1.eml"));
    assert!(made[0].headers.contains(&Header::text("peer", "7")));
    assert!(
        made[0]
            .headers
            .contains(&Header::text("sandbox-action", "discard"))
    );
    assert_eq!(
        made[0]
            .headers
            .iter()
            .filter(|header| header.name == "sandbox-verdict")
            .count(),
        1
    );
    assert!(
        made[0]
            .headers
            .iter()
            .all(|header| header.name != "content")
    );
}

#[test]
fn a_verdict_nobody_would_hear_of_is_refused() {
    let mut scene = Scene::new(
        &[b"x"],
        vec![("analysis/checkTask", vec![over("s2", DANGEROUS)])],
        &[("actions", text("announce"))],
    );
    scene.host.borrow_mut().wanted = Box::new(|path| path.starts_with("quarantine/"));
    let verdict = scene.run().remove(0);
    assert!(matches!(failed(&verdict), Failure::Config(why) if why.contains("announce")));
}

#[test]
fn nothing_is_dropped_without_a_copy() {
    let mut scene = Scene::new(
        &[b"x"],
        vec![("analysis/checkTask", vec![over("s2", DANGEROUS)])],
        &[],
    );
    scene.host.borrow_mut().wanted = Box::new(|_| false);
    assert!(
        matches!(failed(&scene.run().remove(0)), Failure::Config(why) if why.contains("quarantine"))
    );
}

#[test]
fn waiting_ends_where_the_policy_says() {
    let mut scene = Scene::new(
        &[b"x"],
        vec![("analysis/checkTask", vec![running("s2")])],
        &[
            ("give_up", Setting::Duration(1000)),
            ("on_timeout", text("failure")),
            ("hold", Setting::Duration(0)),
        ],
    );
    assert!(matches!(scene.run().remove(0), Verdict::Wait(_)));
    let mut ticket = crate::ticket::Ticket::of("key-1.eml")
        .unwrap()
        .expect("it waits");
    ticket.since -= 2;
    ticket.keep("key-1.eml", &settings(&[])).unwrap();
    let verdict = scene.run().remove(0);
    assert_eq!(set(&verdict, "sandbox-state").as_deref(), Some("error"));
    assert_eq!(set(&verdict, "sandbox-action").as_deref(), Some("failure"));
    assert!(scene.host.borrow().state.is_empty());
}

#[test]
fn large_content_is_not_sent_and_no_file_is_not_scanned() {
    let mut scene = Scene::new(
        &[&[7; 2000]],
        Vec::new(),
        &[
            ("max_size", Setting::Size(1000)),
            ("on_unscanned", text("failure")),
        ],
    );
    assert_eq!(
        set(&scene.run().remove(0), "sandbox-state").as_deref(),
        Some("unscanned")
    );
    let mut removal = Message::new(9, "file:/", "gone");
    removal.headers = vec![Header::json("fileOp", r#"{"remove":""}"#)];
    let batch = vec![removal, Message::new(8, "file:/", "missing")];
    let verdicts = scene.plugin.after_work(batch).unwrap();
    assert_eq!(verdicts[0], Verdict::Keep);
    assert!(matches!(failed(&verdicts[1]), Failure::Permanent(_)));
    assert!(scene.paths().is_empty());
}

#[test]
fn no_more_scans_than_allowed_are_under_way() {
    let contents: Vec<Vec<u8>> = (0..5).map(|n| vec![n; 10]).collect();
    let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    let mut scene = Scene::new(
        &contents,
        Vec::new(),
        &[
            ("max_in_flight", Setting::Count(2)),
            ("hold", Setting::Duration(50)),
        ],
    );
    for _ in 0..3 {
        let verdicts = scene.run();
        let wait = |verdict: &Verdict| matches!(verdict, Verdict::Wait(_));
        assert!(verdicts.iter().all(wait), "{verdicts:?}");
        let host = scene.host.borrow();
        let under = host.state.keys().filter(|key| key.starts_with("scan/"));
        assert_eq!(under.count(), 2, "{:?}", host.state.keys());
    }
}

#[test]
fn one_step_and_held_answers() {
    let mut scene = Scene::new(
        &[b"x"],
        vec![("scan/checkFile", vec![over("s1", CLEAN)])],
        &[
            ("form", text("one_step")),
            ("answers", text("held")),
            ("passwords", Setting::List(vec!["in fected".into()])),
        ],
    );
    assert!(set(&scene.run().remove(0), "sandbox-verdict").is_some());
    let asked = scene.asked.borrow()[0].0.clone();
    assert_eq!(
        asked,
        "scan/checkFile?file_name=1.eml&short_result=true&async_result=false&passwords_for_unpack=%5B%22in%20fected%22%5D"
    );
    let mut scene = Scene::new(
        &[b"x"],
        vec![
            ("scan/checkFile", vec![running("s1")]),
            ("scan/getStatus", vec![over("s1", CLEAN)]),
        ],
        &[("form", text("one_step"))],
    );
    assert!(set(&scene.run().remove(0), "sandbox-verdict").is_some());
    assert_eq!(scene.paths().last().map(String::as_str), Some("getStatus"));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (more, why) in [
        (
            vec![("on_unknown", text("discard"))],
            "`on_unknown: discard`",
        ),
        (vec![("on_doubt", text("discard"))], "`on_doubt: discard`"),
        (
            vec![("sandbox", text("https://me:key@h/"))],
            "credentials.conf",
        ),
        (vec![("sandbox", text("tcp://h"))], "https"),
        (vec![("priority", Setting::Count(5))], "1 to 4"),
        (
            vec![("scan_timeout", Setting::Duration(1000))],
            "10 s to 3600 s",
        ),
        (vec![("image", text("win7"))], "`behaviour: on`"),
        (vec![("max_in_flight", Setting::Count(0))], "less than 1"),
        (
            vec![
                ("form", text("one_step")),
                ("analysis_depth", Setting::Count(3)),
            ],
            "`analysis_depth`",
        ),
        (vec![("poll_max", Setting::Duration(1))], "`poll_max`"),
        (
            vec![("actions", text("announce")), ("quarantine", text(""))],
            "no `quarantine`",
        ),
    ] {
        let failure = Settings::read(&given(&more)).unwrap_err();
        assert!(
            matches!(&failure, Failure::Config(text) if text.contains(why)),
            "{failure:?}"
        );
    }
}
