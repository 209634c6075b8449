//! What does Prometheus read of each queue, channel, connection, exchange and vhost?
//!
//! `per-object` has all of it beside what the node has as a whole, `detailed` the families that are
//! asked for. All samples of a name stand together, so that the queues are walked through once for
//! each name, in as many turns as that takes. What comes or goes meanwhile is in a part of it.

use crate::amqp::Name;
use crate::broker::counters::Happening;
use crate::broker::ends::canonical;
use crate::broker::{ChannelCredit, Exchange, ExchangeKey, Queue, VhostKey};
use crate::management::call::{
    Answer, Call, Context, Outcome, PIECE_BYTES_MAX, Progress, Right, Route, Work,
};
use crate::management::exposition::Figure::Count;
use crate::management::exposition::Kind::{Counter, Gauge};
use crate::management::exposition::{self, CONTENT_TYPE, Kind};
use crate::management::request::Method;
use crate::management::view::Connection;

use super::metrics;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "per-object", methods: &[(Method::Get, Right::Anyone, per_object)] },
    Route { path: "detailed", methods: &[(Method::Get, Right::Anyone, detailed)] },
];

/// What it costs to look at a place, and to write a sample.
const WORK_PER_PLACE: usize = 1;
const WORK_PER_SAMPLE: usize = 8;

/// One name, and where its samples come from.
struct Metric {
    /// The families of `detailed` that it belongs to; all of them are RabbitMQ's.
    families: &'static [&'static str],
    /// What its name begins with in `detailed`, and whether it is in `per-object`.
    prefix: Prefix,
    name: &'static str,
    kind: Kind,
    help: &'static str,
    of: Of,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefix {
    /// `rabbitmq_`, and in detail `rabbitmq_detailed_`.
    Rabbit,
    /// `rabbitmq_cluster_`, in detail only.
    Cluster,
    /// `leveret_`
    Own,
}

/// What has a sample each, and how much.
#[derive(Clone, Copy)]
enum Of {
    Queues(fn(&Queue) -> u64),
    Channels(fn(&ChannelCredit) -> u64),
    Connections(fn(&Connection<'_>) -> u64),
    Exchanges(fn(&Context<'_>, ExchangeKey, &Exchange) -> u64),
    Vhosts,
}

const COARSE: &[&str] = &["queue_coarse_metrics"];
const QUEUE: &[&str] = &["queue_metrics"];
const CHANNEL: &[&str] = &["channel_metrics"];

const METRICS: &[Metric] = &[
    queues(COARSE, "queue_messages_ready", "Messages that wait for a consumer.", |queue| {
        queue.message_count() as u64
    }),
    queues(COARSE, "queue_messages_unacked", "Messages delivered, not acknowledged.", |queue| {
        queue.unacked as u64
    }),
    queues(COARSE, "queue_messages", "Messages, ready and unacknowledged.", |queue| {
        (queue.message_count() + queue.unacked) as u64
    }),
    queues(
        &["queue_consumer_count", "queue_metrics"],
        "queue_consumers",
        "Consumers of the queue.",
        |queue| queue.line.len() as u64,
    ),
    queues(QUEUE, "queue_messages_ready_bytes", "Bytes of the bodies that wait.", |queue| {
        queue.message_bytes()
    }),
    queues(
        QUEUE,
        "queue_messages_unacked_bytes",
        "Bytes of the bodies that were delivered and not acknowledged.",
        |queue| queue.unacked_bytes,
    ),
    queues(QUEUE, "queue_messages_bytes", "Bytes of the bodies, ready or not.", |queue| {
        queue.message_bytes() + queue.unacked_bytes
    }),
    happened("queue_messages_published_total", "Messages that came to the queue.", |queue| {
        times(queue, &[Happening::Publish])
    }),
    happened("queue_messages_delivered_total", "Messages handed out.", |queue| {
        use Happening as H;
        times(queue, &[H::Deliver, H::DeliverNoAck, H::Get, H::GetNoAck])
    }),
    happened("queue_messages_redelivered_total", "Messages handed out again.", |queue| {
        times(queue, &[Happening::Redeliver])
    }),
    happened("queue_messages_acknowledged_total", "Messages acknowledged.", |queue| {
        times(queue, &[Happening::Ack])
    }),
    channels("channel_consumers", "Consumers on the channel.", |it| it.consumers.len() as u64),
    channels("channel_messages_unacked", "Deliveries to its consumers, not settled.", |channel| {
        u64::from(channel.unacked)
    }),
    channels("channel_prefetch", "Prefetch of the whole channel; 0 is no limit.", |channel| {
        u64::from(channel.prefetch)
    }),
    Metric {
        families: &["connection_metrics"],
        prefix: Prefix::Rabbit,
        name: "connection_channels",
        kind: Gauge,
        help: "Channels on the connection.",
        of: Of::Connections(|connection| connection.channels as u64),
    },
    traffic("connection_incoming_bytes_total", "Bytes that came on the connection.", |it| {
        it.traffic.received_bytes
    }),
    traffic("connection_outgoing_bytes_total", "Bytes that went out on the connection.", |it| {
        it.traffic.sent_bytes
    }),
    Metric {
        families: &["vhost_status"],
        prefix: Prefix::Cluster,
        name: "vhost_status",
        kind: Gauge,
        help: "1: the virtual host is there.",
        of: Of::Vhosts,
    },
    Metric {
        families: &["exchange_names"],
        prefix: Prefix::Cluster,
        name: "exchange_name",
        kind: Gauge,
        help: "1: the exchange is there.",
        of: Of::Exchanges(|_, _, _| 1),
    },
    Metric {
        families: &["exchange_bindings"],
        prefix: Prefix::Cluster,
        name: "exchange_bindings",
        kind: Gauge,
        help: "Bindings from the exchange; every queue is bound to the one without a name.",
        of: Of::Exchanges(|context, key, exchange| {
            let vhost = context.broker.topology().vhost(exchange.vhost);
            let count = vhost.map_or(0, |vhost| match exchange.name.is_empty() {
                true => vhost.queues.len(),
                false => vhost.bindings.count_from(key),
            });
            count as u64
        }),
    },
];

const fn queues(
    families: &'static [&'static str],
    name: &'static str,
    help: &'static str,
    of: fn(&Queue) -> u64,
) -> Metric {
    Metric { families, prefix: Prefix::Rabbit, name, kind: Gauge, help, of: Of::Queues(of) }
}

/// RabbitMQ counts these for each pair of channel and queue, under other labels.
const fn happened(name: &'static str, help: &'static str, of: fn(&Queue) -> u64) -> Metric {
    let (families, prefix, of) = (QUEUE, Prefix::Own, Of::Queues(of));
    Metric { families, prefix, name, kind: Counter, help, of }
}

const fn traffic(name: &'static str, help: &'static str, of: fn(&Connection<'_>) -> u64) -> Metric {
    let (families, of) = (&["connection_coarse_metrics"], Of::Connections(of));
    Metric { families, prefix: Prefix::Rabbit, name, kind: Counter, help, of }
}

const fn channels(name: &'static str, help: &'static str, of: fn(&ChannelCredit) -> u64) -> Metric {
    let (families, prefix, of) = (CHANNEL, Prefix::Rabbit, Of::Channels(of));
    Metric { families, prefix, name, kind: Gauge, help, of }
}

fn times(queue: &Queue, all: &[Happening]) -> u64 {
    let counters = queue.counters.as_ref();
    counters.map_or(0, |counters| all.iter().map(|what| counters.happened.count(*what)).sum())
}

fn per_object(_: &mut Call<'_, '_>) -> Outcome {
    let metrics = METRICS.iter().filter(|metric| metric.prefix != Prefix::Cluster).collect();
    Ok(Answer::Later(Box::new(Objects::new(metrics, false, Vec::new()))))
}

/// Nothing but who the node is where no family is asked for, or one that is not known, as in
/// RabbitMQ.
fn detailed(call: &mut Call<'_, '_>) -> Outcome {
    let query = &call.request.query;
    let asked = |wanted: &str| query.iter().any(|(key, value)| key == "family" && value == wanted);
    let is_asked = |metric: &&Metric| metric.families.iter().any(|family| asked(family));
    let metrics = METRICS.iter().filter(is_asked).collect();
    let vhosts = query.iter().filter(|(key, _)| key == "vhost");
    let vhosts = vhosts.map(|(_, value)| Name::from(value.as_str())).collect();
    Ok(Answer::Later(Box::new(Objects::new(metrics, true, vhosts))))
}

/// Writes one name after the other.
struct Objects {
    metrics: Vec<&'static Metric>,
    is_detailed: bool,
    /// Only what is in these; where there are none, everything.
    vhosts: Vec<Name>,
    /// What the node has as a whole was written.
    has_begun: bool,
    /// Which name it is at.
    at: usize,
    /// The next place of what that walks through; `None`: the name was not explained yet.
    place: Option<u32>,
}

impl Work for Objects {
    fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Progress {
        if !std::mem::replace(&mut self.has_begun, true) {
            match self.is_detailed {
                true => metrics::write_identity(piece, context),
                false => metrics::write(piece, context, &context.node.resources()),
            }
        }
        while let Some(metric) = self.metrics.get(self.at) {
            if context.broker.work.is_done() || piece.len() >= PIECE_BYTES_MAX {
                return Progress::Unfinished;
            }
            let name = self.name(metric);
            let place = self.place.unwrap_or_else(|| {
                exposition::begin(piece, &name, metric.kind, metric.help);
                0
            });
            if place >= places(context, metric.of) {
                self.at += 1;
                self.place = None;
                continue;
            }
            self.place = Some(self.write_some(context, piece, metric, &name, place));
        }
        Progress::Finished
    }

    fn content_type(&self) -> &'static str {
        CONTENT_TYPE
    }
}

impl Objects {
    fn new(metrics: Vec<&'static Metric>, is_detailed: bool, vhosts: Vec<Name>) -> Self {
        Self { metrics, is_detailed, vhosts, has_begun: false, at: 0, place: None }
    }

    fn name(&self, metric: &Metric) -> String {
        let prefix = match metric.prefix {
            Prefix::Rabbit if self.is_detailed => "rabbitmq_detailed",
            Prefix::Rabbit => "rabbitmq",
            Prefix::Cluster => "rabbitmq_cluster",
            Prefix::Own => "leveret",
        };
        format!("{prefix}_{}", metric.name)
    }

    /// Writes samples from a place on, as many as this step and this piece allow; the next place.
    fn write_some(
        &self,
        context: &mut Context<'_>,
        piece: &mut Vec<u8>,
        metric: &Metric,
        name: &str,
        mut place: u32,
    ) -> u32 {
        let end = places(context, metric.of);
        while place < end && !context.broker.work.is_done() && piece.len() < PIECE_BYTES_MAX {
            context.broker.work.spend(WORK_PER_PLACE);
            let before = piece.len();
            self.write_one(context, piece, metric.of, name, place);
            if piece.len() > before {
                context.broker.work.spend(WORK_PER_SAMPLE);
            }
            place += 1;
        }
        place
    }

    /// Writes the sample of what is in a place, if something is.
    fn write_one(
        &self,
        context: &Context<'_>,
        piece: &mut Vec<u8>,
        of: Of,
        name: &str,
        place: u32,
    ) {
        let mut put = |labels: &[(&str, &[u8])], figure| {
            exposition::sample(piece, name, labels, Count(figure));
        };
        let topology = context.broker.topology();
        let queues = context.broker.queues();
        match of {
            Of::Queues(figure) => {
                if let Some((key, queue)) = queues.at(place)
                    && let Some(vhost) = self.vhost(context, queue.vhost)
                    && !queue.is_reply_queue
                    && !queues.is_leaving(key)
                {
                    put(&[("vhost", vhost), ("queue", &queue.name)], figure(queue));
                }
            }
            Of::Channels(figure) => {
                if let Some((_, channel)) = queues.channel_at(place)
                    && let Some(peer) =
                        context.node.connection(channel.connection).map(|it| it.peer)
                {
                    let label = format!("{} ({})", canonical(peer), channel.number);
                    put(&[("channel", label.as_bytes())], figure(channel));
                }
            }
            Of::Connections(figure) => {
                if let Some(connected) = context.node.connection_at(place) {
                    let label = canonical(connected.peer).to_string();
                    put(&[("connection", label.as_bytes())], figure(&connected));
                }
            }
            Of::Exchanges(figure) => {
                if let Some((key, exchange)) = topology.exchange_at(place)
                    && let Some(vhost) = self.vhost(context, exchange.vhost)
                {
                    let kind = exchange.kind.name().as_bytes();
                    let labels = [("vhost", vhost), ("exchange", &exchange.name), ("type", kind)];
                    put(&labels, figure(context, key, exchange));
                }
            }
            Of::Vhosts => {
                if let Some((key, _)) = topology.vhost_at(place)
                    && let Some(vhost) = self.vhost(context, key)
                {
                    put(&[("vhost", vhost)], 1);
                }
            }
        }
    }

    /// A vhost's name, if what is in it is asked for.
    fn vhost<'a>(&self, context: &'a Context<'_>, key: VhostKey) -> Option<&'a [u8]> {
        let vhost = context.broker.topology().vhost(key).filter(|vhost| !vhost.leaving)?;
        let is_asked = self.vhosts.is_empty() || self.vhosts.contains(&vhost.name);
        is_asked.then_some(vhost.name.as_bytes())
    }
}

/// So many places are walked through.
fn places(context: &Context<'_>, of: Of) -> u32 {
    match of {
        Of::Queues(_) => context.broker.queues().places(),
        Of::Channels(_) => context.broker.queues().channel_places(),
        Of::Connections(_) => context.node.connection_places(),
        Of::Exchanges(_) => context.broker.topology().exchange_places(),
        Of::Vhosts => context.broker.topology().vhost_places(),
    }
}
