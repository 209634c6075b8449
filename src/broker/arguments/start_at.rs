//! Where in a stream does a reader want to begin?

use crate::amqp::Value;
use crate::broker::arguments::age_seconds;

/// Where a reader begins (`x-stream-offset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// With the oldest message.
    First,
    /// With the newest message.
    Last,
    /// With the next message that comes.
    Next,
    /// With the message of this offset, or the first one after it.
    Offset(u64),
    /// So many messages before the next one that comes.
    BeforeEnd(u64),
    /// With the first message that was published then or later, in seconds since 1970.
    Time(u64),
    /// With the first message that is no older than this, in seconds.
    Age(u64),
}

impl StartAt {
    /// Reads the value of `x-stream-offset`; `None` when it is none.
    pub fn parse(value: Value<'_>) -> Option<Self> {
        if let Value::Timestamp(seconds) = value {
            return Some(Self::Time(seconds));
        }
        if let Value::U64(offset) = value {
            return Some(Self::Offset(offset));
        }
        if let Some(offset) = value.integer() {
            let magnitude = offset.unsigned_abs();
            return Some(if offset < 0 {
                Self::BeforeEnd(magnitude)
            } else {
                Self::Offset(magnitude)
            });
        }
        match value.text()? {
            b"first" => Some(Self::First),
            b"last" => Some(Self::Last),
            b"next" => Some(Self::Next),
            age => age_seconds(age).map(Self::Age),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_offset_is_read() {
        for (value, expected) in [
            (Value::LongString(b"first"), Some(StartAt::First)),
            (Value::LongString(b"last"), Some(StartAt::Last)),
            (Value::LongString(b"next"), Some(StartAt::Next)),
            (Value::LongString(b"1h"), Some(StartAt::Age(3600))),
            (Value::LongString(b"2D"), Some(StartAt::Age(172_800))),
            (Value::LongString(b"5"), None),
            (Value::LongString(b"h"), None),
            (Value::LongString(b""), None),
            (Value::I32(7), Some(StartAt::Offset(7))),
            (Value::U8(7), Some(StartAt::Offset(7))),
            (Value::U64(u64::MAX), Some(StartAt::Offset(u64::MAX))),
            (Value::I64(-1), Some(StartAt::BeforeEnd(1))),
            (Value::I64(i64::MIN), Some(StartAt::BeforeEnd(1 << 63))),
            (Value::Timestamp(5), Some(StartAt::Time(5))),
            (Value::Bool(true), None),
            (Value::F64(1.0), None),
            (Value::Void, None),
        ] {
            assert_eq!(StartAt::parse(value), expected, "{value:?}");
        }
    }
}
