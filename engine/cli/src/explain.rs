//! `flow explain`: one page per error code.
//!
//! Pages of findings in flow files come from `flow-config`, next to the checks that report them;
//! those of everything else are in `pages.md`, one section per code.

use crate::names;

/// `## code`, a line that says what it means, then the page.
const PAGES: &str = include_str!("explain/pages.md");

/// Every code with its first line, sorted.
pub(crate) fn all() -> Vec<(&'static str, &'static str)> {
    let mut all: Vec<_> = sections(PAGES)
        .map(|(code, page)| (code, title(page)))
        .collect();
    all.extend(
        flow_config::codes().filter_map(|code| Some((code, title(flow_config::explain(code)?)))),
    );
    all.sort_unstable();
    all
}

/// The page of a code, headed by it.
pub(crate) fn page(code: &str) -> Option<String> {
    let ours = sections(PAGES)
        .find(|(known, _)| *known == code)
        .map(|(_, page)| page);
    let page = ours.or_else(|| flow_config::explain(code))?;
    Some(format!("{code}\n\n{}\n", page.trim()))
}

/// Codes that look like it: mistyped, or without its area.
pub(crate) fn near(code: &str) -> Vec<&'static str> {
    let all = all();
    let slug: Vec<&str> = all
        .iter()
        .map(|(known, _)| *known)
        .filter(|known| known.split('/').nth(1) == Some(code))
        .collect();
    if slug.is_empty() {
        names::near(code, all.iter().map(|(known, _)| *known))
    } else {
        slug
    }
}

fn sections(pages: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    pages
        .split("\n## ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
}

fn title(page: &'static str) -> &'static str {
    page.trim()
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn every_page_has_a_code_a_title_and_says_what_to_do() {
        let all = all();
        assert!(all.len() > 20);
        for (code, title) in &all {
            let (area, slug) = code.split_once('/').expect("area/slug");
            assert!(!area.is_empty() && !slug.is_empty(), "{code}");
            assert!(
                slug.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{code}"
            );
            assert!(title.chars().count() > 10, "{code}");
            assert!(
                page(code).is_some_and(|page| page.starts_with(code)),
                "{code}"
            );
        }
        let mut codes: Vec<_> = all.iter().map(|(code, _)| *code).collect();
        codes.dedup();
        assert_eq!(codes.len(), all.len(), "no code twice");
    }

    #[test]
    fn near_codes_are_found() {
        assert_eq!(near("plugin/deadlin"), ["plugin/deadline"]);
        assert_eq!(near("deadline"), ["plugin/deadline"]);
    }

    /// Reads the engine's sources, so that no error is printed with a code nobody explains.
    #[test]
    fn every_code_in_the_sources_has_a_page() {
        let mut files = Vec::new();
        for part in ["broker", "cli", "config", "daemon", "host", "runtime"] {
            collect(
                &Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("..")
                    .join(part)
                    .join("src"),
                &mut files,
            );
        }
        let areas = [
            "broker",
            "cli",
            "config",
            "credentials",
            "plugin",
            "run",
            "state",
        ];
        let mut missing = Vec::new();
        for file in files {
            let text = fs::read_to_string(&file).expect("sources are readable");
            // Codes stand alone in a literal, and tests come last in a file.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for literal in code.split('"').filter(|literal| literal.len() < 60) {
                let Some((area, slug)) = literal.split_once('/') else {
                    continue;
                };
                let is_slug =
                    slug.len() > 3 && slug.chars().all(|c| c.is_ascii_lowercase() || c == '-');
                if areas.contains(&area) && is_slug && page(literal).is_none() {
                    missing.push(format!("{literal} in {}", file.display()));
                }
            }
        }
        assert!(missing.is_empty(), "add to explain/pages.md: {missing:#?}");
    }

    fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
}
