//! How is the node as a whole?

use serde_json::{Map, Value, json};

use crate::broker::{ExchangeKind, VhostKey};
use crate::management::authentication::Caller;
use crate::management::call::{Answer, Call, Context, Outcome, Progress, Right, Route, Work};
use crate::management::figures::FIGURES;
use crate::management::list::Columns;
use crate::management::request::Method;
use crate::management::samples::{Ranges, Samples};
use crate::management::stats::{self, Looked};
use crate::management::view::{Listening, Protocol};

/// Its rows of the table.
pub const ROUTES: &[Route] =
    &[Route { path: "overview", methods: &[(Method::Get, Right::Management, show)] }];

/// What it costs to look at one place.
const WORK_PER_PLACE: usize = 1;

fn show(call: &mut Call<'_, '_>) -> Outcome {
    Ok(Answer::Later(Box::new(Overview {
        stage: Stage::Queues,
        at: 0,
        totals: Totals::default(),
        caller: call.caller.clone(),
        columns: Columns::of(call.request),
        ranges: Ranges::of(call.request, call.context.broker)?,
        disable_stats: call.has_flag("disable_stats"),
        enable_queue_totals: call.has_flag("enable_queue_totals"),
    })))
}

/// Counts what the caller sees, however many turns that takes.
struct Overview {
    /// What is counted, and the next place there.
    stage: Stage,
    at: u32,
    totals: Totals,
    caller: Caller,
    columns: Columns,
    ranges: Ranges,
    disable_stats: bool,
    enable_queue_totals: bool,
}

/// What is counted one after the other. Who sees everything is told of all exchanges and clients
/// without counting them one by one.
#[derive(Clone, Copy)]
enum Stage {
    Queues,
    Exchanges,
    Connections,
}

#[derive(Default)]
struct Totals {
    queues: usize,
    ready: usize,
    unacknowledged: usize,
    exchanges: usize,
    connections: usize,
    channels: usize,
}

impl Work for Overview {
    fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Progress {
        while self.has_more(context) {
            if context.broker.work.is_done() {
                return Progress::Unfinished;
            }
            context.broker.work.spend(WORK_PER_PLACE);
            match self.stage {
                Stage::Queues => self.count_queue(context),
                Stage::Exchanges => self.count_exchange(context),
                Stage::Connections => self.count_connection(context),
            }
            self.at += 1;
        }
        let overview = self.columns.pick(self.overview(context));
        piece.extend_from_slice(overview.to_string().as_bytes());
        Progress::Finished
    }
}

impl Overview {
    /// Whether there is a place left to look at; passes on to what is counted next.
    fn has_more(&mut self, context: &Context<'_>) -> bool {
        loop {
            let (places, next) = match self.stage {
                Stage::Queues => (context.broker.queues().places(), Some(Stage::Exchanges)),
                Stage::Exchanges => {
                    (context.broker.topology().exchange_places(), Some(Stage::Connections))
                }
                Stage::Connections => (context.node.connection_places(), None),
            };
            let next = next.filter(|_| !self.caller.is_monitor());
            if self.at < places {
                return true;
            }
            let Some(next) = next else {
                return false;
            };
            (self.stage, self.at) = (next, 0);
        }
    }

    fn sees(&self, context: &Context<'_>, vhost: VhostKey) -> bool {
        self.caller.lists(context.broker, None, vhost)
    }

    fn count_queue(&mut self, context: &Context<'_>) {
        let Some((_, queue)) = context.broker.queues().at(self.at) else {
            return;
        };
        if queue.is_reply_queue || !self.sees(context, queue.vhost) {
            return;
        }
        self.totals.queues += 1;
        self.totals.ready += queue.message_count();
        self.totals.unacknowledged += queue.unacked;
    }

    fn count_exchange(&mut self, context: &Context<'_>) {
        let exchange = context.broker.topology().exchange_at(self.at);
        let is_seen = exchange.is_some_and(|(_, exchange)| self.sees(context, exchange.vhost));
        self.totals.exchanges += usize::from(is_seen);
    }

    /// Who may not monitor sees its own clients only.
    fn count_connection(&mut self, context: &Context<'_>) {
        let connection = context.node.connection_at(self.at);
        if let Some(own) = connection.filter(|one| *one.user == self.caller.name) {
            self.totals.connections += 1;
            self.totals.channels += own.channels;
        }
    }

    fn overview(&self, context: &Context<'_>) -> Value {
        let identity = context.node.identity();
        let mut overview = json!({
            "management_version": identity.product_version,
            "rates_mode": "basic",
            "release_series_support_status": "supported",
            "sample_retention_policies": {
                "global": [600, 3600, 28800, 86400], "basic": [600, 3600], "detailed": [600],
            },
            "exchange_types": exchange_types(),
            "product_version": identity.product_version,
            "product_name": identity.product_name,
            "rabbitmq_version": identity.product_version,
            "leveret_version": env!("CARGO_PKG_VERSION"),
            "cluster_name": identity.cluster_name,
            "disable_stats": self.disable_stats,
            "enable_queue_totals": self.enable_queue_totals,
            "object_totals": self.object_totals(context),
            "statistics_db_event_queue": 0,
        });
        let history = context.node.history();
        let lengths = Samples::of(self.ranges.lengths, history);
        if !self.disable_stats {
            // Who is no monitor is not told of what others do.
            let counters = &context.broker.counters;
            overview["message_stats"] = match self.caller.is_monitor() {
                true => stats::of_node(counters, &self.ranges, history),
                false => json!({}),
            };
            overview["churn_rates"] = churn(context, &lengths).into();
        }
        if !self.disable_stats || self.enable_queue_totals {
            overview["queue_totals"] = self.queue_totals(context, &lengths);
        }
        if self.caller.is_monitor() {
            overview["node"] = json!(identity.node_name);
            overview["listeners"] = listeners(context);
            overview["contexts"] = contexts(context);
        }
        overview
    }

    /// Rates are those of all queues: who does not see all of them is told of none.
    fn queue_totals(&self, context: &Context<'_>, lengths: &Samples<FIGURES>) -> Value {
        let Totals { ready, unacknowledged, .. } = self.totals;
        let mut totals = json!({
            "messages": ready + unacknowledged,
            "messages_ready": ready,
            "messages_unacknowledged": unacknowledged,
        });
        if self.caller.is_monitor() {
            stats::add_totals(&mut totals, lengths, context.node.history());
        } else {
            Looked::never().add_lengths(&mut totals, None);
        }
        totals
    }

    /// What there is; of clients, a user sees no others' here.
    fn object_totals(&self, context: &Context<'_>) -> Value {
        let Totals { queues, exchanges, connections, channels, .. } = self.totals;
        if !self.caller.is_monitor() {
            return json!({
                "channels": channels,
                "connections": connections,
                "exchanges": exchanges,
                "queues": queues,
            });
        }
        json!({
            "channels": context.broker.queues().channel_count(),
            "connections": context.node.connection_count(),
            "consumers": context.broker.queues().consumer_count(),
            "exchanges": context.broker.topology().exchange_count(),
            "queues": queues,
        })
    }
}

/// How much came and went since the start.
pub fn churn(context: &Context<'_>, samples: &Samples<FIGURES>) -> Map<String, Value> {
    stats::churn(context.broker, context.node.churn(), samples, context.node.history())
}

/// Which types of exchanges there are.
pub fn exchange_types() -> Value {
    let of_kind = |kind: &ExchangeKind| {
        let name = kind.name();
        json!({ "name": name, "description": name, "enabled": true })
    };
    ExchangeKind::ALL.iter().map(of_kind).collect()
}

fn listeners(context: &Context<'_>) -> Value {
    let identity = context.node.identity();
    let of_one = |listening: &Listening| {
        json!({
            "node": identity.node_name,
            "protocol": listening.name(),
            "ip_address": listening.address.ip().to_string(),
            "port": listening.address.port(),
            "socket_opts": {},
        })
    };
    identity.listening.iter().map(of_one).collect()
}

/// What is served over HTTP.
pub fn contexts(context: &Context<'_>) -> Value {
    let identity = context.node.identity();
    let http = identity.listening.iter().filter(|one| one.protocol == Protocol::Http);
    let of_one = |listening: &Listening| {
        json!({
            "node": identity.node_name,
            "description": "RabbitMQ Management",
            "path": "/",
            "ip": listening.address.ip().to_string(),
            "port": listening.address.port().to_string(),
            "ssl_opts": [],
        })
    };
    http.map(of_one).collect()
}
