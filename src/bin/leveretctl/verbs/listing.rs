//! What is there? Exchanges, bindings, consumers, channels, connections, flags.

use super::LIST;
use crate::failure::Failure;
use crate::output::{Column, Show};
use crate::session::{Listing, Session};
use crate::verb::{Argument, Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Monitoring);
const COLUMNS: &[Argument] = &[("[<column> ...]", "")];

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "list_bindings",
        arguments: COLUMNS,
        options: LIST,
        columns: Some(&BINDINGS),
        summary: "Lists all bindings on a vhost",
        run: list_bindings,
        ..ROW
    },
    Verb {
        name: "list_channels",
        arguments: COLUMNS,
        options: LIST,
        columns: Some(&CHANNELS),
        summary: "Lists all channels in the node",
        run: list_channels,
        ..ROW
    },
    Verb {
        name: "list_connections",
        arguments: COLUMNS,
        options: LIST,
        columns: Some(&CONNECTIONS),
        summary: "Lists AMQP 0.9.1 connections for the node",
        run: list_connections,
        ..ROW
    },
    Verb {
        name: "list_consumers",
        arguments: COLUMNS,
        options: LIST,
        columns: Some(&CONSUMERS),
        summary: "Lists all consumers for a vhost",
        run: list_consumers,
        ..ROW
    },
    Verb {
        name: "list_exchanges",
        arguments: COLUMNS,
        options: LIST,
        columns: Some(&EXCHANGES),
        summary: "Lists exchanges",
        run: list_exchanges,
        ..ROW
    },
    Verb {
        name: "list_feature_flags",
        group: Group::Features,
        arguments: COLUMNS,
        options: LIST,
        columns: Some(&FLAGS),
        summary: "Lists feature flags",
        run: list_feature_flags,
        ..ROW
    },
];

const ARGUMENTS: Column = Column { name: "arguments", from: "arguments", show: Show::Arguments };

static BINDINGS: Columns = Columns {
    all: &[
        Column::renamed("source_name", "source"),
        Column { name: "source_kind", from: "", show: Show::Fixed("exchange") },
        Column::renamed("destination_name", "destination"),
        Column { name: "destination_kind", from: "destination_type", show: Show::Atom },
        Column::plain("routing_key"),
        ARGUMENTS,
    ],
    usual: "source_name source_kind destination_name destination_kind routing_key arguments",
};

static CHANNELS: Columns = Columns {
    all: &[
        // A channel has no process here; its name leads to it just as well.
        Column::renamed("pid", "pid|name"),
        Column::renamed("connection", "connection_details.name"),
        Column::plain("name"),
        Column::plain("number"),
        Column::plain("user"),
        Column::plain("vhost"),
        Column::plain("transactional"),
        Column::plain("confirm"),
        Column::plain("consumer_count"),
        Column::plain("messages_unacknowledged"),
        Column::plain("messages_uncommitted"),
        Column::plain("acks_uncommitted"),
        Column::plain("messages_unconfirmed"),
        Column::plain("prefetch_count"),
        Column::plain("global_prefetch_count"),
    ],
    usual: "pid user consumer_count messages_unacknowledged",
};

static CONNECTIONS: Columns = Columns {
    all: &[
        // What close_connection takes.
        Column::renamed("pid", "pid|name"),
        Column::plain("name"),
        Column::plain("port"),
        Column::plain("host"),
        Column::plain("peer_port"),
        Column::plain("peer_host"),
        Column::plain("ssl"),
        Column::atom("ssl_protocol"),
        Column::atom("ssl_key_exchange"),
        Column::atom("ssl_cipher"),
        Column::atom("ssl_hash"),
        Column::plain("peer_cert_subject"),
        Column::plain("peer_cert_issuer"),
        Column::plain("peer_cert_validity"),
        Column::atom("state"),
        Column::plain("channels"),
        Column { name: "protocol", from: "protocol", show: Show::Protocol },
        Column::plain("auth_mechanism"),
        Column::plain("user"),
        Column::plain("vhost"),
        Column::plain("timeout"),
        Column::plain("frame_max"),
        Column::plain("channel_max"),
        Column { name: "client_properties", from: "client_properties", show: Show::Arguments },
        Column::plain("connected_at"),
        Column::plain("recv_oct"),
        Column::plain("recv_cnt"),
        Column::plain("send_oct"),
        Column::plain("send_cnt"),
        Column::plain("send_pend"),
    ],
    usual: "user peer_host peer_port state",
};

static CONSUMERS: Columns = Columns {
    all: &[
        Column::renamed("queue_name", "queue.name"),
        Column::renamed("channel_pid", "channel_details.pid|channel_details.name"),
        Column::plain("consumer_tag"),
        Column::plain("ack_required"),
        Column::plain("prefetch_count"),
        Column::plain("active"),
        Column::plain("activity_status"),
        ARGUMENTS,
    ],
    usual: "queue_name channel_pid consumer_tag ack_required prefetch_count active arguments",
};

static EXCHANGES: Columns = Columns {
    all: &[
        Column::plain("name"),
        Column::atom("type"),
        Column::plain("durable"),
        Column::plain("auto_delete"),
        Column::plain("internal"),
        ARGUMENTS,
        Column::plain("policy"),
    ],
    usual: "name type",
};

static FLAGS: Columns = Columns {
    all: &[
        Column::atom("name"),
        Column::atom("state"),
        Column::atom("stability"),
        Column::atom("provided_by"),
        Column::plain("desc"),
        Column::plain("doc_url"),
    ],
    usual: "name state",
};

fn list_bindings(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    let banner = format!("Listing bindings for vhost {vhost}...");
    session.list(&Listing::stream(banner, &["bindings", vhost]))
}

fn list_channels(session: &mut Session<'_>) -> Result<(), Failure> {
    session.list(&Listing::stream("Listing channels ...".to_owned(), &["channels"]))
}

fn list_connections(session: &mut Session<'_>) -> Result<(), Failure> {
    session.list(&Listing::stream("Listing connections ...".to_owned(), &["connections"]))
}

fn list_consumers(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    let banner = format!("Listing consumers in vhost {vhost} ...");
    session.list(&Listing::stream(banner, &["consumers", vhost]))
}

fn list_exchanges(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    let banner = format!("Listing exchanges for vhost {vhost} ...");
    session.list(&Listing::stream(banner, &["exchanges", vhost]))
}

fn list_feature_flags(session: &mut Session<'_>) -> Result<(), Failure> {
    let banner = "Listing feature flags ...".to_owned();
    session.list(&Listing::short(banner, &["feature-flags"]))
}
