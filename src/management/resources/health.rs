//! Is something wrong with the node, as load balancers and monitors ask?

use serde_json::{Value, json};

use crate::management::call::{Call, Outcome, Right, Route};
use crate::management::request::Method;
use crate::management::response::Response;
use crate::management::view::{CertificateSight, Identity, Listening, Protocol};
use crate::tls::Certificate;

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "health/checks/alarms", methods: &[(Method::Get, Right::Management, alarms)] },
    Route {
        path: "health/checks/local-alarms",
        methods: &[(Method::Get, Right::Management, local_alarms)],
    },
    Route {
        path: "health/checks/certificate-expiration/*/*",
        methods: &[(Method::Get, Right::Management, certificates)],
    },
    Route {
        path: "health/checks/port-listener/*",
        methods: &[(Method::Get, Right::Management, port)],
    },
    Route {
        path: "health/checks/protocol-listener/*",
        methods: &[(Method::Get, Right::Management, protocol)],
    },
    Route {
        path: "health/checks/virtual-hosts",
        methods: &[(Method::Get, Right::Management, well)],
    },
    Route {
        path: "health/checks/node-is-mirror-sync-critical",
        methods: &[(Method::Get, Right::Management, alone)],
    },
    Route {
        path: "health/checks/node-is-quorum-critical",
        methods: &[(Method::Get, Right::Management, alone)],
    },
    Route {
        path: "health/checks/below-node-connection-limit",
        methods: &[(Method::Get, Right::Management, below_limit)],
    },
    Route {
        path: "health/checks/is-in-service",
        methods: &[(Method::Get, Right::Management, well)],
    },
    Route {
        path: "health/checks/ready-to-serve-clients",
        methods: &[(Method::Get, Right::Management, ready)],
    },
    Route { path: "healthchecks/node", methods: &[(Method::Get, Right::Management, node)] },
    Route { path: "healthchecks/node/*", methods: &[(Method::Get, Right::Management, named_node)] },
];

fn alarms(call: &mut Call<'_, '_>) -> Outcome {
    unless_alarmed(call, "There are alarms in effect in the cluster")
}

fn local_alarms(call: &mut Call<'_, '_>) -> Outcome {
    unless_alarmed(call, "There are alarms in effect on the node")
}

/// 503 while publishers are blocked for want of memory or disk.
fn unless_alarmed(call: &Call<'_, '_>, reason: &str) -> Outcome {
    let node = &call.context.node.identity().node_name;
    let alarms: Vec<_> = resources(call)
        .iter()
        .map(|resource| json!({ "node": node, "resource": resource }))
        .collect();
    if alarms.is_empty() {
        return Ok(Response::json(&json!({ "status": "ok" })).into());
    }
    fail(json!({ "status": "failed", "reason": reason, "alarms": alarms }))
}

/// What there is too little of.
fn resources(call: &Call<'_, '_>) -> Vec<&'static str> {
    let reasons = call.context.broker.block_reasons();
    let disk = (reasons.disk || reasons.full).then_some("disk space");
    disk.into_iter().chain(reasons.memory.then_some("memory")).collect()
}

fn fail(answer: Value) -> Outcome {
    Ok(Response::with(503, &answer).into())
}

/// 503 while a certificate that is shown somewhere expires within so many days and so on, or is not
/// valid yet.
fn certificates(call: &mut Call<'_, '_>) -> Outcome {
    let within = std::str::from_utf8(call.part(0)).ok().and_then(|text| text.parse::<i64>().ok());
    let within = within.ok_or_else(|| Response::bad_request("Invalid expiration value."))?;
    let unit = String::from_utf8_lossy(call.part(1)).to_lowercase();
    let unit_ms = UNITS_MS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms);
    let unit_ms = unit_ms.ok_or_else(|| {
        let text = "Time unit not recognised. Supported units: days, weeks, months, years.";
        Response::bad_request(text)
    })?;
    let now_ms = i64::try_from(call.context.broker.clock_ms()).unwrap_or(i64::MAX);
    let until_ms = now_ms.saturating_add(within.saturating_mul(unit_ms));
    let expired = expiring(call.context.node.identity(), now_ms, until_ms);
    if expired.is_empty() {
        return well(call);
    }
    fail(json!({ "status": "failed", "reason": "Certificates expiring", "expired": expired }))
}

/// A day, and what is made of days; a month is the twelfth part of 365 of them.
const UNITS_MS: [(&str, i64); 4] = [
    ("days", 86_400_000),
    ("weeks", 7 * 86_400_000),
    ("months", 365 * 86_400_000 / 12),
    ("years", 365 * 86_400_000),
];

/// The listeners whose certificates are not valid now or will not be then.
fn expiring(identity: &Identity, now_ms: i64, until_ms: i64) -> Vec<Value> {
    let mut found = Vec::new();
    for listening in identity.listening.iter().filter(|one| one.is_tls) {
        let shown =
            identity.certificates.iter().filter(|one| one.site == listening.protocol.keys());
        for CertificateSight { file, certificate, authorities_file, authorities, .. } in shown {
            let over = |certificate| when_over(certificate, now_ms, until_ms);
            let own: Vec<&str> = over(certificate).into_iter().collect();
            let of_authorities: Vec<&str> = authorities.iter().filter_map(over).collect();
            if own.is_empty() && of_authorities.is_empty() {
                continue;
            }
            found.push(json!({
                "node": identity.node_name,
                "protocol": listening.name(),
                "interface": listening.address.ip().to_string(),
                "port": listening.address.port(),
                "certfile": file,
                "cacertfile": authorities_file,
                "certfile_expires_on": own,
                "cacertfile_expires_on": of_authorities,
            }));
        }
    }
    found
}

/// When a certificate is over that is not good at both times.
fn when_over(certificate: &Certificate, now_ms: i64, until_ms: i64) -> Option<&str> {
    if certificate.not_before_ms > now_ms {
        return Some("Certificate is not yet valid");
    }
    (certificate.not_after_ms < until_ms).then_some(certificate.valid_until.as_str())
}

fn port(call: &mut Call<'_, '_>) -> Outcome {
    let port = std::str::from_utf8(call.part(0)).ok().and_then(|text| text.parse::<i64>().ok());
    let port = port.ok_or_else(|| Response::bad_request("Invalid port"))?;
    let listening = &call.context.node.identity().listening;
    let ports: Vec<i64> = listening.iter().map(|one| one.address.port().into()).collect();
    if ports.contains(&port) {
        return Ok(Response::json(&json!({ "status": "ok", "port": port })).into());
    }
    let reason = "No active listener";
    fail(json!({ "status": "failed", "reason": reason, "missing": port, "ports": ports }))
}

fn protocol(call: &mut Call<'_, '_>) -> Outcome {
    let asked = String::from_utf8_lossy(call.part(0)).into_owned();
    // As RabbitMQ takes them.
    let protocol = match asked.to_lowercase().as_str() {
        "amqp" | "amqp091" | "amqp0.9.1" | "amqp 0.9.1" | "amqp10" | "amqp1.0" => "amqp".to_owned(),
        "amqps" => "amqp/ssl".to_owned(),
        other => other.to_owned(),
    };
    let listening = call.context.node.identity().listening.iter();
    let mut protocols: Vec<&str> = listening.map(|one| one.name()).collect();
    protocols.sort_unstable();
    protocols.dedup();
    if protocols.contains(&protocol.as_str()) {
        return Ok(Response::json(&json!({ "status": "ok", "protocol": protocol })).into());
    }
    let reason = "No active listener";
    fail(json!({
        "status": "failed", "reason": reason, "missing": protocol, "protocols": protocols,
    }))
}

/// A node that answers is well: its vhosts are there with it, and nobody takes it out of service.
fn well(_: &mut Call<'_, '_>) -> Outcome {
    Ok(Response::json(&json!({ "status": "ok" })).into())
}

/// 503 where no more clients are let in.
fn below_limit(call: &mut Call<'_, '_>) -> Outcome {
    let (connections, limit) = call.context.broker.users().connections();
    let limit = limit.map_or_else(|| json!("infinity"), |limit| json!(limit));
    if call.context.broker.users().are_full() {
        return fail(json!({
            "status": "failed", "reason": LIMIT_REACHED, "limit": limit,
            "connections": connections,
        }));
    }
    let answer = json!({ "status": "ok", "limit": limit, "connections": connections });
    Ok(Response::json(&answer).into())
}

const LIMIT_REACHED: &str = "node connection limit is reached";

/// Nothing is replicated to other nodes, so that nothing depends on this one staying.
fn alone(_: &mut Call<'_, '_>) -> Outcome {
    Ok(Response::json(&json!({ "status": "ok", "reason": "single node cluster" })).into())
}

/// Whether clients can connect. During an alarm they can, and have to: they take messages out.
fn ready(call: &mut Call<'_, '_>) -> Outcome {
    let node = call.context.node;
    let is_amqp = |one: &Listening| one.protocol == Protocol::Amqp;
    let reason = if !node.identity().listening.iter().any(is_amqp) {
        "No active listener"
    } else if node.vitals().is_short_of_files {
        "clients wait until the node has fewer files open"
    } else if call.context.broker.users().are_full() {
        LIMIT_REACHED
    } else {
        return well(call);
    };
    fail(json!({ "status": "failed", "reason": reason }))
}

/// What old tools ask.
fn node(call: &mut Call<'_, '_>) -> Outcome {
    let resources = resources(call);
    if resources.is_empty() {
        return well(call);
    }
    let node = &call.context.node.identity().node_name;
    let name = |resource: &&str| if *resource == "memory" { "memory" } else { "disk" };
    let alarms: Vec<_> = resources
        .iter()
        .map(|resource| format!("{{resource_limit,{},{node}}}", name(resource)))
        .collect();
    let reason = format!("resource alarm(s) in effect:[{}]", alarms.join(","));
    fail(json!({ "status": "failed", "reason": reason }))
}

fn named_node(call: &mut Call<'_, '_>) -> Outcome {
    if call.part(0) != call.context.node.identity().node_name.as_bytes() {
        return Err(Response::not_found());
    }
    node(call)
}
