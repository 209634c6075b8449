//! What do RabbitMQ's own dashboards before 3.12 ask Prometheus for: what happened on all channels
//! together?
//!
//! The same figures have newer names, which dashboards since then ask for; the numbers are one.

use crate::broker::counters::Happening as H;
use crate::management::call::Context;
use crate::management::exposition::Figure::Count;
use crate::management::exposition::Kind::{Counter, Gauge};
use crate::management::exposition::{self, Kind};
use crate::management::view::Resources;

/// Appends them.
pub fn write(out: &mut Vec<u8>, context: &Context<'_>, resources: &Resources) {
    let counters = &context.broker.counters;
    let mut put = |name: &str, kind: Kind, help, count| {
        exposition::single(out, &format!("rabbitmq_{name}"), kind, help, Count(count));
    };
    let help = "Sockets of clients and operators.";
    put("process_open_tcp_sockets", Gauge, help, resources.sockets);
    let help = "How many of those there may be.";
    put("process_max_tcp_sockets", Gauge, help, resources.sockets_max);
    let consumers = context.broker.queues().consumer_count() as u64;
    put("channel_consumers", Gauge, "Consumers.", consumers);
    let published = counters.count(H::Publish);
    let unroutable = counters.count(H::ReturnUnroutable) + counters.count(H::DropUnroutable);
    let help = "Messages that some queue was to take.";
    put("queue_messages_published_total", Counter, help, published.saturating_sub(unroutable));
    let help = "Messages that are to be confirmed and are not, also where their channel has ended.";
    let to_confirm = counters.count(H::PublishToConfirm);
    let unconfirmed = to_confirm.saturating_sub(counters.count(H::Confirm));
    put("channel_messages_unconfirmed", Gauge, help, unconfirmed);
    for (name, help, what) in [
        ("messages_published", "Messages published.", H::Publish),
        ("messages_confirmed", "Messages confirmed to their publishers.", H::Confirm),
        (
            "messages_unroutable_returned",
            "Messages that no queue took, sent back.",
            H::ReturnUnroutable,
        ),
        ("messages_unroutable_dropped", "Messages that no queue took, dropped.", H::DropUnroutable),
        ("messages_delivered_ack", "Messages to consumers that acknowledge.", H::Deliver),
        ("messages_delivered", "Messages to consumers that do not acknowledge.", H::DeliverNoAck),
        ("messages_redelivered", "Messages handed out again.", H::Redeliver),
        ("messages_acked", "Messages acknowledged.", H::Ack),
        ("get_ack", "Messages got, to be acknowledged.", H::Get),
        ("get", "Messages got that are not acknowledged.", H::GetNoAck),
        ("get_empty", "Times that basic.get found nothing.", H::GetEmpty),
    ] {
        put(&format!("channel_{name}_total"), Counter, help, counters.count(what));
    }
}
