//! Is everything as it should be? For scripts: the exit code says it.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::http::{Answer, Request, Target};
use crate::session::Session;
use crate::verb::{Group, Verb};

const ROW: Verb = Verb::of(Group::Health);
/// How far a check of certificates looks ahead unless asked otherwise, as rabbitmq-diagnostics.
const WEEKS: (i64, &str) = (4, "weeks");

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "check_alarms",
        summary: "Exits with a non-zero code if there is any alarm",
        run: check_alarms,
        ..ROW
    },
    Verb {
        name: "check_certificate_expiration",
        options: &["within", "unit"],
        summary: "Exits with a non-zero code if a certificate expires soon",
        run: check_certificate_expiration,
        ..ROW
    },
    Verb {
        name: "check_local_alarms",
        summary: "Exits with a non-zero code if the node reports any alarm",
        run: check_local_alarms,
        ..ROW
    },
    Verb {
        name: "check_port_connectivity",
        summary: "Connects to each port that the broker listens on",
        run: check_port_connectivity,
        ..ROW
    },
    Verb {
        name: "check_port_listener",
        arguments: &[("<port>", "the port")],
        summary: "Exits with a non-zero code if the broker does not listen on this port",
        run: check_port_listener,
        ..ROW
    },
    Verb {
        name: "check_protocol_listener",
        arguments: &[("<protocol>", "amqp, amqps, http, https ...")],
        summary: "Exits with a non-zero code if the broker does not listen for this protocol",
        run: check_protocol_listener,
        ..ROW
    },
    Verb {
        name: "check_running",
        summary: "Exits with a non-zero code if the broker is not running",
        run: check_running,
        ..ROW
    },
    Verb {
        name: "check_virtual_hosts",
        summary: "Exits with a non-zero code if a virtual host is not running",
        run: check_virtual_hosts,
        ..ROW
    },
];

fn check_running(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Checking if RabbitMQ is running on node {node} ..."))?;
    session.ask(&Request::get(&["whoami"]))?;
    session.done(Some(&format!("RabbitMQ on node {node} is fully booted and running")))
}

fn check_local_alarms(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Asking node {node} to report any local resource alarms ..."))?;
    let answer = session.send(&Request::get(&["health", "checks", "local-alarms"]))?;
    if let Some(alarms) = alarms(&node, &answer)? {
        return Err(Failure::error(Exit::Unavailable, alarms));
    }
    session.done(Some(&format!("Node {node} reported no local alarms")))
}

fn check_alarms(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Asking node {node} to report any local resource alarms ..."))?;
    let answer = session.send(&Request::get(&["health", "checks", "alarms"]))?;
    if let Some(alarms) = alarms(&node, &answer)? {
        return Err(Failure::plain(Exit::Unavailable, alarms));
    }
    session.done(Some(&format!("Node {node} reported no alarms, local or clusterwide")))
}

fn check_port_listener(session: &mut Session<'_>) -> Result<(), Failure> {
    let port = session.given.argument(0);
    if !port.parse::<u64>().is_ok_and(|port| port > 0) {
        return Err(Failure::bad_argument("Bad argument: Argument must be a positive integer"));
    }
    let node = session.node()?;
    session
        .banner(&format!("Asking node {node} if there's an active listener on port {port} ..."))?;
    let answer = session.send(&Request::get(&["health", "checks", "port-listener", port]))?;
    let others = failed(&answer)?.map(|body| joined(&body["ports"]));
    match others {
        None => {
            session.done(Some(&format!("A listener for port {port} is running on node {node}.")))
        }
        Some(others) => Err(Failure::plain(
            Exit::Unavailable,
            format!(
                "No listener for port {port} is active on node {node}. Found listeners that use \
                 the following ports: {others}"
            ),
        )),
    }
}

fn check_protocol_listener(session: &mut Session<'_>) -> Result<(), Failure> {
    let protocol = session.given.argument(0);
    let node = session.node()?;
    session.banner(&format!(
        "Asking node {node} if there's an active listener for protocol {protocol} ..."
    ))?;
    let request = Request::get(&["health", "checks", "protocol-listener", protocol]);
    let answer = session.send(&request)?;
    match failed(&answer)? {
        None => session
            .done(Some(&format!("A listener for protocol {protocol} is running on node {node}."))),
        Some(body) => {
            let missing = body["missing"].as_str().unwrap_or(protocol);
            let others = joined(&body["protocols"]);
            let text = format!(
                "No listener for protocol {missing} is active on node {node}. Found listeners for \
                 the following protocols: {others}"
            );
            Err(Failure::error(Exit::Unavailable, text))
        }
    }
}

fn check_virtual_hosts(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Checking if all vhosts are running on node {node} ..."))?;
    let answer = session.send(&Request::get(&["health", "checks", "virtual-hosts"]))?;
    match failed(&answer)? {
        None => session.done(Some(&format!("Node {node} reported all vhosts as running"))),
        Some(body) => {
            let down = joined(&body["virtual-hosts"]);
            let text = format!("Some virtual hosts on node {node} are down:\n{down}");
            Err(Failure::error(Exit::Unavailable, text))
        }
    }
}

fn check_certificate_expiration(session: &mut Session<'_>) -> Result<(), Failure> {
    let within = session.given.number("within").unwrap_or(WEEKS.0).to_string();
    let unit = session.given.text("unit").unwrap_or(WEEKS.1).to_lowercase();
    let node = session.node()?;
    session.banner(&format!("Checking certificate expiration on node {node} ..."))?;
    let path = ["health", "checks", "certificate-expiration", &within, &unit];
    let answer = session.send(&Request::get(&path))?;
    if answer.status == 503 {
        return Err(Failure::error(Exit::Unavailable, answer.reason()));
    }
    failed(&answer)?;
    session.done(Some(&format!("No certificates are expiring within {within} {unit}.")))
}

fn check_port_connectivity(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session
        .banner(&format!("Testing TCP connections to all active listeners on node {node} ..."))?;
    let overview = session.ask(&Request::get(&["overview"]).query("columns", "listeners"))?;
    let mut ports = Vec::new();
    let mut broken = Vec::new();
    for listener in overview["listeners"].as_array().into_iter().flatten() {
        let port = listener["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let Some(port) = port else { continue };
        let host = match (listener["ip_address"].as_str(), session.target()) {
            (Some(address), _) if !matches!(address, "" | "::" | "0.0.0.0") => address,
            // It listens on all addresses: on the one that we know, too.
            (_, Target::Tcp { host, .. }) => host,
            (_, Target::Socket(_)) => "localhost",
        };
        if connects(host, port) { ports.push(port) } else { broken.push(port) }
    }
    let list = |ports: &mut Vec<u16>| {
        ports.sort_unstable();
        ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
    };
    if broken.is_empty() {
        let ports = list(&mut ports);
        return session
            .done(Some(&format!("Successfully connected to ports {ports} on node {node}.")));
    }
    let broken = list(&mut broken);
    let text = format!("Connection failed to ports {broken} on node {node}.");
    Err(Failure::error(Exit::Unavailable, text))
}

fn connects(host: &str, port: u16) -> bool {
    let Ok(addresses) = (host, port).to_socket_addrs() else {
        return false;
    };
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, CONNECT_MAX).is_ok())
}

/// The alarms that a check found, a line each; `None` when there are none.
fn alarms(node: &str, answer: &Answer) -> Result<Option<String>, Failure> {
    let Some(body) = failed(answer)? else {
        return Ok(None);
    };
    let alarm = |alarm: &Value| match alarm["resource"].as_str() {
        Some("memory") => format!("Memory alarm on node {node}"),
        Some("disk" | "disk space") => format!("Free disk space alarm on node {node}"),
        other => format!("{} alarm on node {node}", other.unwrap_or("Unknown")),
    };
    let alarms: Vec<String> = body["alarms"].as_array().into_iter().flatten().map(alarm).collect();
    Ok(Some(alarms.join("\n")))
}

/// What a check found wrong, if it did.
fn failed(answer: &Answer) -> Result<Option<Value>, Failure> {
    match answer.status {
        503 => Ok(Some(answer.json().unwrap_or_default())),
        _ if answer.is_success() => Ok(None),
        _ => Err(Failure::answered(answer)),
    }
}

/// Items of a list in one line, sorted.
fn joined(items: &Value) -> String {
    let mut items: Vec<&Value> = items.as_array().into_iter().flatten().collect();
    items.sort_by_key(|item| (item.as_u64(), item.as_str()));
    let text = |item: &&Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    items.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// How long a port may take to let somebody in.
const CONNECT_MAX: Duration = Duration::from_secs(10);
