//! How is the broker, and is it there at all?

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::http::{Method, Request};
use crate::output::{Column, Show};
use crate::session::{Listing, Session};
use crate::verb::{Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Node);

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "await_startup",
        seconds: 300,
        summary: "Waits for the broker to start",
        run: await_startup,
        ..ROW
    },
    Verb {
        name: "cluster_status",
        summary: "Displays the one node as if it were a cluster",
        run: cluster_status,
        ..ROW
    },
    Verb { name: "shutdown", summary: "Stops the broker and waits until it has", run: stop, ..ROW },
    Verb { name: "stop", summary: "Stops the broker and waits until it has", run: stop, ..ROW },
    Verb {
        name: "environment",
        group: Group::Configuration,
        columns: Some(&SETTINGS),
        summary: "Displays the settings that can change while the broker runs",
        run: environment,
        ..ROW
    },
    Verb {
        name: "ping",
        group: Group::Monitoring,
        summary: "Checks that the broker is up and answers",
        run: ping,
        ..ROW
    },
    Verb {
        name: "report",
        group: Group::Monitoring,
        summary: "Prints all that status and lists say, for whoever is to help",
        run: report,
        ..ROW
    },
    Verb {
        name: "status",
        group: Group::Monitoring,
        options: &["unit"],
        summary: "Displays status of the broker",
        run: status,
        ..ROW
    },
];

static SETTINGS: Columns = Columns {
    all: &[Column::plain("name"), Column { name: "value", from: "value", show: Show::Json }],
    usual: "",
};

fn ping(session: &mut Session<'_>) -> Result<(), Failure> {
    let milliseconds = session.given.limit(ROW.seconds).as_millis();
    session.banner(&format!(
        "Will ping {}. This only checks if the broker is up and answers. Timeout: \
         {milliseconds} ms.",
        session.target()
    ))?;
    session.ask(&Request::get(&["whoami"]))?;
    session.done(Some("Ping succeeded"))
}

fn await_startup(session: &mut Session<'_>) -> Result<(), Failure> {
    session.patiently(|session| {
        // A broker that fails to answer is still starting.
        while session.probe()?.is_none_or(|status| status >= 500) {
            thread::sleep(POLL);
        }
        Ok::<(), Failure>(())
    })?;
    session.ask(&Request::get(&["whoami"])).map(|_| ())
}

fn stop(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Stopping and halting node {node} ..."))?;
    session.ask(&Request::new(Method::Post, &["leveret", "stop"]))?;
    session.patiently(|session| {
        while session.probe()?.is_some() {
            thread::sleep(POLL);
        }
        Ok(())
    })
}

fn environment(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    let listing = Listing::short(format!("Application environment of node {node} ..."), &[]);
    session.banner(&listing.banner)?;
    let settings = session.ask(&Request::get(&["leveret", "settings"]))?;
    if session.object(&settings)? {
        return Ok(());
    }
    let row = |(name, value): (&String, &Value)| json!({"name": name, "value": value});
    let rows: Vec<Value> = settings.as_object().into_iter().flatten().map(row).collect();
    session.rows(&listing, &rows)
}

fn report(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Reporting server status of node {node} ...\n"))?;
    let vhosts = session.ask(&Request::get(&["vhosts"]).query("columns", "name"))?;
    let of_node = ["status", "cluster_status", "list_connections", "list_channels"];
    for verb in of_node.into_iter().filter_map(Verb::named) {
        session.run_also(verb, None)?;
        session.print("")?;
    }
    let names = vhosts.as_array().into_iter().flatten().filter_map(|vhost| vhost["name"].as_str());
    for vhost in names {
        let of_vhost = [
            "list_queues",
            "list_exchanges",
            "list_bindings",
            "list_consumers",
            "list_permissions",
            "list_policies",
            "list_operator_policies",
            "list_parameters",
        ];
        for verb in of_vhost.into_iter().filter_map(Verb::named) {
            session.run_also(verb, Some(vhost))?;
            session.print("")?;
        }
    }
    Ok(())
}

/// A heading and what stands below it.
type Section = (&'static str, Vec<String>);

fn status(session: &mut Session<'_>) -> Result<(), Failure> {
    let unit = Unit::of(session.given.text("unit").unwrap_or("gb"))?;
    let node = session.node()?;
    session.banner(&format!("Status of node {node} ..."))?;
    let overview = session.ask(&Request::get(&["overview"]))?;
    let state = session.ask(&Request::get(&["nodes", &node]))?;
    let vhosts = session.ask(&Request::get(&["vhosts"]).query("columns", "name"))?;
    let vhosts = vhosts.as_array().map_or(0, Vec::len);
    if session.object(&status_json(&overview, &state, vhosts))? {
        return Ok(());
    }
    let mut sections = processes(&node, &overview, &state);
    sections.push(("Alarms", or_none(alarm_lines(&node, &state))));
    sections.extend(resources(&state, unit));
    sections.push((
        "Totals",
        vec![
            format!("Connection count: {}", overview["object_totals"]["connections"]),
            format!("Queue count: {}", overview["object_totals"]["queues"]),
            format!("Virtual host count: {vhosts}"),
        ],
    ));
    let listeners = listeners(&overview);
    sections.push(("Listeners", listeners.iter().map(listener_line).collect()));
    print_sections(session, &sections)
}

fn cluster_status(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Cluster status of node {node} ..."))?;
    let overview = session.ask(&Request::get(&["overview"]))?;
    let state = session.ask(&Request::get(&["nodes", &node]))?;
    let flags = session.ask(&Request::get(&["feature-flags"]))?;
    let listeners = listeners(&overview);
    let name = text(&overview, "cluster_name");
    let alarms = or_none(alarm_lines(&node, &state));
    let product = overview["product_name"].as_str().unwrap_or("RabbitMQ");
    let version = text(&overview, "rabbitmq_version");
    let status = json!({
        "cluster_name": name,
        "disk_nodes": [node],
        "ram_nodes": [],
        "running_nodes": [node],
        "versions": {&node: {"rabbitmq_name": product, "rabbitmq_version": version}},
        "maintenance_status": {&node: "not under maintenance"},
        "alarms": raised(&state),
        "partitions": {},
        "listeners": {&node: listeners},
        "feature_flags": flags,
    });
    if session.object(&status)? {
        return Ok(());
    }
    let flag =
        |flag: &Value| format!("Flag: {}, state: {}", text(flag, "name"), text(flag, "state"));
    let sections = [
        ("Basics", vec![format!("Cluster name: {name}")]),
        ("Disk Nodes", vec![node.clone()]),
        ("Running Nodes", vec![node.clone()]),
        ("Versions", vec![format!("{node}: {product} {version}")]),
        ("Maintenance status", vec![format!("Node: {node}, status: not under maintenance")]),
        ("Alarms", alarms),
        ("Network Partitions", vec!["(none)".to_owned()]),
        (
            "Listeners",
            listeners
                .iter()
                .map(|l| format!("Node: {node}, i{}", &listener_line(l)[1..]))
                .collect(),
        ),
        ("Feature flags", flags.as_array().into_iter().flatten().map(flag).collect()),
    ];
    print_sections(session, &sections)
}

fn print_sections(session: &mut Session<'_>, sections: &[Section]) -> Result<(), Failure> {
    for (index, (title, lines)) in sections.iter().enumerate() {
        if index > 0 {
            session.print("")?;
        }
        let title = session.bold(title);
        session.print(&format!("{title}\n\n{}", lines.join("\n")))?;
    }
    Ok(())
}

/// The process and its files.
fn processes(node: &str, overview: &Value, state: &Value) -> Vec<Section> {
    let product = overview["product_name"].as_str().unwrap_or("RabbitMQ");
    let mut runtime = vec![format!("OS PID: {}", text(state, "os_pid"))];
    if let Some(milliseconds) = state["uptime"].as_u64() {
        runtime.push(format!("Uptime (seconds): {}", milliseconds / 1000));
    }
    runtime.push(format!("{product} version: {}", text(overview, "rabbitmq_version")));
    runtime.push(format!("Node name: {node}"));
    let mut sections = vec![("Runtime", runtime)];
    if let Some(directory) = state["db_dir"].as_str() {
        sections.push(("Data directory", vec![format!("Node data directory: {directory}")]));
    }
    for (title, field) in [("Config files", "config_files"), ("Log file(s)", "log_files")] {
        let files = state[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        let files: Vec<String> = files.map(|file| format!(" * {file}")).collect();
        if !files.is_empty() {
            sections.push((title, files));
        }
    }
    sections
}

/// Memory, descriptors and disk.
fn resources(state: &Value, unit: Unit) -> Vec<Section> {
    let mut memory = vec![format!("Total memory used: {}", unit.show(&state["mem_used"]))];
    if let Some(strategy) = state["mem_calculation_strategy"].as_str() {
        memory.push(format!("Calculation strategy: {strategy}"));
    }
    memory.push(format!("Memory high watermark: {}", unit.show(&state["mem_limit"])));
    let used = |used: &str, total: &str| format!("{}, limit: {}", state[used], state[total]);
    vec![
        ("Memory", memory),
        (
            "File Descriptors",
            vec![
                format!("Total: {}", used("fd_used", "fd_total")),
                format!("Sockets: {}", used("sockets_used", "sockets_total")),
            ],
        ),
        (
            "Free Disk Space",
            vec![
                format!("Low free disk space watermark: {}", unit.show(&state["disk_free_limit"])),
                format!("Free disk space: {}", unit.show(&state["disk_free"])),
            ],
        ),
    ]
}

fn status_json(overview: &Value, state: &Value, vhosts: usize) -> Value {
    json!({
        "pid": state["os_pid"].as_str().and_then(|pid| pid.parse::<u64>().ok()),
        "uptime": state["uptime"].as_u64().map(|milliseconds| milliseconds / 1000),
        "rabbitmq_version": overview["rabbitmq_version"],
        "product_name": overview["product_name"],
        "data_directory": state["db_dir"],
        "config_files": state["config_files"],
        "log_files": state["log_files"],
        "alarms": raised(state),
        "memory": {
            "total": {"rss": state["mem_used"]},
            "strategy": state["mem_calculation_strategy"],
        },
        "vm_memory_limit": state["mem_limit"],
        "file_descriptors": {
            "total_used": state["fd_used"],
            "total_limit": state["fd_total"],
            "sockets_used": state["sockets_used"],
            "sockets_limit": state["sockets_total"],
        },
        "disk_free": state["disk_free"],
        "disk_free_limit": state["disk_free_limit"],
        "totals": {
            "connection_count": overview["object_totals"]["connections"],
            "queue_count": overview["object_totals"]["queues"],
            "virtual_host_count": vhosts,
        },
        "listeners": listeners(overview),
    })
}

/// The names of the resources that are short.
fn raised(state: &Value) -> Vec<&'static str> {
    let alarms = [("mem_alarm", "memory"), ("disk_free_alarm", "disk")];
    let raised = alarms.into_iter().filter(|(field, _)| state[*field] == true);
    raised.map(|(_, resource)| resource).collect()
}

/// The alarms in effect, a sentence each.
pub fn alarm_lines(node: &str, state: &Value) -> Vec<String> {
    let raised = raised(state).into_iter().map(|resource| match resource {
        "memory" => format!("Memory alarm on node {node}"),
        _ => format!("Free disk space alarm on node {node}"),
    });
    raised.collect()
}

fn or_none(lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() { vec!["(none)".to_owned()] } else { lines }
}

/// The listeners, with what rabbitmqctl says about them.
pub fn listeners(overview: &Value) -> Vec<Value> {
    let listener = |listener: &Value| {
        let address = text(listener, "ip_address");
        let interface = if address.contains(':') { format!("[{address}]") } else { address };
        let protocol = text(listener, "protocol");
        let purpose = match protocol.as_str() {
            "amqp" => "AMQP 0-9-1",
            "amqp/ssl" => "AMQP 0-9-1 over TLS",
            "clustering" => "inter-node and CLI tool communication",
            "http" => "HTTP API",
            "https" => "HTTP API over TLS (HTTPS)",
            "https/prometheus" => "Prometheus exporter API over TLS (HTTPS)",
            "http/prometheus" => "Prometheus exporter API over HTTP",
            _ => "",
        };
        json!({
            "interface": interface,
            "node": listener["node"],
            "port": listener["port"],
            "protocol": protocol,
            "purpose": purpose,
        })
    };
    overview["listeners"].as_array().into_iter().flatten().map(listener).collect()
}

/// A listener in one line.
pub fn listener_line(listener: &Value) -> String {
    let port = &listener["port"];
    format!(
        "Interface: {}, port: {port}, protocol: {}, purpose: {}",
        text(listener, "interface"),
        text(listener, "protocol"),
        text(listener, "purpose")
    )
}

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

/// What memory and disk space are counted in.
#[derive(Clone, Copy)]
pub enum Unit {
    /// As they are.
    Bytes,
    /// Millions of them.
    Megabytes,
    /// Thousands of millions.
    Gigabytes,
}

impl Unit {
    /// The unit of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn of(name: &str) -> Result<Unit, Failure> {
        match name.to_lowercase().as_str() {
            "bytes" => Ok(Unit::Bytes),
            "mb" => Ok(Unit::Megabytes),
            "gb" => Ok(Unit::Gigabytes),
            _ => Err(Failure::usage(format!(
                "unit '{name}' is not supported. Please use one of: bytes, mb, gb"
            ))),
        }
    }

    /// So many bytes in this unit.
    pub fn show(self, bytes: &Value) -> String {
        let (divisor, name) = match self {
            Unit::Bytes => return format!("{bytes} bytes"),
            Unit::Megabytes => (1e6, "mb"),
            Unit::Gigabytes => (1e9, "gb"),
        };
        let number = bytes.as_f64().unwrap_or(0.0) / divisor;
        format!("{:?} {name}", (number * 1e4).round() / 1e4)
    }
}

/// How often a broker is asked whether it is there yet, or still.
const POLL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_any_unit() {
        for (unit, text) in
            [("bytes", "136543210 bytes"), ("MB", "136.5432 mb"), ("gb", "0.1365 gb")]
        {
            let unit = Unit::of(unit).unwrap_or(Unit::Bytes);
            assert_eq!(unit.show(&json!(136_543_210)), text);
        }
        assert_eq!(Unit::Megabytes.show(&json!(50_000_000)), "50.0 mb");
        assert!(Unit::of("tb").is_err());
    }
}
