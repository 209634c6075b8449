//! How is this node: its memory, its disk, its files?

use serde_json::{Value, json};

use super::overview::{churn, contexts, exchange_types};
use crate::management::call::{Call, Context, Outcome, Right, Route};
use crate::management::figures::{self, FIGURES};
use crate::management::list::Columns;
use crate::management::request::Method;
use crate::management::response::Response;
use crate::management::samples::{Ranges, Samples};
use crate::management::view::Resources;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "nodes", methods: &[(Method::Get, Right::Monitoring, list)] },
    Route { path: "nodes/*", methods: &[(Method::Get, Right::Monitoring, show)] },
    Route { path: "nodes/*/memory", methods: &[(Method::Get, Right::Monitoring, memory)] },
];

fn list(call: &mut Call<'_, '_>) -> Outcome {
    let columns = Columns::of(call.request);
    Ok(Response::json(&json!([columns.pick(item(call.context, &Samples::none()))])).into())
}

fn show(call: &mut Call<'_, '_>) -> Outcome {
    check_name(call)?;
    let ranges = Ranges::of(call.request, call.context.broker)?;
    let samples = Samples::of(ranges.node_stats, call.context.node.history());
    let mut shown = item(call.context, &samples);
    if call.has_flag("memory") {
        shown["memory"] = breakdown(&call.context.node.resources());
    }
    call.show(shown)
}

fn memory(call: &mut Call<'_, '_>) -> Outcome {
    check_name(call)?;
    call.show(json!({ "memory": breakdown(&call.context.node.resources()) }))
}

/// There is one node, and tools that know RabbitMQ's hosts ask for `rabbit` on it.
pub(super) fn check_name(call: &Call<'_, '_>) -> Result<(), Response> {
    let name = &call.context.node.identity().node_name;
    let usual = name.split_once('@').map(|(_, host)| format!("rabbit@{host}"));
    let is_meant = |name: &str| name.as_bytes() == call.part(0);
    if is_meant(name) || usual.is_some_and(|usual| is_meant(&usual)) {
        return Ok(());
    }
    Err(Response::not_found())
}

const NANOS_PER_MS: f64 = 1e6;

#[allow(clippy::cast_precision_loss, reason = "a time is rounded anyway")]
fn item(context: &Context<'_>, samples: &Samples<FIGURES>) -> Value {
    let identity = context.node.identity();
    let resources = context.node.resources();
    let reasons = context.broker.block_reasons();
    let vitals = context.node.vitals();
    // What has no limit has one that fits into 32 bits: tools divide by it.
    let limit = |limit: u64| limit.min(u64::from(u32::MAX));
    let mut shown = json!({
        "name": identity.node_name,
        "type": "disc",
        "running": true,
        "being_drained": false,
        "partitions": [],
        "cluster_links": [],
        "os_pid": resources.process.to_string(),
        "rates_mode": "basic",
        "uptime": resources.uptime_ms,
        "run_queue": 0,
        "processors": resources.processors,
        "rabbitmq_version": identity.product_version,
        "leveret_version": env!("CARGO_PKG_VERSION"),
        "fd_total": limit(resources.files_max),
        "fd_used": resources.files,
        "sockets_total": limit(resources.sockets_max),
        "sockets_used": resources.sockets,
        "mem_limit": resources.memory_bytes_max,
        "mem_used": resources.memory_bytes,
        "mem_alarm": reasons.memory,
        "mem_calculation_strategy": "rss",
        "disk_free_limit": resources.disk_free_bytes_min,
        "disk_free": resources.disk_free_bytes,
        "disk_free_alarm": reasons.disk || reasons.full,
        "connections_blocked": vitals.connections_blocked,
        "longest_turn_ms": vitals.turns.longest_nanos as f64 / NANOS_PER_MS,
    });
    let rest = json!({
        // The threads that there are: the loop, and the one that waits for the disk. Tools compare
        // them with RabbitMQ's limit.
        "proc_total": 1_048_576,
        "proc_used": 2,
        "proc_used_details": samples.details(0.0, |_| 2),
        "net_ticktime": 60,
        "exchange_types": exchange_types(),
        "auth_mechanisms": mechanisms(),
        "applications": [{
            "name": "leveret", "description": "Leveret", "version": env!("CARGO_PKG_VERSION"),
        }],
        "contexts": contexts(context),
        "enabled_plugins": ["rabbitmq_management"],
        "log_files": ["<stdout>"],
        "config_files": [],
        "db_dir": identity.directory,
    });
    add_log(context, samples, &mut shown);
    if let (Value::Object(shown), Value::Object(rest)) = (&mut shown, rest) {
        shown.extend(rest);
        shown.extend(churn(context, samples));
    }
    shown
}

/// What the log did, under the names that RabbitMQ has for its files, and how everything changes.
#[allow(clippy::cast_precision_loss, reason = "averages are rounded anyway")]
fn add_log(context: &Context<'_>, samples: &Samples<FIGURES>, shown: &mut Value) {
    let (log, history) = (context.broker.log_counters(), context.node.history());
    shown["io_sync_count"] = log.syncs.into();
    shown["io_write_count"] = log.writes.into();
    shown["io_write_bytes"] = log.bytes_written.into();
    let sync_ms = log.sync_nanos_total as f64 / log.syncs.max(1) as f64 / NANOS_PER_MS;
    shown["io_sync_avg_time"] = sync_ms.into();
    shown["io_sync_avg_time_details"] =
        samples.ratios((figures::SYNC_NANOS, figures::SYNCS), NANOS_PER_MS);
    shown["log_messages"] = log.messages.into();
    for (name, figure) in [
        ("mem_used", figures::MEMORY),
        ("disk_free", figures::DISK_FREE),
        ("fd_used", figures::FILES),
        ("sockets_used", figures::SOCKETS),
        ("io_sync_count", figures::SYNCS),
        ("io_write_count", figures::WRITES),
        ("io_write_bytes", figures::WRITTEN_BYTES),
        ("log_messages", figures::APPENDED),
    ] {
        let details = samples.details(history.rate(figure), |now| now[figure]);
        shown[format!("{name}_details")] = details;
    }
}

fn mechanisms() -> Value {
    json!([
        { "name": "AMQPLAIN", "description": "QPid AMQPLAIN mechanism", "enabled": true },
        { "name": "PLAIN", "description": "SASL PLAIN authentication mechanism", "enabled": true },
    ])
}

/// Where the memory is. Only the whole is known; tools read all of the fields.
fn breakdown(resources: &Resources) -> Value {
    let mut shown = serde_json::Map::new();
    for part in [
        "connection_readers",
        "connection_writers",
        "connection_channels",
        "connection_other",
        "queue_procs",
        "queue_slave_procs",
        "quorum_queue_procs",
        "quorum_queue_dlx_procs",
        "stream_queue_procs",
        "stream_queue_replica_reader_procs",
        "stream_queue_coordinator_procs",
        "plugins",
        "metadata_store",
        "metrics",
        "mgmt_db",
        "mnesia",
        "quorum_ets",
        "metadata_store_ets",
        "other_ets",
        "binary",
        "msg_index",
        "code",
        "atom",
        "other_system",
        "allocated_unused",
        "reserved_unallocated",
    ] {
        shown.insert(part.to_owned(), 0.into());
    }
    let all = resources.memory_bytes;
    shown.insert("other_proc".to_owned(), all.into());
    shown.insert("strategy".to_owned(), "rss".into());
    let total = json!({ "erlang": all, "rss": all, "allocated": all });
    shown.insert("total".to_owned(), total);
    Value::Object(shown)
}
