//! Loading: what is refused, with which words, and the cache of compiled plugins.

use std::time::{Duration, Instant};

use flow_config::{Grant, OptionKind, Plugins};
use flow_host::{Catalogue, Host, HostOptions};

use crate::support::{bytes, catalogue};

fn refusal(guest: &str) -> String {
    catalogue()
        .plugin(guest)
        .expect("there is such a guest")
        .expect_err("it is refused")
        .to_string()
}

#[test]
fn a_plugin_says_what_it_is() {
    let plugin = catalogue()
        .plugin("judge")
        .expect("it is there")
        .expect("it loads");
    let manifest = plugin.manifest();
    assert_eq!(
        (manifest.name.as_str(), manifest.version.as_str()),
        ("judge", "1.2.3")
    );
    assert_eq!(manifest.entry_points, ["after_accept", "lifecycle"]);
    assert!(plugin.entry_points().lifecycle && plugin.entry_points().after_accept);
    assert!(!plugin.entry_points().gather);
    assert_eq!(plugin.imports(), ["log"]);
    assert_eq!(plugin.size(), bytes("judge").len() as u64);
    assert_eq!(plugin.sha256().len(), 64);
    let mode = manifest
        .options
        .iter()
        .find(|option| option.name == "mode")
        .expect("an option");
    assert_eq!(
        (mode.kind, mode.choices.as_slice()),
        (
            OptionKind::Choice,
            ["a".to_owned(), "b".to_owned()].as_slice()
        )
    );
    let dial = catalogue()
        .plugin("dial")
        .expect("it is there")
        .expect("it loads");
    assert_eq!(dial.manifest().grants, [Grant::Connect]);
    assert_eq!(dial.imports(), ["connection", "log"]);
    assert_eq!(dial.asks(), ["connect"]);
}

#[test]
fn requests_by_wasi_http_are_part_of_what_it_asks_for() {
    let plugin = |name| catalogue().plugin(name).expect("it is there");
    let web = plugin("web").expect("it loads");
    assert_eq!(web.imports(), ["wasi:http"]);
    assert_eq!(web.asks(), ["http (by wasi:http)"]);
    let ask = plugin("ask").expect("it loads");
    assert_eq!(ask.asks(), ["http"]);
}

#[test]
fn what_is_no_component_is_refused() {
    let host = catalogue().host();
    assert_eq!(
        host.load("x", b"#!/bin/sh")
            .expect_err("refused")
            .to_string(),
        "plugin `x` is not a WebAssembly component [plugin/not-a-component]\n  \
         = note: it does not begin like WebAssembly at all\n  \
         = hint: a plugin is a .wasm file, as `flow plugin build` makes it"
    );
    let empty = host.load("x", b"").expect_err("refused");
    assert_eq!(empty.notes(), ["it is empty"]);
    assert_eq!(
        host.load("x", b"\0asm\x01\0\0\0")
            .expect_err("refused")
            .to_string(),
        "plugin `x` is not a WebAssembly component [plugin/not-a-component]\n  \
         = note: it is a plain WebAssembly module\n  \
         = hint: build it for the target `wasm32-wasip2`"
    );
    let mut cut = bytes("noop");
    cut.truncate(cut.len() / 2);
    let error = host.load("x", &cut).expect_err("refused");
    assert_eq!(error.code(), "plugin/not-a-component");
    assert!(error.notes()[0].contains("is out of bounds"), "{error}");
    assert_eq!(
        error.advice(),
        Some("the file seems cut short or damaged: fetch it again, or build it anew")
    );
}

#[test]
fn a_plugin_of_another_contract_is_refused() {
    assert_eq!(
        refusal("tomorrow"),
        "plugin `tomorrow` was made for version 0.2.0 of the plugin contract; this flow has version 0.1.0, which runs plugins made for every 0.1 [plugin/contract-version]\n  \
         = hint: install a newer flow, or a version of the plugin made for this one"
    );
}

#[test]
fn a_plugin_that_does_not_describe_itself_is_refused() {
    assert_eq!(
        refusal("silent"),
        "plugin `silent` does not describe itself [plugin/no-description]\n  \
         = note: it is a component, but does not export `flow:plugin/describe`\n  \
         = hint: this is for the plugin's author to correct: export `describe`"
    );
}

#[test]
fn a_plugin_that_needs_what_is_not_there_is_refused() {
    assert_eq!(
        refusal("idle"),
        "plugin `idle` does nothing: it exports no entry point but `describe` [plugin/no-entry-point]\n  \
         = hint: this is for the plugin's author to correct: export `gather`, `after_accept`, `download`, `after_work`, …"
    );
}

/// A component that has nothing but names: empty instances it imports, and those it exports.
fn of_names(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let short = |length: usize| u8::try_from(length).ok().filter(|length| *length < 128);
    let short = |length| short(length).expect("one byte is enough for it");
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    let mut section = |id: u8, count: usize, items: &[u8]| {
        component.extend([id, short(items.len() + 1), short(count)]);
        component.extend(items);
    };
    let name = |name: &&str| [&[0, short(name.len())], name.as_bytes()].concat();
    // The type of an instance without anything, and imports of that type.
    section(7, 1, &[0x42, 0]);
    let imported = imports
        .iter()
        .flat_map(|import| [name(import), vec![5, 0]].concat());
    section(10, imports.len(), &imported.collect::<Vec<_>>());
    // One such instance after the imported ones, and exports of it.
    section(5, 1, &[1, 0]);
    let own = short(imports.len());
    let exported = exports
        .iter()
        .flat_map(|export| [name(export), vec![5, own, 0]].concat());
    section(11, exports.len(), &exported.collect::<Vec<_>>());
    component
}

/// Why a component of a version of the contract is refused that has nothing but names.
#[track_caller]
fn refused_for(version: &str, imports: &[&str], exports: &[&str]) -> String {
    let described = format!("flow:plugin/describe@{version}");
    let exports = [exports, &[described.as_str()]].concat();
    let component = of_names(imports, &exports);
    let refused = catalogue().host().load("x", &component);
    refused.expect_err("refused").to_string()
}

#[test]
fn interfaces_that_are_not_there_are_named() {
    assert_eq!(
        refused_for("0.1.0", &["acme:extras/radio@1.0.0"], &[]),
        "plugin `x` needs `acme:extras/radio@1.0.0`, which flow does not have [plugin/unsupported-import]\n  \
         = hint: this is for the plugin's author to correct: a plugin may import `flow:plugin` and WASI 0.2 only"
    );
    assert_eq!(
        refused_for("0.1.3", &["flow:plugin/telepathy@0.1.3"], &[]),
        "plugin `x` needs what this version of flow does not have [plugin/unsupported-import]\n  \
         = note: it imports `flow:plugin/telepathy`\n  \
         = hint: install a newer flow, or a version of the plugin made for this one"
    );
    assert_eq!(
        refused_for("0.1.3", &[], &["flow:plugin/dream@0.1.3"]),
        "plugin `x` exports `dream`, which this version of flow does not call [plugin/unsupported-entry-point]\n  \
         = hint: install a newer flow, or a version of the plugin made for this one"
    );
}

#[test]
fn a_plugin_that_does_not_keep_to_its_contract_is_refused() {
    let refused = refused_for("0.1.0", &[], &["flow:plugin/gather@0.1.0"]);
    assert!(
        refused.starts_with(
            "plugin `x` says it follows version 0.1.0 of the plugin contract, but does not [plugin/contract-mismatch]\n  = note: "
        ) && refused.ends_with("= hint: build it anew against this version's plugin kit"),
        "{refused}"
    );
    let refused = refused_for("0.1.9", &[], &["flow:plugin/gather@0.1.9"]);
    assert!(
        refused.starts_with("plugin `x` was made for version 0.1.9 of the plugin contract, and needs what version 0.1.0, which this flow has, does not have [plugin/contract-mismatch]")
            && refused.ends_with("= hint: install a newer flow, or a version of the plugin made for this one"),
        "{refused}"
    );
}

#[test]
fn everything_wrong_with_a_manifest_is_said_at_once() {
    assert_eq!(
        refusal("nonsense"),
        "plugin `nonsense` describes itself wrongly [plugin/manifest]\n  \
         = note: the name `Non Sense` is not made of lower-case letters, digits and `-`\n  \
         = note: the version is empty\n  \
         = note: the scheme `imap://` is none: write it in lower case and without `://`\n  \
         = note: it names schemes, but exports neither `download` nor `send`\n  \
         = note: option `pause`: the default `30` is no time span: write it with a unit, e.g. `30s`\n  \
         = note: option `tries`: the default `1.5` is no whole number\n  \
         = note: option `enabled`: the default `maybe` is no flag: write `yes` or `no`\n  \
         = note: option `largest`: the default `10 parsecs` is no size: write it with a unit, e.g. `10MiB`\n  \
         = note: option `mode` is a choice of nothing: `choices` is empty\n  \
         = note: option `after`: the default `c` is none of `a`, `b`\n  \
         = note: option `where` is required and has a default; it can't be both\n  \
         = note: option `url`: the default `not a url` is no URL\n  \
         = note: option `after` is there twice\n  \
         = note: option `limits`: the name is taken by flow itself\n  \
         = note: option `sha256`: the name is taken by flow itself\n  \
         = note: option `minisign`: the name is taken by flow itself\n  \
         = note: option `tlsPin`: a name begins with a letter and has lower-case letters, digits, `_` and `-`; call it `tls_pin`\n  \
         = note: option `tlsPin`: the name is taken by flow itself\n  \
         = note: option ``: a name begins with a letter and has lower-case letters, digits, `_` and `-`\n  \
         = note: option `noLimit`: a name begins with a letter and has lower-case letters, digits, `_` and `-`; call it `no_limit`\n  \
         = hint: this is for the plugin's author to correct"
    );
}

#[test]
fn describing_has_a_deadline_and_works_inside_a_runtime() {
    let started = Instant::now();
    let text = refusal("stuck");
    assert!(
        text.starts_with("plugin `stuck` ran past its 5s limit in `describe` [plugin/deadline]"),
        "{text}"
    );
    assert!(started.elapsed() < Duration::from_secs(60));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async { assert!(catalogue().host().load("noop", &bytes("noop")).is_ok()) });
}

#[test]
fn compiled_plugins_are_kept_and_checked() {
    let home = tempfile::tempdir().expect("temp dir");
    let cache = home.path().join("made/cache");
    let host = || {
        Host::new(HostOptions {
            cache_dir: Some(cache.clone()),
        })
        .expect("a host")
    };
    let guest = bytes("noop");
    let cold = Instant::now();
    host().load("noop", &guest).expect("it loads");
    let cold = cold.elapsed();
    let files = || -> Vec<_> {
        let entries = std::fs::read_dir(&cache)
            .expect("the cache was made")
            .map(|entry| entry.expect("an entry").path());
        entries.collect()
    };
    let [file] = files().try_into().expect("one compiled plugin");
    let written = std::fs::read(&file).expect("it is readable");
    let mode = |path: &std::path::Path| {
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).expect("it is there")) & 0o777
    };
    assert_eq!((mode(&cache), mode(&file)), (0o700, 0o600));

    let second = host();
    let warm = Instant::now();
    second.load("noop", &guest).expect("it loads");
    let warm = warm.elapsed();
    assert!(warm < cold / 4, "warm {warm:?}, cold {cold:?}");

    // Damaged or cut short, it is compiled anew.
    for damage in [
        written[..written.len() / 2].to_vec(),
        {
            let mut b = written.clone();
            b[5000] ^= 1;
            b
        },
        Vec::new(),
    ] {
        std::fs::write(&file, damage).expect("it is ours");
        host().load("noop", &guest).expect("it loads");
        assert_eq!(
            std::fs::read(&file).expect("it is readable").len(),
            written.len(),
            "written anew"
        );
    }
}

#[test]
fn a_cache_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().expect("temp dir");
    let cache = home.path().join("cache");
    std::fs::create_dir(&cache).expect("temp dir");
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    let log = crate::support::Log::capture();
    let host = Host::new(HostOptions {
        cache_dir: Some(cache.clone()),
    })
    .expect("a host");
    host.load("noop", &bytes("noop")).expect("it loads");
    assert_eq!(
        std::fs::read_dir(&cache).expect("it is there").count(),
        0,
        "nothing was kept"
    );
    let expected = format!(
        "the cache directory {} is not used: others may write to it (mode 777); run `chmod 700` on it after emptying it [plugin/cache]",
        cache.display()
    );
    let log = log.text();
    assert!(log.contains(&expected), "{log}");
    assert!(
        log.contains(
            "plugins are compiled at every start, which takes longer; nothing else changes"
        ),
        "{log}"
    );
}

#[test]
fn a_cache_that_can_not_be_made_is_not_used() {
    let home = tempfile::tempdir().expect("temp dir");
    let file = home.path().join("file");
    std::fs::write(&file, "").expect("temp file");
    let log = crate::support::Log::capture();
    let host = Host::new(HostOptions {
        cache_dir: Some(file.join("cache")),
    })
    .expect("a host");
    host.load("noop", &bytes("noop")).expect("it loads");
    let expected = format!(
        "the cache directory {} is not used: Not a directory (os error 20) [plugin/cache]",
        file.join("cache").display()
    );
    assert!(log.text().contains(&expected), "{}", log.text());
}

#[test]
fn a_file_that_changed_since_the_flow_was_checked_is_not_run() {
    let pin = "ab".repeat(32);
    let mut flow = crate::support::flow("noop", &[]);
    flow.callbacks[0].sha256 = Some(pin.clone());
    let own = catalogue().plugin("noop").expect("it is there");
    let own = own.expect("it loads").sha256().to_owned();
    assert_eq!(
        crate::support::plugins(&flow)
            .err()
            .expect("refused")
            .to_string(),
        format!(
            "plugin `noop` is not the file this flow asks for [plugin/changed]\n  \
             = note: it has the sha256 {own}\n  \
             = note: the flow asks for  {pin}\n  \
             = hint: put the former file back, or write the new number into the flow if the new one is meant"
        )
    );
}

#[test]
fn files_stand_in_for_carried_plugins_and_bear_their_names() {
    let home = tempfile::tempdir().expect("temp dir");
    std::fs::write(home.path().join("my_copy.wasm"), bytes("noop")).expect("temp file");
    std::fs::write(home.path().join("noop.wasm"), bytes("noop")).expect("temp file");
    std::fs::write(home.path().join("README.md"), "").expect("temp file");
    static CARRIED: &[(&str, &[u8])] = &[("noop", b"never looked at"), ("other", b"not wasm")];
    let catalogue = Catalogue::new(
        catalogue().host().clone(),
        CARRIED,
        Some(home.path().to_owned()),
    );
    assert_eq!(catalogue.names(), ["my-copy", "noop", "other"]);
    assert_eq!(
        catalogue
            .manifest("noop")
            .expect("it is there")
            .expect("it loads")
            .name,
        "noop"
    );
    assert!(catalogue.manifest("missing").is_none());
    assert!(
        catalogue
            .manifest("other")
            .expect("it is there")
            .expect_err("it is no plugin")
            .contains("plugin/not-a-component")
    );
    let error = catalogue
        .plugin("my-copy")
        .expect("it is there")
        .expect_err("it has another name");
    assert_eq!(
        error.to_string(),
        format!(
            "the plugin in {} calls itself `noop` [plugin/name]\n  = hint: rename the file to `noop.wasm`",
            home.path().join("my_copy.wasm").display()
        )
    );
}
