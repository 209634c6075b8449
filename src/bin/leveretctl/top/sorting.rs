//! What do the lists begin with? Keys, each a letter to press and a name to type.

/// What queues are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The letter that chooses it.
    pub letter: char,
    /// Its name.
    pub name: &'static str,
    /// What the API calls it.
    pub path: &'static str,
    /// Whether the largest come first.
    pub falling: bool,
}

/// Whether a list begins with what its key says, or with the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As the key says.
    Usual,
    /// The other way around.
    Reversed,
}

impl Key {
    /// What is taken unless somebody chooses.
    pub const USUAL: Key = falling('r', "ready", "messages_ready");

    /// The key of this letter or name.
    pub fn named(name: &str) -> Option<Key> {
        let mut letters = name.chars();
        let alone = letters.next().filter(|_| letters.next().is_none());
        KEYS.into_iter().find(|key| key.name == name || alone == Some(key.letter))
    }

    /// All letters and names.
    pub fn all() -> String {
        KEYS.map(|key| format!("{} {}", key.letter, key.name)).join(", ")
    }

    /// What the API is told about the direction.
    pub fn reverse(self, direction: Direction) -> &'static str {
        let falling = self.falling == (direction == Direction::Usual);
        if falling { "true" } else { "false" }
    }
}

impl Direction {
    /// The other one.
    pub fn other(self) -> Direction {
        match self {
            Direction::Usual => Direction::Reversed,
            Direction::Reversed => Direction::Usual,
        }
    }
}

const fn falling(letter: char, name: &'static str, path: &'static str) -> Key {
    Key { letter, name, path, falling: true }
}

const KEYS: [Key; 8] = [
    Key::USUAL,
    falling('u', "unacked", "messages_unacknowledged"),
    falling('m', "messages", "messages"),
    falling('p', "publish", "message_stats.publish_details.rate"),
    falling('d', "deliver", "message_stats.deliver_get_details.rate"),
    falling('c', "consumers", "consumers"),
    falling('y', "memory", "memory"),
    Key { letter: 'n', name: "name", path: "name", falling: false },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_chosen_by_letter_or_name_and_each_is_its_own() {
        for key in KEYS {
            assert_eq!(Key::named(key.name), Some(key));
            assert_eq!(Key::named(&key.letter.to_string()), Some(key));
            assert!(!"q+-vh ".contains(key.letter), "{} means something else", key.letter);
        }
        assert_eq!(Key::named("rx"), None);
        assert_eq!(Key::named(""), None);
        assert_eq!(Key::USUAL.reverse(Direction::Usual), "true");
        assert_eq!(Key::USUAL.reverse(Direction::Reversed), "false");
    }
}
