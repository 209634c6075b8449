//! How do counters and rates look in JSON? As RabbitMQ's `message_stats`.

use serde_json::{Map, Value, json};

use crate::broker::counters::{Counters, Happening};

/// What is counted, by the names that tools read.
const NAMES: [(&str, &[Happening]); 12] = [
    ("ack", &[Happening::Ack]),
    ("confirm", &[Happening::Confirm]),
    ("deliver", &[Happening::Deliver]),
    (
        "deliver_get",
        &[Happening::Deliver, Happening::DeliverNoAck, Happening::Get, Happening::GetNoAck],
    ),
    ("deliver_no_ack", &[Happening::DeliverNoAck]),
    ("drop_unroutable", &[Happening::DropUnroutable]),
    ("get", &[Happening::Get]),
    ("get_empty", &[Happening::GetEmpty]),
    ("get_no_ack", &[Happening::GetNoAck]),
    ("publish", &[Happening::Publish]),
    ("redeliver", &[Happening::Redeliver]),
    ("return_unroutable", &[Happening::ReturnUnroutable]),
];

/// Each count with its rate; of what never happened, nothing.
pub fn message_stats(counters: &Counters) -> Value {
    let mut stats = Map::new();
    for (name, kinds) in NAMES {
        let count: u64 = kinds.iter().map(|kind| counters.count(*kind)).sum();
        if count > 0 {
            let rate: f32 = kinds.iter().map(|kind| counters.rate(*kind)).sum();
            stats.insert(name.to_owned(), count.into());
            stats.insert(format!("{name}_details"), json!({ "rate": rate }));
        }
    }
    Value::Object(stats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::counters::SAMPLE_EVERY;

    #[test]
    fn what_happened_is_there_and_what_never_did_is_not() {
        let mut counters = Counters::default();
        assert_eq!(message_stats(&counters), json!({}));
        counters.note_many(Happening::Deliver, 10);
        counters.note_many(Happening::GetNoAck, 5);
        counters.sample(SAMPLE_EVERY);
        let rate = |rate: f32| json!({ "rate": rate });
        let expected = json!({
            "deliver": 10, "deliver_details": rate(2.0),
            "deliver_get": 15, "deliver_get_details": rate(3.0),
            "get_no_ack": 5, "get_no_ack_details": rate(1.0),
        });
        assert_eq!(message_stats(&counters), expected);
    }
}
