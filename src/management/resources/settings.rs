//! What may an administrator change of a node that runs: its limits, its log, its end?
//!
//! These paths are ours, for the command line; what is set holds at once, and until the next start.

use log::{LevelFilter, info};
use serde_json::{Map, Value, json};

use crate::management::call::{Call, Order, Outcome, Right, Route};
use crate::management::request::Method;
use crate::management::response::Response;
use crate::management::{body, json};

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route {
        path: "leveret/settings",
        methods: &[
            (Method::Get, Right::Administrator, show),
            (Method::Put, Right::Administrator, put),
        ],
    },
    Route { path: "leveret/stop", methods: &[(Method::Post, Right::Administrator, stop)] },
];

const MEMORY: &str = "vm_memory_high_watermark";
const DISK: &str = "disk_free_limit";
const LEVEL: &str = "log_level";

/// What holds now, in the form in which it is set.
fn show(call: &mut Call<'_, '_>) -> Outcome {
    let resources = call.context.node.resources();
    let level = log::max_level();
    call.show(json!({
        MEMORY: { "absolute": resources.memory_bytes_max },
        DISK: { "absolute": resources.disk_free_bytes_min },
        LEVEL: LEVELS.iter().find(|(_, of)| *of == level).map(|(name, _)| name),
    }))
}

/// Nothing is changed unless all of it can be.
fn put(call: &mut Call<'_, '_>) -> Outcome {
    let body = json::object(&call.request.body)?;
    if let Some(unknown) = body.keys().find(|key| ![MEMORY, DISK, LEVEL].contains(&key.as_str())) {
        return Err(body::refuse(&json!(["unknown_setting", unknown])));
    }
    let resources = call.context.node.resources();
    let memory = limit(&body, MEMORY, resources.memory_total_bytes)?.map(Order::LimitMemory);
    let disk = limit(&body, DISK, resources.machine_memory_bytes)?.map(Order::LimitDisk);
    let level = level(&body)?.map(Order::LogLevel);
    let orders = [memory, disk, level].into_iter().flatten();
    let who = &call.caller.name;
    call.context.orders.extend(orders.inspect(|order| info!("user '{who}' set {order}")));
    Ok(Response::empty(204).into())
}

/// Ends the node as TERM does, once this is answered.
fn stop(call: &mut Call<'_, '_>) -> Outcome {
    info!("user '{}' ordered the broker to stop", call.caller.name);
    call.context.orders.push(Order::Stop);
    Ok(Response::empty(204).into())
}

/// A limit in bytes, given as such or as a part of a whole.
fn limit(body: &Map<String, Value>, field: &str, whole: u64) -> Result<Option<u64>, Response> {
    let Some(given) = body.get(field) else {
        return Ok(None);
    };
    let only = given.as_object().filter(|object| object.len() == 1);
    let bytes = match only.and_then(|object| object.iter().next()) {
        Some((kind, value)) if kind == "absolute" => value.as_u64(),
        Some((kind, value)) if kind == "relative" => {
            value.as_f64().and_then(|ratio| part_of(ratio, whole))
        }
        Some(_) | None => None,
    };
    bytes.map(Some).ok_or_else(|| {
        let text = format!(
            "{field} has to be {{\"relative\": ratio}} or {{\"absolute\": bytes}}, not negative"
        );
        Response::bad_request(&text)
    })
}

/// So much of a whole; `None` for what is no ratio.
fn part_of(ratio: f64, whole: u64) -> Option<u64> {
    const RATIO_MAX: f64 = 1000.0;
    const PARTS: f64 = 1_000_000.0;
    if !(0.0..=RATIO_MAX).contains(&ratio) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10^9")]
    let parts = (ratio * PARTS).round() as u64;
    let bytes = u128::from(whole) * u128::from(parts) / 1_000_000;
    Some(u64::try_from(bytes).unwrap_or(u64::MAX))
}

fn level(body: &Map<String, Value>) -> Result<Option<LevelFilter>, Response> {
    let Some(text) = body::text(body, LEVEL)? else {
        return Ok(None);
    };
    match LEVELS.iter().find(|(name, _)| *name == text) {
        Some((_, level)) => Ok(Some(*level)),
        None => Err(body::refuse(&json!(["unknown_log_level", text]))),
    }
}

/// RabbitMQ's words, and ours; of those that mean the same the first is shown.
const LEVELS: [(&str, LevelFilter); 12] = [
    ("none", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warning", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
    ("off", LevelFilter::Off),
    ("emergency", LevelFilter::Error),
    ("alert", LevelFilter::Error),
    ("critical", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("notice", LevelFilter::Info),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_limit_is_bytes_or_a_part_of_the_whole() {
        let of = |value: Value| limit(&object(&json!({ MEMORY: value })), MEMORY, 1_000_000);
        assert_eq!(of(json!({ "absolute": 7 })), Ok(Some(7)));
        assert_eq!(of(json!({ "relative": 0.4 })), Ok(Some(400_000)));
        assert_eq!(of(json!({ "relative": 0 })), Ok(Some(0)));
        assert_eq!(limit(&Map::new(), MEMORY, 1), Ok(None));
        for wrong in [
            json!(5),
            json!(null),
            json!({}),
            json!({ "absolute": -1 }),
            json!({ "absolute": "1GB" }),
            json!({ "relative": -0.1 }),
            json!({ "relative": 1e9 }),
            json!({ "relative": 1, "absolute": 1 }),
        ] {
            assert_eq!(of(wrong.clone()).unwrap_err().status, 400, "{wrong}");
        }
    }
}
