//! No secret in anything that is written or said, however much is logged.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flow_testkit::Dovecot;
use flow_testkit::generate::{Generated, mails};
use flow_tests::{Access, MailFlow, Scene, tree};

/// The password in every form it takes on its way: as it is, in a URL, and inside the base64 of
/// AUTHENTICATE PLAIN, whatever stands before it.
fn forms() -> Vec<Vec<u8>> {
    let password = Dovecot::PASSWORD;
    let encoded: String = password
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    let mut forms = vec![password.as_bytes().to_vec(), encoded.into_bytes()];
    for shift in 0..3 {
        let text = STANDARD.encode(format!("{}{password}", "x".repeat(shift)));
        // The characters at both ends depend on their neighbours.
        forms.push(text.as_bytes()[4..text.len() - 4].to_vec());
    }
    forms
}

#[track_caller]
fn expect_clean(what: &str, data: &[u8]) {
    for form in forms() {
        let found = data.windows(form.len()).position(|window| window == form);
        assert!(
            found.is_none(),
            "the password (as `{}`) is in {what}",
            String::from_utf8_lossy(&form)
        );
    }
}

#[track_caller]
fn run(scene: &Scene, arguments: &[&str]) {
    let finished = scene.flow.run(arguments);
    expect_clean(
        &format!("stdout of `flow {}`", arguments.join(" ")),
        finished.stdout.as_bytes(),
    );
    expect_clean(
        &format!("stderr of `flow {}`", arguments.join(" ")),
        finished.stderr.as_bytes(),
    );
}

/// Every file but the one the password belongs in.
#[track_caller]
fn expect_clean_files(scene: &Scene) {
    let credentials = scene.flow.config_dir().join("credentials.conf");
    for file in tree::files(scene.flow.home())
        .into_iter()
        .filter(|file| *file != credentials)
    {
        expect_clean(
            &file.display().to_string(),
            &fs::read(&file).expect("a file of ours can be read"),
        );
    }
}

#[test]
fn logs_traces_files_and_databases_hold_no_password() {
    for access in [Access::Imap, Access::Pop] {
        let mut scene = Scene::new();
        scene.flow.env("FLOW_LOG", "trace");
        let sent: Vec<Generated> = mails(5, 4_000, 201).collect();
        scene.deliver(&sent);
        for auth in ["login", "plain"] {
            scene.set(&MailFlow::new(access).mail_option(&format!("auth: {auth}")));
            run(&scene, &["foreground", Scene::FLOW, "--once", "--trace"]);
        }
        scene.expect_parts(&sent);
        for arguments in [
            &["show", Scene::FLOW][..],
            &["check"],
            &["check", "--format", "json"],
            &["list", "flows"],
            &["retry", "list"],
            &["foreground", Scene::FLOW, "--once", "--dry-run", "--trace"],
        ] {
            run(&scene, arguments);
        }
        expect_clean_files(&scene);
    }
}

#[test]
fn errors_hold_no_password() {
    let mut scene = Scene::new();
    scene.flow.env("FLOW_LOG", "trace");
    scene.set(&MailFlow::new(Access::Imap));
    scene.server.kill();
    run(&scene, &["foreground", Scene::FLOW, "--once", "--trace"]);
    scene.server.restart();
    // A password in the URL itself, which is wrong in more ways than one.
    let url = scene
        .url(Access::Imap)
        .replace('@', &format!(":{}@", Dovecot::PASSWORD));
    let text = MailFlow::new(Access::Imap)
        .text(&scene)
        .replace(&scene.url(Access::Imap), &url);
    scene.flow.add_flow("flow/url", &text);
    for arguments in [
        &["check"][..],
        &["show", "flow/url"],
        &["foreground", "flow/url", "--once", "--trace"],
        &["list", "flows"],
    ] {
        run(&scene, arguments);
    }
    fs::remove_file(scene.flow.config_dir().join("flow/url.yaml")).expect("written above");
    expect_clean_files(&scene);
}

#[test]
fn a_refused_password_is_not_repeated() {
    let scene = Scene::new();
    let port = scene.server.imap_port();
    // The server knows another password than the one in the file, which is the one looked for.
    let wrong = format!(
        "imap://nobody%40example.com:{}@127.0.0.1:{port}\n",
        Dovecot::PASSWORD
    );
    scene.flow.credentials(&wrong);
    let text = MailFlow::new(Access::Imap)
        .text(&scene)
        .replace("alice%40", "nobody%40");
    scene.flow.add_flow(Scene::FLOW, &text);
    run(
        &scene,
        &[
            "foreground",
            Scene::FLOW,
            "--once",
            "--trace",
            "--log-level",
            "trace",
        ],
    );
    expect_clean_files(&scene);
}
