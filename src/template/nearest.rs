//! The word that was probably meant.

/// The candidate that differs from `word` by a slip of the keys, if there is one.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let types = ["string", "text", "integer"];
        assert_eq!(nearest("strng", types), Some("string"));
        assert_eq!(nearest("Intger", types), Some("integer"));
        assert_eq!(nearest("colour", types), None);
        assert_eq!(nearest("id", ["is"]), Some("is"));
        assert_eq!(nearest("id", ["no"]), None);
    }
}
