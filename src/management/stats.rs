//! How do counters and rates look in JSON? As RabbitMQ's `message_stats` and the like.

use serde_json::{Map, Value, json};

use super::figures::{self, CHURN_NAMES, FIGURES, NodeHistory};
use super::samples::{Ranges, Samples};
use super::view::ConnectionChurn;
use crate::broker::Broker;
use crate::broker::counters::{
    Counters, ExchangeCounters, Happening, PUBLISH_IN, PUBLISH_OUT, QueueCounters, VhostCounters,
};
use crate::broker::watched::{Figures, HAPPENED, READY, UNACKED, Watchable};

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

/// What an object was of late, as far as somebody asks for it.
pub struct Looked {
    of_messages: Samples<{ size_of::<Figures>() / 8 }>,
    of_lengths: Samples<{ size_of::<Figures>() / 8 }>,
    of_data: Samples<{ size_of::<Figures>() / 8 }>,
}

impl Looked {
    /// Nobody asks.
    pub fn never() -> Self {
        let (of_messages, of_lengths, of_data) =
            (Samples::none(), Samples::none(), Samples::none());
        Self { of_messages, of_lengths, of_data }
    }

    /// Somebody looks at an object that has these figures now; from now on they are remembered.
    pub fn at(broker: &mut Broker, object: Watchable, ranges: &Ranges, now: Figures) -> Self {
        if !ranges.is_any() {
            return Self::never();
        }
        let now_ms = broker.clock_ms();
        let history = broker.watched.look(object, now_ms, now);
        Self {
            of_messages: Samples::of(ranges.msg_rates, history),
            of_lengths: Samples::of(ranges.lengths, history),
            of_data: Samples::of(ranges.data_rates, history),
        }
    }

    /// What happened to messages of an object; of what never happened, nothing.
    pub fn message_stats(&self, counters: &Counters) -> Value {
        message_stats(counters, &self.of_messages, HAPPENED)
    }

    /// What was published to an exchange.
    pub fn published(&self, counters: &ExchangeCounters) -> Value {
        let mut shown = json!({});
        for (name, figure) in [("publish_in", PUBLISH_IN), ("publish_out", PUBLISH_OUT)] {
            let details =
                self.of_messages.details(counters.rate(figure), |now| now[HAPPENED + figure]);
            shown[name] = counters.count(figure).into();
            shown[format!("{name}_details")] = details;
        }
        shown
    }

    /// Adds how fast a queue grows.
    pub fn add_lengths(&self, shown: &mut Value, counters: Option<&QueueCounters>) {
        let rates = counters.map_or([0.0; 2], QueueCounters::length_rates);
        add_lengths(shown, &self.of_lengths, rates);
    }

    /// Adds how much comes and goes on a connection each second.
    pub fn add_traffic(&self, shown: &mut Value, rates: [f32; 2]) {
        for (at, name) in ["recv_oct_details", "send_oct_details"].into_iter().enumerate() {
            shown[name] = self.of_data.details(rates[at], |now| now[HAPPENED + at]);
        }
    }
}

/// Adds how fast a vhost's queues grow together, and what is counted of its clients.
pub fn add_vhost(shown: &mut Value, lengths: [f32; 2], counters: Option<&VhostCounters>) {
    add_lengths(shown, &Samples::<2>::none(), lengths);
    let Some(counters) = counters else {
        return;
    };
    let happened = message_stats(&counters.happened, &Samples::<1>::none(), 0);
    if happened != json!({}) {
        shown["message_stats"] = happened;
    }
    for (figure, name) in ["recv_oct", "send_oct"].into_iter().enumerate() {
        shown[name] = counters.traffic.count(figure).into();
        shown[format!("{name}_details")] = super::samples::rate(counters.traffic.rate(figure));
    }
}

/// What happened to messages in all of the node.
pub fn of_node(counters: &Counters, ranges: &Ranges, history: &NodeHistory) -> Value {
    message_stats(counters, &Samples::of(ranges.msg_rates, history), figures::HAPPENED)
}

/// Adds how fast all queues together grow.
pub fn add_totals(shown: &mut Value, samples: &Samples<FIGURES>, history: &NodeHistory) {
    let rates = [history.rate(figures::READY), history.rate(figures::UNACKED)];
    add_lengths(shown, samples, rates);
}

/// How much came and went since the start.
pub fn churn(
    broker: &Broker,
    connections: ConnectionChurn,
    samples: &Samples<FIGURES>,
    history: &NodeHistory,
) -> Map<String, Value> {
    let mut shown = Map::new();
    let counts = figures::came_and_went(broker, connections);
    for (at, (name, count)) in CHURN_NAMES.into_iter().zip(counts).enumerate() {
        let figure = figures::CHURN + at;
        let details = samples.details(history.rate(figure), |now| now[figure]);
        shown.insert(name.to_owned(), count.into());
        shown.insert(format!("{name}_details"), details);
    }
    shown
}

fn add_lengths<const N: usize>(shown: &mut Value, samples: &Samples<N>, rates: [f32; 2]) {
    let [ready, unacked] = rates;
    // Both kinds of figures have these two at the same places.
    const { assert!(READY == figures::READY && UNACKED == figures::UNACKED) };
    shown["messages_details"] = samples.details(ready + unacked, |now| now[READY] + now[UNACKED]);
    shown["messages_ready_details"] = samples.details(ready, |now| now[READY]);
    shown["messages_unacknowledged_details"] = samples.details(unacked, |now| now[UNACKED]);
}

/// Each count with its rate, and with its samples, in which counts begin at a place.
fn message_stats<const N: usize>(counters: &Counters, samples: &Samples<N>, from: usize) -> Value {
    let mut stats = Map::new();
    for (name, kinds) in NAMES {
        let count: u64 = kinds.iter().map(|kind| counters.count(*kind)).sum();
        if count > 0 {
            let rate: f32 = kinds.iter().map(|kind| counters.rate(*kind)).sum();
            let sum = |now: &[u64; N]| kinds.iter().map(|kind| now[from + *kind as usize]).sum();
            stats.insert(name.to_owned(), count.into());
            stats.insert(format!("{name}_details"), samples.details(rate, sum));
        }
    }
    Value::Object(stats)
}

/// A figure of what happened, by its place in `message_stats`: `ack`, `ack_details.rate`. `None`:
/// there is none, or nothing of the kind ever happened.
pub fn figure(counters: &Counters, path: &str) -> Option<f64> {
    let name = path.strip_suffix("_details.rate");
    let (_, kinds) = NAMES.iter().find(|(known, _)| *known == name.unwrap_or(path))?;
    let count: u64 = kinds.iter().map(|kind| counters.count(*kind)).sum();
    #[allow(clippy::cast_precision_loss, reason = "it orders")]
    let count = (count > 0).then_some(count as f64)?;
    let rate = || kinds.iter().map(|kind| f64::from(counters.rate(*kind))).sum();
    Some(if name.is_some() { rate() } else { count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::counters::SAMPLE_EVERY;

    #[test]
    fn what_happened_is_there_and_what_never_did_is_not() {
        let mut counters = Counters::default();
        let looked = Looked::never();
        assert_eq!(looked.message_stats(&counters), json!({}));
        counters.note_many(Happening::Deliver, 10);
        counters.note_many(Happening::GetNoAck, 5);
        counters.sample(SAMPLE_EVERY);
        let rate = |rate: f32| json!({ "rate": rate });
        let expected = json!({
            "deliver": 10, "deliver_details": rate(2.0),
            "deliver_get": 15, "deliver_get_details": rate(3.0),
            "get_no_ack": 5, "get_no_ack_details": rate(1.0),
        });
        assert_eq!(looked.message_stats(&counters), expected);
    }

    #[test]
    fn what_came_and_went_is_named_in_the_order_in_which_it_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let broker = crate::broker::testing::open(directory.path());
        let connections = ConnectionChurn { opened: 7, closed: 5 };
        let history = figures::new_history();
        let shown = churn(&broker, connections, &Samples::none(), &history);
        assert_eq!(
            (&shown["connection_created"], &shown["connection_closed"]),
            (&7.into(), &5.into())
        );
        assert_eq!(shown["channel_closed_details"], json!({ "rate": 0.0 }));
    }
}
