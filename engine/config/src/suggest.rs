//! Did you mean …?

/// The candidate that `word` was probably meant to be.
///
/// One edit per three characters (a swap of neighbours is one edit), letter case and the difference
/// between `_` and `-` aside. Never a wild guess: none is better than a wrong one.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let wanted = plain(word);
    let allowed = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wanted, &plain(candidate)),
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            *distance <= allowed && *distance < candidate.chars().count().max(2)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn close_words_are_found_and_far_ones_are_not() {
        let words = ["language", "directory", "sleep", "after", "post_exchange"];
        for (word, expected) in [
            ("languages", Some("language")),
            ("driectory", Some("directory")),
            ("Sleep", Some("sleep")),
            ("post-exchange", Some("post_exchange")),
            ("postexchange", Some("post_exchange")),
            ("colour", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(closest(word, words), expected, "{word}");
        }
    }
}
