//! The table. Order is the order of `flow show` and of the reference.

mod declare;
mod input;
mod moving;
mod output;
mod outside;
mod running;
mod trees;

use std::sync::LazyLock;

use super::OptionDoc;

/// Every option of a flow.
pub fn options() -> &'static [OptionDoc] {
    static ALL: LazyLock<Vec<OptionDoc>> = LazyLock::new(|| {
        sections()
            .into_iter()
            .flat_map(|(_, options)| options.iter().copied())
            .collect()
    });
    &ALL
}

/// The same in sections with titles.
pub fn sections() -> [(&'static str, &'static [OptionDoc]); 11] {
    [
        ("The flow", running::FLOW),
        ("What is consumed", input::INPUT),
        ("What comes in from outside", outside::OUTSIDE),
        ("What is listed and watched", trees::TREES),
        ("What passes", moving::FILTERS),
        ("Where it is stored", moving::PLACEMENT),
        ("How it is moved", moving::TRANSFER),
        ("Trying again", running::RETRY),
        ("Pace", running::PACE),
        ("What is posted", output::OUTPUT),
        ("Logs and health", running::LOG),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::OptionType as T;
    use super::*;

    #[test]
    fn declarations_are_complete() {
        let mut names: Vec<_> = options().iter().map(|option| option.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), options().len(), "names are unique");
        for option in options() {
            let name = option.name;
            assert!(
                option.doc.ends_with('.') && !option.example.is_empty(),
                "{name}"
            );
            assert_eq!(
                matches!(option.kind, T::Choice | T::Words | T::Identity),
                !option.choices.is_empty(),
                "{name}"
            );
            assert!(
                option.required.iter().all(|kind| option.is_for(*kind)),
                "{name}"
            );
            assert!(
                option
                    .kind_defaults
                    .iter()
                    .all(|(kind, _)| option.is_for(*kind)),
                "{name}"
            );
            let everywhere = option.kinds.len() == crate::Kind::ALL.len();
            assert_eq!(option.why_not.is_empty(), everywhere, "{name}");
            assert!(!option.doc.contains('|'), "{name} would break its table");
        }
    }
}
