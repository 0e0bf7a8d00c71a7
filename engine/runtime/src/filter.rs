//! Which messages go on, and where their content goes.
//!
//! Ages first, then rules in order against `baseUrl/relPath`, then the placement of the rule that
//! decided. Pure, but for the time passed in.
//!
//! # Invariants
//! - A path from the wire never leaves the directory the operator wrote: `..`, control characters
//!   and over-long elements are rejected (422); leading, doubled and trailing slashes and `.` mean
//!   nothing. The same goes for what a rule's groups bring into a `directory` or a `filename`.
//! - A [`Placed`] names, beside the location, the directory as the operator wrote it, up to the first
//!   variable. Content checks at the disk that no symbolic link below that leads out of it.

use std::path::{Path, PathBuf};

use flow_config::template::Context;
use flow_config::{Filters, Flow, Placement, Rule, Strip, Template};
use flow_message::{Message, Timestamp};

use crate::clock::later;
use crate::ports::{Location, Rejection};

/// Longest path element, bytes; what file systems allow.
pub(crate) const NAME_MAX: usize = 255;
/// Longest path, bytes, with room for an inflight name.
const PATH_MAX: usize = 4000;

/// A location and what it must stay below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) location: Location,
    pub(crate) root: PathBuf,
}

/// What placements start from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roots<'a> {
    /// Where relative directories start.
    pub(crate) here: &'a Path,
    /// The directory where no rule names one.
    pub(crate) directory: Option<&'a Template>,
    /// Directories at the front of a path that are not made again.
    pub(crate) base_dir: Option<&'a Template>,
}

impl<'a> Roots<'a> {
    /// Below `here`.
    pub(crate) fn at(here: &'a Path) -> Self {
        Self {
            here,
            directory: None,
            base_dir: None,
        }
    }
}

/// A message too young: tried again then.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Fine,
    TooOld(Rejection),
    /// Milliseconds.
    TooYoung {
        due: i64,
    },
}

/// Checks the ages. A message that was tried before has had its age checked, and has to wait for
/// reasons of ours: only its being too young still counts.
pub(crate) fn ages(flow: &Flow, message: &Message, tried: bool, now: Timestamp) -> Age {
    let exceeds = |time: Timestamp, max: std::time::Duration| {
        !max.is_zero() && !tried && time.age_at(now) > max
    };
    if exceeds(message.pub_time, flow.message_age_max) {
        let reason = format!("announced {}, older than `messageAgeMax`", message.pub_time);
        return Age::TooOld(Rejection { code: 504, reason });
    }
    let Some(mtime) = message.mtime else {
        return Age::Fine;
    };
    if exceeds(mtime, flow.file_age_max) {
        let reason = format!("modified {mtime}, older than `fileAgeMax`");
        return Age::TooOld(Rejection { code: 410, reason });
    }
    let due = later(mtime, flow.file_age_min);
    // What is gone is not being written any more.
    let gone = message.file_op.as_ref().is_some_and(|op| op.remove);
    if !flow.file_age_min.is_zero() && !gone && due > now.as_millisecond() {
        return Age::TooYoung { due };
    }
    Age::Fine
}

/// What the rules say about a message.
#[derive(Debug)]
pub(crate) struct Match<'a> {
    pub(crate) rule: Option<&'a Rule>,
    pub(crate) placement: &'a Placement,
    groups: Vec<Option<String>>,
}

/// What no rule matches, where it is accepted.
pub(crate) fn unmatched(filters: &Filters) -> Match<'_> {
    Match {
        rule: None,
        placement: &filters.placement,
        groups: Vec::new(),
    }
}

/// The first rule that matches decides.
pub(crate) fn rules<'a>(filters: &'a Filters, message: &Message) -> Result<Match<'a>, Rejection> {
    let unmatched = |accepted: bool| {
        if accepted {
            return Ok(unmatched(filters));
        }
        Err(Rejection {
            code: 404,
            reason: "no rule matches".into(),
        })
    };
    if filters.rules.is_empty() {
        return unmatched(filters.accept_unmatched);
    }
    let url = message.url();
    let Some(rule) = filters.rules.deciding(&url, message) else {
        return unmatched(filters.accept_unmatched);
    };
    if !rule.accept {
        let reason = format!("`{}` ({})", rule.text, rule.origin);
        return Err(Rejection { code: 404, reason });
    }
    // Groups are looked for in the one rule that decided, and only if it has any.
    let found = (rule.regex.captures_len() > 1)
        .then(|| rule.regex.captures(&url))
        .flatten();
    let groups = found.map_or_else(Vec::new, |found| {
        let groups = found.iter().skip(1);
        groups
            .map(|group| group.map(|group| group.as_str().to_owned()))
            .collect()
    });
    Ok(Match {
        rule: Some(rule),
        placement: &rule.placement,
        groups,
    })
}

impl Match<'_> {
    /// Where the content of `message` goes; `path` is what the names come from, usually `relPath`.
    pub(crate) fn place(
        &self,
        message: &Message,
        path: &str,
        roots: Roots<'_>,
        now: Timestamp,
    ) -> Result<Placed, Rejection> {
        let context = Context {
            now,
            message: Some(message),
            groups: &self.groups,
        };
        place(self.placement, &context, path, roots)
    }
}

/// Where the content announced as `path` goes.
pub(crate) fn place(
    placement: &Placement,
    context: &Context<'_>,
    path: &str,
    roots: Roots<'_>,
) -> Result<Placed, Rejection> {
    let elements = strip(&placement.strip, &elements(path)?)?;
    let (last, mut directories) = elements
        .split_last()
        .ok_or_else(|| unusable(path, "names nothing"))?;
    if let Some(base_dir) = roots.base_dir {
        let base: Vec<String> = self::elements(&base_dir.render(context))?;
        directories = directories.strip_prefix(&base[..]).unwrap_or(directories);
    }
    let mut filename = match &placement.flatten {
        Some(joint) if joint != "/" => elements.join(joint),
        _ => last.clone(),
    };
    if let Some(template) = &placement.filename {
        filename = template.render(context);
    }
    check_element(&filename)?;
    let directory = placement.directory.as_ref().or(roots.directory);
    let (root, mut directory) = root_of(directory, context, roots.here)?;
    if placement.mirror {
        directory.extend(directories);
    }
    let location = Location {
        directory,
        filename,
    };
    if location.path().as_os_str().len() > PATH_MAX {
        return Err(unusable(path, "is too long a path here"));
    }
    Ok(Placed { location, root })
}

/// The directory of `template`, and the part of it the operator wrote without variables.
fn root_of(
    template: Option<&Template>,
    context: &Context<'_>,
    here: &Path,
) -> Result<(PathBuf, PathBuf), Rejection> {
    let Some(template) = template else {
        return Ok((here.to_owned(), here.to_owned()));
    };
    let text = template.as_str();
    let rendered = template.render(context);
    let Some(variable) = text.find("${").filter(|_| !template.is_constant()) else {
        let directory = here.join(rendered);
        return Ok((directory.clone(), directory));
    };
    let fixed = text[..variable]
        .rfind('/')
        .map_or("", |slash| &text[..=slash]);
    let root = here.join(fixed);
    // What follows may come from the wire, by a group of a rule.
    let rest = rendered
        .strip_prefix(fixed)
        .ok_or_else(|| unusable(&rendered, "is no directory"))?;
    if fixed.is_empty() && rest.starts_with('/') {
        return Err(unusable(
            &rendered,
            "is absolute where `directory` starts with a variable",
        ));
    }
    let mut directory = root.clone();
    directory.extend(elements(rest)?);
    Ok((root, directory))
}

/// A directory a callback asks for: below the root of the message's own, or absolute and inside it.
pub(crate) fn directory_below(root: &Path, wanted: &str) -> Result<PathBuf, Rejection> {
    let relative = match Path::new(wanted).strip_prefix(root) {
        Ok(rest) => rest
            .to_str()
            .ok_or_else(|| unusable(wanted, "is no UTF-8"))?,
        Err(_) if wanted.starts_with('/') => {
            return Err(unusable(wanted, "is outside of the flow's `directory`"));
        }
        Err(_) => wanted,
    };
    let mut directory = root.to_owned();
    directory.extend(elements(relative)?);
    Ok(directory)
}

/// Splits a path from the wire into elements that are safe to use as names.
pub(crate) fn elements(path: &str) -> Result<Vec<String>, Rejection> {
    let parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    parts
        .map(|part| check_element(part).map(|()| part.to_owned()))
        .collect()
}

/// Whether `name` can be one element of a path here.
pub(crate) fn check_element(name: &str) -> Result<(), Rejection> {
    let problem = if name.is_empty() || name == "." {
        "names nothing"
    } else if name == ".." {
        "leads out of its directory"
    } else if name.contains('/') {
        "is more than one name"
    } else if name.chars().any(char::is_control) {
        "has control characters"
    } else if name.len() > NAME_MAX {
        "is longer than 255 bytes"
    } else {
        return Ok(());
    };
    Err(unusable(name, problem))
}

fn unusable(path: &str, problem: &str) -> Rejection {
    let shown: String = path.chars().take(80).flat_map(char::escape_debug).collect();
    Rejection {
        code: Rejection::BAD_NAME,
        reason: format!("`{shown}` {problem}"),
    }
}

fn strip(strip: &Strip, elements: &[String]) -> Result<Vec<String>, Rejection> {
    match strip {
        Strip::Count(count) if *count < elements.len() => Ok(elements[*count..].to_vec()),
        Strip::None | Strip::Count(_) => Ok(elements.to_vec()),
        Strip::Regex(regex) => {
            let path = elements.join("/");
            let left = self::elements(&regex.replace(&path, ""))?;
            // Whatever is cut away, a file keeps its name.
            match (left.last(), elements.last()) {
                (Some(left_last), Some(last)) if left_last == last => Ok(left),
                (_, last) => Ok(last.cloned().into_iter().collect()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use flow_config::template::Context;
    use flow_config::{Filters, Placement, Rule, Strip, Template};
    use flow_message::{FileOp, Message, Timestamp};
    use regex::Regex;

    use super::{Age, Roots, ages, directory_below, place, rules};
    use crate::testing::plain_flow;

    fn template(text: &str) -> Option<Template> {
        Some(Template::parse(text).unwrap())
    }

    fn data(mirror: bool, strip: Strip, flatten: Option<&str>) -> Placement {
        Placement {
            directory: template("/data"),
            mirror,
            strip,
            flatten: flatten.map(str::to_owned),
            filename: None,
        }
    }

    fn placed(placement: &Placement, path: &str) -> Result<String, String> {
        let message = Message::new(Timestamp::from_unix(0, 0), "http://origin/", path);
        let now = Timestamp::from_unix(0, 0);
        let context = Context {
            now,
            message: Some(&message),
            groups: &[],
        };
        place(placement, &context, path, Roots::at(Path::new("/here")))
            .map(|placed| placed.location.path().to_str().unwrap().to_owned())
            .map_err(|rejection| format!("{} {}", rejection.code, rejection.reason))
    }

    #[test]
    fn placements_of_the_fact_sheet() {
        let path = "20220101/SRC/model/x.grib";
        let regex = |text: &str| Strip::Regex(Regex::new(text).unwrap());
        for (placement, expected) in [
            (
                data(true, Strip::None, None),
                "/data/20220101/SRC/model/x.grib",
            ),
            (data(false, Strip::None, None), "/data/x.grib"),
            (data(true, Strip::Count(2), None), "/data/model/x.grib"),
            (data(true, regex(".*SRC/"), None), "/data/model/x.grib"),
            (
                data(false, Strip::None, Some("_")),
                "/data/20220101_SRC_model_x.grib",
            ),
            (
                data(true, Strip::Count(9), None),
                "/data/20220101/SRC/model/x.grib",
            ),
            (
                data(true, Strip::Count(4), None),
                "/data/20220101/SRC/model/x.grib",
            ),
            (data(true, Strip::Count(3), None), "/data/x.grib"),
            (
                data(false, Strip::Count(2), Some("-")),
                "/data/model-x.grib",
            ),
            (data(false, Strip::None, Some("/")), "/data/x.grib"),
            (data(true, regex(".*"), None), "/data/x.grib"),
            (data(true, regex(r"model/x\.gr"), None), "/data/x.grib"),
            (
                Placement {
                    mirror: true,
                    ..Placement::default()
                },
                "/here/20220101/SRC/model/x.grib",
            ),
            (
                Placement {
                    directory: template("in"),
                    ..Placement::default()
                },
                "/here/in/x.grib",
            ),
            (
                Placement {
                    filename: template("latest"),
                    ..data(false, Strip::None, None)
                },
                "/data/latest",
            ),
        ] {
            assert_eq!(
                placed(&placement, path).as_deref(),
                Ok(expected),
                "{placement:?}"
            );
        }
    }

    #[test]
    fn paths_from_the_wire_stay_inside() {
        let mirror = data(true, Strip::None, None);
        let long = "x".repeat(256);
        for (path, expected) in [
            ("a/../../etc/passwd", "422 `..` leads out of its directory"),
            ("..", "422 `..` leads out of its directory"),
            ("a/b\0c", "422 `b\\0c` has control characters"),
            ("a/b\nc", "422 `b\\nc` has control characters"),
            ("", "422 `` names nothing"),
            ("//./", "422 `//./` names nothing"),
        ] {
            assert_eq!(placed(&mirror, path), Err(expected.into()), "{path}");
        }
        assert!(
            placed(&mirror, &long)
                .unwrap_err()
                .ends_with("is longer than 255 bytes")
        );
        assert!(
            placed(&mirror, &"a/".repeat(2_100))
                .unwrap_err()
                .contains("too long a path")
        );
        for (path, expected) in [
            ("/etc/passwd", "/data/etc/passwd"),
            ("a//b/./c", "/data/a/b/c"),
            ("a/..b/c..", "/data/a/..b/c.."),
        ] {
            assert_eq!(placed(&mirror, path).as_deref(), Ok(expected), "{path}");
        }
        let hidden = Placement {
            strip: Strip::Regex(Regex::new("x").unwrap()),
            ..data(true, Strip::None, None)
        };
        assert!(placed(&hidden, ".x./.x./etc/passwd").is_err());
    }

    #[test]
    fn callbacks_choose_directories_inside_the_root_only() {
        let root = Path::new("/data/in");
        assert_eq!(
            directory_below(root, "a/b").unwrap(),
            Path::new("/data/in/a/b")
        );
        assert_eq!(
            directory_below(root, "/data/in/c").unwrap(),
            Path::new("/data/in/c")
        );
        assert!(directory_below(root, "/etc").is_err());
        assert!(directory_below(root, "../x").is_err());
        assert!(directory_below(root, "/data/in/../x").is_err());
    }

    fn rule(accept: bool, regex: &str) -> Rule {
        Rule {
            text: format!("{} {regex}", if accept { "accept" } else { "reject" }),
            regex: Regex::new(&format!("^(?:{regex})")).unwrap(),
            conditions: flow_config::Conditions::default(),
            accept,
            placement: data(false, Strip::None, None),
            origin: "poll/x.yaml:3".into(),
        }
    }

    #[test]
    fn a_rule_whose_conditions_do_not_hold_is_passed_over() {
        let large = Rule {
            conditions: flow_config::Conditions {
                size: Some(flow_config::SizeRange {
                    least: 1_000,
                    most: u64::MAX,
                }),
                ..Default::default()
            },
            ..rule(false, ".*")
        };
        let filters = Filters {
            rules: vec![large, rule(true, ".*")].into(),
            ..Filters::default()
        };
        let mut message = Message::new(Timestamp::from_unix(0, 0), "http://origin", "a/x");
        assert!(rules(&filters, &message).is_ok(), "no size is announced");
        message.size = Some(999);
        assert!(rules(&filters, &message).is_ok());
        message.size = Some(1_000);
        assert!(rules(&filters, &message).is_err());
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let filters = Filters {
            rules: vec![rule(false, r".*\.tmp$"), rule(true, "http://origin/a/.*")].into(),
            ..Filters::default()
        };
        let check = |path: &str| {
            let message = Message::new(Timestamp::from_unix(0, 0), "http://origin", path);
            rules(&filters, &message)
                .map(|found| found.rule.map(|rule| rule.text.clone()))
                .map_err(|rejection| (rejection.code, rejection.reason))
        };
        assert_eq!(
            check("/a/x").unwrap().as_deref(),
            Some("accept http://origin/a/.*")
        );
        assert_eq!(
            check("a/x.tmp"),
            Err((404, "`reject .*\\.tmp$` (poll/x.yaml:3)".into()))
        );
        assert_eq!(
            check("b/http://origin/a/x"),
            Err((404, "no rule matches".into()))
        );
    }

    #[test]
    fn what_groups_bring_in_stays_inside() {
        let mut accept = rule(true, r"http://origin/([^/]*)/(.*)/x");
        accept.placement.directory = template("/data/by-${1}/${2}");
        let filters = Filters {
            rules: vec![accept].into(),
            ..Filters::default()
        };
        let directory = |path: &str| {
            let message = Message::new(Timestamp::from_unix(0, 0), "http://origin", path);
            let found = rules(&filters, &message).unwrap();
            found.place(
                &message,
                "x",
                Roots::at(Path::new("/here")),
                Timestamp::from_unix(0, 0),
            )
        };
        let placed = directory("a/b/x").unwrap();
        assert_eq!(placed.root, Path::new("/data"));
        assert_eq!(placed.location.directory, Path::new("/data/by-a/b"));
        assert_eq!(directory("a/../../b/x").unwrap_err().code, 422);
        // An absolute group is below like any other.
        let placed = directory("a//etc/x").unwrap();
        assert_eq!(placed.location.directory, Path::new("/data/by-a/etc"));
    }

    #[test]
    fn a_directory_that_is_all_variable_stays_where_the_flow_was_started() {
        let mut accept = rule(true, r"http://origin/(.*)/x");
        accept.placement.directory = template("${1}");
        let filters = Filters {
            rules: vec![accept].into(),
            ..Filters::default()
        };
        let directory = |path: &str| {
            let message = Message::new(Timestamp::from_unix(0, 0), "http://origin", path);
            let found = rules(&filters, &message).unwrap();
            found.place(
                &message,
                "x",
                Roots::at(Path::new("/here")),
                Timestamp::from_unix(0, 0),
            )
        };
        assert_eq!(
            directory("a/x").unwrap().location.directory,
            Path::new("/here/a")
        );
        assert_eq!(directory("../x").unwrap_err().code, 422);
        assert_eq!(
            directory("b//etc/x").unwrap().location.directory,
            Path::new("/here/b/etc")
        );
    }

    #[test]
    fn ages_reject_the_old_and_let_the_young_wait() {
        let mut flow = plain_flow();
        flow.message_age_max = Duration::from_secs(100);
        flow.file_age_max = Duration::from_secs(50);
        flow.file_age_min = Duration::from_secs(10);
        let check = |announced: i64, modified: Option<i64>, tried| {
            let mut message =
                Message::new(Timestamp::from_unix(announced, 0), "http://origin", "a");
            message.mtime = modified.map(|modified| Timestamp::from_unix(modified, 0));
            match ages(&flow, &message, tried, Timestamp::from_unix(1000, 0)) {
                Age::Fine => 0,
                Age::TooOld(rejection) => i64::from(rejection.code),
                Age::TooYoung { due } => due,
            }
        };
        assert_eq!(check(900, None, false), 0);
        assert_eq!(check(899, None, false), 504);
        assert_eq!(check(899, None, true), 0);
        assert_eq!(check(900, Some(949), false), 410);
        assert_eq!(check(900, Some(980), false), 0);
        assert_eq!(check(900, Some(995), false), 1_005_000);
        assert_eq!(check(900, Some(995), true), 1_005_000);

        let now = Timestamp::from_unix(1000, 0);
        let mut gone = Message::new(now, "http://origin", "a");
        gone.mtime = Some(Timestamp::from_unix(995, 0));
        gone.file_op = Some(FileOp {
            remove: true,
            ..FileOp::default()
        });
        assert_eq!(ages(&flow, &gone, false, now), Age::Fine);
    }
}
