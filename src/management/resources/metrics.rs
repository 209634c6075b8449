//! What does Prometheus read: the node as a whole.
//!
//! Under RabbitMQ's names where it has the figure, so that dashboards for that work, and ours under
//! `leveret_`. What is counted for all queues together carries no `queue_type`: a label that says
//! what nobody knows would be worse than none, and sums do not need it. Every figure is kept where
//! it changes, so that this costs the same however many queues there are.

use super::auth_attempts::PROTOCOLS;
use super::channel_totals;
use crate::broker::Users;
use crate::broker::counters::Happening;
use crate::broker::users::Attempts;
use crate::management::call::{Call, Context, Outcome, Right, Route};
use crate::management::exposition::Figure::{Count, Nanos};
use crate::management::exposition::Kind::{Counter, Gauge};
use crate::management::exposition::{self, CONTENT_TYPE, Figure, Kind};
use crate::management::request::Method;
use crate::management::response::Response;
use crate::management::view::{CertificateSight, Resources, Syncs, Vitals};

/// Its rows of the table.
pub const ROUTES: &[Route] = &[Route { path: "", methods: &[(Method::Get, Right::Anyone, show)] }];

/// What it costs beside the request itself: a few calls of the system.
const WORK_PER_SCRAPE: usize = 50;

/// A figure without labels: its name, what it is, and how much.
type Row = (&'static str, Kind, &'static str, Figure);

fn show(call: &mut Call<'_, '_>) -> Outcome {
    call.context.broker.work.spend(WORK_PER_SCRAPE);
    let mut body = Vec::new();
    let resources = call.context.node.resources();
    write_queue_totals(&mut body, call.context);
    write(&mut body, call.context, &resources);
    channel_totals::write(&mut body, call.context, &resources);
    let response = Response { body, ..Response::empty(200) };
    Ok(response.header("content-type", CONTENT_TYPE).into())
}

/// Appends the figures of the node as a whole that have no twin for each queue.
pub fn write(out: &mut Vec<u8>, context: &Context<'_>, resources: &Resources) {
    write_identity(out, context);
    let vitals = context.node.vitals();
    for rows in [
        objects(context),
        churn(context),
        system(context, resources, &vitals),
        turns(&vitals),
        log(context, &vitals),
    ] {
        for (name, kind, help, figure) in rows {
            exposition::single(out, name, kind, help, figure);
        }
    }
    let times = &context.broker.times_in_queue;
    exposition::histogram(
        out,
        "leveret_message_time_in_queue_seconds",
        "How long messages had been in a queue when somebody first got them.",
        &[],
        times.up_to().map(|(ms, count)| (ms.map(|ms| seconds(1_000 * ms)), count)),
        Figure::Nanos(times.sum().saturating_mul(1_000_000)),
    );
    let Syncs { times, batches } = &vitals.syncs;
    exposition::histogram(
        out,
        "leveret_sync_seconds",
        "How long syncs of the log took.",
        &[],
        times.up_to().map(|(us, count)| (us.map(seconds), count)),
        Nanos(times.sum().saturating_mul(1_000)),
    );
    exposition::histogram(
        out,
        "leveret_sync_batch_messages",
        "How many persistent messages had come since the sync before.",
        &[],
        batches.up_to().map(|(size, count)| (size.map(|size| size.to_string()), count)),
        Count(batches.sum()),
    );
    write_global(out, context);
    write_labelled(out, context);
    write_certificates(out, context);
}

/// Appends until when the certificates are good that listeners show.
fn write_certificates(out: &mut Vec<u8>, context: &Context<'_>) {
    let certificates = &context.node.identity().certificates;
    if certificates.is_empty() {
        return;
    }
    let name = "leveret_tls_certificate_expires_timestamp_seconds";
    let help = "When a certificate expires, in seconds since 1970; subtract time().";
    exposition::begin(out, name, Gauge, help);
    for CertificateSight { site, file, certificate, .. } in certificates {
        let labels = [
            ("keys", site.as_bytes()),
            ("file", file.as_bytes()),
            ("subject", certificate.subject.as_bytes()),
        ];
        let seconds = u64::try_from(certificate.not_after_ms / 1000).unwrap_or(0);
        exposition::sample(out, name, &labels, Count(seconds));
    }
}

/// Appends what is in all queues together, under the names that stand for one queue elsewhere.
fn write_queue_totals(out: &mut Vec<u8>, context: &Context<'_>) {
    let queues = context.broker.queues();
    let totals = queues.totals();
    for (name, help, figure) in [
        ("ready", "Messages in all queues that wait for a consumer.", totals.ready),
        (
            "unacked",
            "Messages of all queues that were delivered and not acknowledged yet.",
            totals.unacked,
        ),
    ] {
        let name = format!("rabbitmq_queue_messages_{name}");
        exposition::single(out, &name, Gauge, help, Count(figure));
    }
    let help = "Messages in all queues, ready and unacknowledged.";
    let messages = Count(totals.ready + totals.unacked);
    exposition::single(out, "rabbitmq_queue_messages", Gauge, help, messages);
}

/// Appends who the node is: what the figures of several nodes are joined with.
pub fn write_identity(out: &mut Vec<u8>, context: &Context<'_>) {
    let identity = context.node.identity();
    let mut info = |name, help, labels: &[(&str, &[u8])]| {
        exposition::begin(out, name, Gauge, help);
        exposition::sample(out, name, labels, Count(1));
    };
    let product_version = identity.product_version.as_bytes();
    let own_version = env!("CARGO_PKG_VERSION").as_bytes();
    info(
        "rabbitmq_build_info",
        "The version of the dialect, and of Leveret.",
        &[("rabbitmq_version", product_version), ("leveret_version", own_version)],
    );
    info(
        "rabbitmq_identity_info",
        "The node and its cluster.",
        &[
            ("rabbitmq_node", identity.node_name.as_bytes()),
            ("rabbitmq_cluster", identity.cluster_name.as_bytes()),
        ],
    );
}

/// What there is.
fn objects(context: &Context<'_>) -> Vec<Row> {
    let queues = context.broker.queues();
    let totals = queues.totals();
    let connections = context.node.connection_count();
    vec![
        ("rabbitmq_queues", Gauge, "Queues.", Count(totals.queues)),
        ("rabbitmq_consumers", Gauge, "Consumers.", count(queues.consumer_count())),
        ("rabbitmq_connections", Gauge, "AMQP connections.", count(connections)),
        ("rabbitmq_channels", Gauge, "Channels.", count(queues.channel_count())),
    ]
}

/// What came and went since the start.
fn churn(context: &Context<'_>) -> Vec<Row> {
    let (connections, others) = (context.node.churn(), context.broker.queues().churn());
    let row = |name, help, count| (name, Counter, help, Count(count));
    vec![
        row("rabbitmq_connections_opened_total", "AMQP connections accepted.", connections.opened),
        row(
            "rabbitmq_connections_closed_total",
            "AMQP connections that ended.",
            connections.closed,
        ),
        row("rabbitmq_channels_opened_total", "Channels opened.", others.channels_opened),
        row("rabbitmq_channels_closed_total", "Channels closed.", others.channels_closed),
        row(
            "rabbitmq_queues_declared_total",
            "Declarations of queues, also of those that were there.",
            others.queues_declared,
        ),
        row("rabbitmq_queues_created_total", "Queues made.", others.queues_created),
        row("rabbitmq_queues_deleted_total", "Queues that went.", others.queues_deleted),
    ]
}

/// Memory, disk, files and time.
fn system(context: &Context<'_>, resources: &Resources, vitals: &Vitals) -> Vec<Row> {
    let row = |name, help, figure| (name, Gauge, help, figure);
    let mut rows = vec![
        row(
            "rabbitmq_erlang_uptime_seconds",
            "How long the node has been running.",
            Nanos(resources.uptime_ms * 1_000_000),
        ),
        row(
            "rabbitmq_process_max_fds",
            "File descriptors that the process may have open.",
            Count(resources.files_max),
        ),
        row(
            "rabbitmq_alarms_file_descriptor_limit",
            "1 while clients are not accepted for want of file descriptors.",
            flag(vitals.is_short_of_files),
        ),
    ];
    let help = "File descriptors that the process has open.";
    rows.push(row("rabbitmq_process_open_fds", help, Count(resources.files)));
    if resources.memory_bytes_max > 0 || resources.disk_free_bytes_min > 0 {
        rows.extend([
            row(
                "rabbitmq_process_resident_memory_bytes",
                "Anonymous memory of the process, which is what the limit is for.",
                Count(resources.memory_bytes),
            ),
            row(
                "rabbitmq_resident_memory_limit_bytes",
                "Memory at which publishers are blocked.",
                Count(resources.memory_bytes_max),
            ),
            row(
                "rabbitmq_disk_space_available_bytes",
                "Free space on the disk of the data directory.",
                Count(resources.disk_free_bytes),
            ),
            row(
                "rabbitmq_disk_space_available_limit_bytes",
                "Free space below which publishers are blocked.",
                Count(resources.disk_free_bytes_min),
            ),
        ]);
    }
    let reasons = context.broker.block_reasons();
    rows.extend([
        row(
            "rabbitmq_alarms_memory_used_watermark",
            "1 while publishers are blocked because memory is low.",
            flag(reasons.memory),
        ),
        row(
            "rabbitmq_alarms_free_disk_space_watermark",
            "1 while publishers are blocked because disk space is low.",
            flag(reasons.disk || reasons.full),
        ),
    ]);
    rows
}

/// The turns of the event loop, which everybody shares.
fn turns(vitals: &Vitals) -> Vec<Row> {
    let turns = vitals.turns;
    vec![
        ("leveret_turns_total", Counter, "Turns of the event loop.", Count(turns.count)),
        (
            "leveret_turn_seconds_total",
            Counter,
            "How long all turns took, without what they waited for.",
            Nanos(turns.nanos),
        ),
        (
            "leveret_longest_turn_seconds",
            Gauge,
            "The longest turn of the last 30 to 60 s: so long a message may wait for others.",
            Nanos(turns.longest_nanos),
        ),
    ]
}

/// The message log.
fn log(context: &Context<'_>, vitals: &Vitals) -> Vec<Row> {
    let log = context.broker.log_counters();
    let row = |name, help, figure| (name, Counter, help, figure);
    vec![
        (
            "leveret_sync_last_seconds",
            Gauge,
            "How long the last sync took.",
            Nanos(log.sync_nanos_last),
        ),
        row("leveret_log_messages_total", "Messages appended to the log.", Count(log.messages)),
        row("leveret_log_writes_total", "Write calls to the log.", Count(log.writes)),
        row("leveret_log_written_bytes_total", "Bytes written to it.", Count(log.bytes_written)),
        row(
            "leveret_log_relocated_total",
            "Messages that compaction copied to the end of the log.",
            Count(log.relocated),
        ),
        (
            "leveret_oldest_message_seconds",
            Gauge,
            "How long the oldest message of all queues has waited; late where queues are many.",
            Nanos(context.broker.oldest_message_age_ms().saturating_mul(1_000_000)),
        ),
        (
            "leveret_blocked_connections",
            Gauge,
            "Publishing connections that are not read for now.",
            count(vitals.connections_blocked),
        ),
    ]
}

/// What happened to messages, in all queues together.
fn write_global(out: &mut Vec<u8>, context: &Context<'_>) {
    use Happening as H;
    let queues = context.broker.queues();
    let counters = &context.broker.counters;
    let sum = |all: &[Happening]| all.iter().map(|what| counters.count(*what)).sum::<u64>();
    let mut put = |name: &str, kind, help, count| {
        let name = format!("rabbitmq_global_{name}");
        exposition::begin(out, &name, kind, help);
        exposition::sample(out, &name, &[("protocol", b"amqp091")], Count(count));
    };
    put("publishers", Gauge, "Channels that published.", queues.totals().publishers);
    put("consumers", Gauge, "Consumers.", queues.consumer_count() as u64);
    let received = sum(&[H::Publish]);
    let unroutable = sum(&[H::ReturnUnroutable, H::DropUnroutable]);
    let routed = received.saturating_sub(unroutable);
    put("messages_routed_total", Counter, "Messages that some queue was to take.", routed);
    for (name, help, all) in [
        ("received", "Messages published.", &[H::Publish][..]),
        ("received_confirm", "Messages published that wait for a confirm.", &[H::PublishToConfirm]),
        ("confirmed", "Messages confirmed to their publishers.", &[H::Confirm]),
        ("unroutable_returned", "Messages that no queue took, sent back.", &[H::ReturnUnroutable]),
        ("unroutable_dropped", "Messages that no queue took, dropped.", &[H::DropUnroutable]),
        (
            "delivered",
            "Messages handed out, to consumers and to basic.get.",
            &[H::Deliver, H::DeliverNoAck, H::Get, H::GetNoAck],
        ),
        ("delivered_consume_manual_ack", "Messages to consumers that acknowledge.", &[H::Deliver]),
        (
            "delivered_consume_auto_ack",
            "Messages to consumers that do not acknowledge.",
            &[H::DeliverNoAck],
        ),
        ("delivered_get_manual_ack", "Messages got, to be acknowledged.", &[H::Get]),
        ("delivered_get_auto_ack", "Messages got that are not acknowledged.", &[H::GetNoAck]),
        ("get_empty", "Times that basic.get found nothing.", &[H::GetEmpty]),
        ("redelivered", "Messages handed out again.", &[H::Redeliver]),
        ("acknowledged", "Messages acknowledged.", &[H::Ack]),
    ] {
        put(&format!("messages_{name}_total"), Counter, help, sum(all));
    }
}

/// A bound in microseconds, in seconds.
fn seconds(us: u64) -> String {
    if us.is_multiple_of(1_000_000) {
        return (us / 1_000_000).to_string();
    }
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000).trim_end_matches('0').to_owned()
}

/// How often somebody tried to log in.
fn write_attempts(out: &mut Vec<u8>, users: &Users) {
    let mut put = |what: &str, help, count: &dyn Fn(Attempts) -> u64| {
        let name = format!("rabbitmq_auth_attempts_{what}total");
        exposition::begin(out, &name, Counter, help);
        for (protocol, by) in PROTOCOLS {
            let labels: [(&str, &[u8]); 1] = [("protocol", protocol.as_bytes())];
            let count = count(users.attempts(by));
            exposition::sample(out, &name, &labels, Figure::Count(count));
        }
    };
    put("", "Times that somebody tried to log in.", &|all| all.succeeded + all.failed);
    put("succeeded_", "Times that somebody logged in.", &|all| all.succeeded);
    put("failed_", "Times that a login was refused.", &|all| all.failed);
}

/// What has several samples under one name.
fn write_labelled(out: &mut Vec<u8>, context: &Context<'_>) {
    let sizes = &context.broker.sizes;
    let help = "The bodies of messages that were published.";
    exposition::histogram(
        out,
        "rabbitmq_message_size_bytes",
        help,
        &[("protocol", b"amqp091")],
        sizes.up_to().map(|(bytes, count)| (bytes.map(|bytes| bytes.to_string()), count)),
        Figure::Count(sizes.sum()),
    );
    write_attempts(out, context.broker.users());
    let name = "leveret_publishers_blocked";
    exposition::begin(out, name, Gauge, "1 while publishers are blocked for this reason.");
    let reasons = context.broker.block_reasons();
    for (reason, holds) in
        [("memory", reasons.memory), ("disk", reasons.disk), ("disk_full", reasons.full)]
    {
        exposition::sample(out, name, &[("reason", reason.as_bytes())], flag(holds));
    }
    let name = "leveret_log_segments";
    exposition::begin(out, name, Gauge, "Segments of the log, by ring and state.");
    let log = context.broker.log_counters();
    for (ring, state, segments) in [
        ("durable", "used", log.segments_used),
        ("durable", "spare", log.segments_spare),
        ("durable", "free", log.segments_free),
        ("transient", "used", log.segments_transient),
    ] {
        let labels = [("ring", ring.as_bytes()), ("state", state.as_bytes())];
        exposition::sample(out, name, &labels, count(segments));
    }
}

fn count(count: usize) -> Figure {
    Count(count as u64)
}

fn flag(holds: bool) -> Figure {
    Count(u64::from(holds))
}
