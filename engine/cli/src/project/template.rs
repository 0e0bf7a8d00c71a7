//! From templates to a project: pieces of several entry points become one source.
//!
//! In a file of `project/`, `{{name}}`, `{{snake}}`, `{{pascal}}`, `{{entries}}`, `{{language}}`,
//! `{{flow}}` and `{{contract}}` are replaced. A line `{{section:S}}` becomes the section `S` of every chosen entry
//! point, equal ones once, a blank line between; `{{lines:S}}` the union of their lines;
//! `{{join:S}}` these joined by commas, and
//! `{{also:S}}` with a comma before each. A line that starts with `{{?a,b}}` stays if `a` or `b` was
//! chosen, with `{{!a,b}}` if none was. A piece is a file `entry/ENTRY.tmpl`, where a line `=== S`
//! starts the section `S`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::built::{KITS, TEMPLATES};
use super::{Language, Name};

/// The entry points there are templates for, in the order they are written in.
pub(crate) const ENTRY_POINTS: [&str; 9] = [
    "gather",
    "after_accept",
    "download",
    "send",
    "after_work",
    "post",
    "settled",
    "request",
    "line",
];

/// Where a project keeps the kit it links against.
const VENDOR: &str = "vendor/flow-plugin";

/// What a template is filled with.
struct Filling<'a> {
    entries: &'a [&'static str],
    words: Vec<(&'static str, String)>,
    /// By entry point, then by section.
    pieces: Vec<BTreeMap<String, String>>,
}

/// Writes a project into a folder that is there and empty; returns its files, sorted.
///
/// # Errors
/// A file can't be written, or a template is wrong, which a test finds before anybody else does.
pub(crate) fn write(
    directory: &Path,
    name: &Name,
    language: &Language,
    entries: &[&'static str],
) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (path, text) in project(name, language, entries)? {
        let file = directory.join(&path);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("{} can't be made", parent.display()))?;
        }
        std::fs::write(&file, text)
            .with_context(|| format!("{} can't be written", file.display()))?;
        written.push(PathBuf::from(path));
    }
    written.sort();
    Ok(written)
}

/// Every file of a new project and its text.
fn project(
    name: &Name,
    language: &Language,
    entries: &[&'static str],
) -> anyhow::Result<Vec<(String, String)>> {
    let filling = Filling::new(name, language, entries)?;
    let mut files = Vec::new();
    for part in ["common", language.name.as_str()] {
        for (path, text) in below(TEMPLATES, &format!("{part}/project")) {
            let path = filling.words(path.strip_suffix(".tmpl").unwrap_or(path));
            let text = filling
                .fill(text)
                .with_context(|| format!("template {part}/project/{path}"))?;
            files.push((path, text));
        }
    }
    for entry in entries {
        let test = format!("{entry}.yaml");
        let found = below(TEMPLATES, "common/tests").find(|(path, _)| *path == test);
        let (_, text) = found.with_context(|| format!("there is no test of {entry}"))?;
        files.push((format!("tests/{test}"), filling.fill(text)?));
    }
    for part in &language.vendor {
        let parts = KITS.iter().filter(|(path, _)| {
            path.strip_prefix(part.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        for (path, text) in parts {
            let text = match *path {
                "Cargo.toml" => workspace(text, &language.vendor),
                _ => (*text).to_owned(),
            };
            files.push((format!("{VENDOR}/{path}"), text));
        }
    }
    Ok(files)
}

/// The texts below a folder, by the rest of their paths.
fn below<'a>(
    texts: &'static [(&'static str, &'static str)],
    folder: &'a str,
) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
    texts.iter().filter_map(move |(path, text)| {
        let rest = path.strip_prefix(folder)?.strip_prefix('/')?;
        Some((rest, *text))
    })
}

/// The workspace of the plugins with those members only that a project carries.
fn workspace(text: &str, vendor: &[String]) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        let member = line.trim().trim_matches([',', '"']);
        inside &= line != "]";
        if !inside || vendor.iter().any(|part| part == member) {
            out.push_str(line);
            out.push('\n');
        }
        inside |= line.starts_with("members = [");
    }
    out
}

impl<'a> Filling<'a> {
    fn new(name: &Name, language: &Language, entries: &'a [&'static str]) -> anyhow::Result<Self> {
        let pieces = entries.iter().map(|entry| {
            let file = format!("{entry}.tmpl");
            let folder = format!("{}/entry", language.name);
            let piece = below(TEMPLATES, &folder).find(|(path, _)| *path == file);
            let (_, text) = piece.with_context(|| {
                format!(
                    "{} has no template for the entry point `{entry}`",
                    language.title
                )
            })?;
            Ok(sections(text))
        });
        Ok(Self {
            pieces: pieces.collect::<anyhow::Result<_>>()?,
            words: vec![
                ("{{name}}", name.kebab().to_owned()),
                ("{{snake}}", name.snake()),
                ("{{pascal}}", name.pascal()),
                ("{{entries}}", entries.join(", ")),
                ("{{language}}", language.name.clone()),
                ("{{flow}}", env!("CARGO_PKG_VERSION").to_owned()),
                ("{{contract}}", "0.1".to_owned()),
            ],
            entries,
        })
    }

    fn words(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, value) in &self.words {
            text = text.replace(word, value);
        }
        text
    }

    /// The sections of that name, equal ones once.
    fn sections(&self, name: &str) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for piece in &self.pieces {
            if let Some(text) = piece.get(name)
                && !found.contains(&text.as_str())
            {
                found.push(text);
            }
        }
        found
    }

    fn lines(&self, name: &str) -> Vec<&str> {
        let all: BTreeSet<&str> = self
            .sections(name)
            .into_iter()
            .flat_map(str::lines)
            .filter(|line| !line.is_empty())
            .collect();
        all.into_iter().collect()
    }

    fn fill(&self, text: &str) -> anyhow::Result<String> {
        let mut out = String::new();
        for line in text.lines() {
            let Some(line) = self.wanted(line)? else {
                continue;
            };
            let indent = &line[..line.len() - line.trim_start().len()];
            let inserted = match command(line.trim()) {
                Some(("section", name)) => self.sections(name).join("\n"),
                Some(("lines", name)) => self.lines(name).join("\n"),
                _ => {
                    out.push_str(&self.joined(line));
                    out.push('\n');
                    continue;
                }
            };
            for line in inserted.lines() {
                // Pieces choose among their lines, too.
                if let Some(line) = self.wanted(line)? {
                    if !line.is_empty() {
                        out.push_str(indent);
                    }
                    out.push_str(&self.joined(line));
                    out.push('\n');
                }
            }
        }
        // Where nothing was inserted, two empty lines meet.
        while out.contains("\n\n\n") {
            out = out.replace("\n\n\n", "\n\n");
        }
        let text = self.words(&out);
        if let Some(at) = text.find("{{") {
            let rest: String = text[at..].chars().take(30).collect();
            anyhow::bail!("`{rest}` stands for nothing");
        }
        Ok(text)
    }

    /// The line without its condition, if it is wanted.
    fn wanted<'b>(&self, line: &'b str) -> anyhow::Result<Option<&'b str>> {
        let (yes, rest) = match (line.strip_prefix("{{?"), line.strip_prefix("{{!")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Ok(Some(line)),
        };
        let (names, rest) = rest.split_once("}}").context("a condition ends in `}}`")?;
        let mut chosen = false;
        for name in names.split(',') {
            anyhow::ensure!(
                ENTRY_POINTS.contains(&name),
                "`{name}` in a condition is no entry point"
            );
            chosen |= self.entries.contains(&name);
        }
        Ok((chosen == yes).then_some(rest))
    }

    /// Fills in `{{join:S}}` and `{{also:S}}`.
    fn joined(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (mark, first) in [("{{join:", ""), ("{{also:", ", ")] {
            while let Some((before, rest)) = line.split_once(mark)
                && let Some((name, after)) = rest.split_once("}}")
            {
                let lines = self.lines(name).join(", ");
                let first = if lines.is_empty() { "" } else { first };
                line = format!("{before}{first}{lines}{after}");
            }
        }
        line
    }
}

/// `{{command:name}}`, alone on its line.
fn command(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("{{")?.strip_suffix("}}")?.split_once(':')
}

fn sections(text: &str) -> BTreeMap<String, String> {
    let mut sections: BTreeMap<String, String> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("=== ") {
            current = Some(sections.entry(name.trim().to_owned()).or_default());
        } else if let Some(section) = &mut current {
            section.push_str(line);
            section.push('\n');
        }
    }
    for section in sections.values_mut() {
        let kept = section.trim_end().len();
        section.truncate(kept);
        section.push('\n');
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filling() -> Filling<'static> {
        let piece = |text: &str| sections(text);
        Filling {
            entries: &["gather", "send"],
            words: vec![("{{name}}", "letters".into())],
            pieces: vec![
                piece("=== use\nb\na\n=== code\none\n\n{{?send}}two of {{name}}\n{{!send}}three\n"),
                piece("=== use\nb\nc\n=== code\nfour\n=== same\nx\n"),
            ],
        }
    }

    #[test]
    fn pieces_of_entry_points_become_one_text() {
        let template = "use {{join:use}};\n{{lines:use}}\nfn {\n    {{section:code}}\n}\n{{?line}}no\n{{!line}}yes\n{{section:none}}\n";
        assert_eq!(
            filling().fill(template).expect("a good template"),
            "use a, b, c;\na\nb\nc\nfn {\n    one\n\n    two of letters\n\n    four\n}\nyes\n"
        );
    }

    #[test]
    fn a_wrong_template_is_found() {
        for wrong in ["{{nam}}", "{{?sent}}x", "{{?send"] {
            assert!(filling().fill(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_language_has_every_entry_point_or_says_which_not() {
        for language in Language::all().expect("the descriptions are right") {
            for entry in ENTRY_POINTS {
                let files = project(&Name::parse("x").expect("a name"), &language, &[entry]);
                let files = files.unwrap_or_else(|error| panic!("{}: {error:#}", language.name));
                assert!(files.iter().any(|(path, _)| path == "flow-plugin.toml"));
                assert!(
                    files
                        .iter()
                        .any(|(path, _)| *path == format!("tests/{entry}.yaml"))
                );
                assert!(files.iter().any(|(path, _)| path == "README.md"));
                for part in &language.vendor {
                    let inside = format!("{VENDOR}/{part}");
                    assert!(
                        files.iter().any(|(path, _)| path.starts_with(&inside)),
                        "{inside}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_kit_is_a_workspace_of_what_a_project_carries() {
        let text =
            "members = [\n    \"sdk\",\n    \"mail\",\n]\n\n[workspace.package]\nx = \"mail\"\n";
        assert_eq!(
            workspace(text, &["sdk".to_owned()]),
            "members = [\n    \"sdk\",\n]\n\n[workspace.package]\nx = \"mail\"\n"
        );
    }
}
