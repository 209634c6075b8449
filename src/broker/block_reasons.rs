//! Why do publishers have to wait?

/// The reasons for which a node blocks those who publish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockReasons {
    /// Memory is low.
    pub memory: bool,
    /// Disk is low.
    pub disk: bool,
    /// The log found no space for a segment.
    pub full: bool,
}

impl BlockReasons {
    /// Whether there is any.
    pub fn is_any(self) -> bool {
        self.memory || self.disk || self.full
    }

    /// What clients are told (RabbitMQ's words).
    pub fn text(self) -> Option<&'static str> {
        match (self.memory, self.disk || self.full) {
            (true, true) => Some("low on memory & disk"),
            (true, false) => Some("low on memory"),
            (false, true) => Some("low on disk"),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_in_rabbitmqs_words() {
        for (memory, disk, full, text) in [
            (false, false, false, None),
            (true, false, false, Some("low on memory")),
            (false, true, false, Some("low on disk")),
            (false, false, true, Some("low on disk")),
            (true, true, false, Some("low on memory & disk")),
            (true, false, true, Some("low on memory & disk")),
        ] {
            let reasons = BlockReasons { memory, disk, full };
            assert_eq!((reasons.text(), reasons.is_any()), (text, text.is_some()), "{reasons:?}");
        }
    }
}
