//! Which known name did somebody mean who wrote another one.

/// The name among `known` that takes the fewest single-character changes to get from
/// `written`; the first of several. `None` only when nothing is known.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known.into_iter().min_by_key(|name| distance(written, name))
}

/// Edit distance: insertions, deletions and replacements, one row of the table at a time.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_the_textbook_ones() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("heartbeat", "heartbeat", 0),
            ("heartbeet", "heartbeat", 1),
        ] {
            assert_eq!(distance(from, to), expected, "{from} -> {to}");
        }
    }

    #[test]
    fn the_nearest_name_wins_and_ties_go_to_the_first() {
        let known = ["heartbeat", "frame_max", "channel_max"];
        assert_eq!(nearest("hartbeat", known), Some("heartbeat"));
        assert_eq!(nearest("frame-max", known), Some("frame_max"));
        assert_eq!(nearest("x", ["ab", "cd"]), Some("ab"));
        assert_eq!(nearest("x", []), None);
    }
}
