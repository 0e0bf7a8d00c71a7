//! Texts out of an author's source: doc comments, and names that are almost right.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The doc comment above something, as one paragraph; empty if there is none.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        });
    lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// `MoveTo` as `move_to`.
pub(crate) fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

/// Whether two names are so near that one is the other mistyped.
pub(crate) fn near(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    let distance = row[other.len()];
    distance > 0 && distance <= (other.len() / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_almost_right_are_near() {
        assert!(near("after_acept", "after_accept"));
        assert!(near("settle", "settled"));
        assert!(!near("after_work", "after_accept"));
        assert!(!near("send", "send"));
        assert!(!near("read", "send"));
    }

    #[test]
    fn choices_are_written_in_snake_case() {
        assert_eq!(snake("MoveTo"), "move_to");
        assert_eq!(snake("Keep"), "keep");
    }
}
