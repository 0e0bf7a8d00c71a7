//! Tables of templates and what they give.

use super::*;

fn message() -> Message {
    let time = "20261122T015207".parse().expect("a time");
    let mut message = Message::new(time, "https://host.example/data/incoming/", "a/b.pdf");
    message.source = Some("partner".into());
    message
}

fn render(text: &str, groups: &[Option<String>]) -> String {
    let message = message();
    let now = "20260301T003005.25".parse().expect("a time");
    let context = Context {
        now,
        message: Some(&message),
        groups,
    };
    Template::parse(text).expect(text).render(&context)
}

#[test]
fn variables_are_filled_in() {
    let groups = [Some("one".to_owned()), None, Some("three".to_owned())];
    for (text, expected) in [
        ("", ""),
        ("plain $5 and $", "plain $5 and $"),
        ("/in/${%Y-%m-%d}/x", "/in/2026-03-01/x"),
        ("${%o-1h%Y%m%d}", "20260228"),
        ("${%o+2d%Y%m%d-%H}", "20260303-00"),
        ("${%H}${%M}${%S}", "003005"),
        ("${YYYYMMDD}", "20260301"),
        ("${YYYYMMDD-70m}", "20260228"),
        ("${YYYY}/${MM}/${DD}/${HH}/${JJJ}", "2026/03/01/00/060"),
        ("${YYYY-90d}", "2025"),
        ("${1}-${2}-${3}-${9}", "one--three-"),
        ("${BUP}", "/data/incoming"),
        (
            "${baseUrlPath}|${BUPL}|${baseUrlPathLast}",
            "/data/incoming|incoming|incoming",
        ),
        ("${SOURCE}", "partner"),
        ("${WHATFN}/${T1}", "b.pdf/b"),
        ("$${%Y}", "${%Y}"),
        ("$$${1}", "$${1}"),
        ("a}b", "a}b"),
        ("ü${1}ö", "üoneö"),
    ] {
        assert_eq!(render(text, &groups), expected, "{text}");
    }
}

#[test]
fn what_can_never_be_filled_in_is_refused() {
    for (text, expected) in [
        ("x${%Y", "`${` at character 2 is never closed"),
        ("${", "`${` at character 1 is never closed"),
        ("${HOME}", "`${HOME}` is not known"),
        ("${}", "`${}` is not the name of a variable"),
        ("${a b}", "`${a b}` is not the name of a variable"),
        ("${0}", "`${0}` is no group: groups are counted from `${1}`"),
        ("${4711}", "`${4711}` is a group no rule can have"),
        (
            "${%}",
            "`${%}` has a time format `%` that is not understood",
        ),
        (
            "${%Y%!}",
            "`${%Y%!}` has a time format `%Y%!` that is not understood",
        ),
        (
            "${%o-1x%Y}",
            "`${%o-1x%Y}` has the offset `-1x`: write a sign, a number and a unit, such as `-1h`",
        ),
        (
            "${YYYY-1}",
            "`${YYYY-1}` has the offset `-1`: write a sign, a number and a unit, such as `-1h`",
        ),
    ] {
        assert_eq!(Template::parse(text).expect_err(text), expected);
    }
}

#[test]
fn the_written_form_reads_back() {
    for text in [
        "/in/${%Y-%m-%d}",
        "$${x}${1}",
        "${YYYYMMDD-70m}",
        "${%o+1d%Y}/${BUP}${BUPL}${SOURCE}",
    ] {
        let template = Template::parse(text).expect(text);
        assert_eq!(Template::parse(template.as_str()), Ok(template), "{text}");
    }
}

#[test]
fn messages_do_not_lead_out_of_the_path() {
    let message = message();
    let now = "20260301T003005".parse().expect("a time");
    let path = |text: &str, group: &str| {
        let groups = [Some(group.to_owned())];
        let context = Context {
            now,
            message: Some(&message),
            groups: &groups,
        };
        Template::parse(text).expect(text).render_path(&context)
    };
    assert_eq!(path("/data/${1}", "a/b"), Ok("/data/a/b".into()));
    assert_eq!(
        path("/data/../x/${1}", "a..b"),
        Ok("/data/../x/a..b".into())
    );
    for (text, group) in [
        ("/data/${1}", "../etc"),
        ("/data/${1}/x", ".."),
        ("/data/.${1}/x", "."),
        ("${1}/x", "/etc"),
        ("/data/${1}", "a\0b"),
        ("/data/${1}", "a/../../b"),
    ] {
        assert!(path(text, group).is_err(), "{text} with {group:?}");
    }
}

#[test]
fn base_paths() {
    for (url, expected) in [
        ("https://h/a/b/", "/a/b"),
        ("https://h", ""),
        ("https://h/", ""),
        ("file:", ""),
        ("file:///a", "/a"),
        ("file:/a/", "/a"),
        ("https://h/a?q#f", "/a"),
        ("", ""),
    ] {
        assert_eq!(base_path(url), expected, "{url}");
    }
}
