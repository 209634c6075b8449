//! What does `rabbitmq-diagnostics` tell beyond checks? The broker, part by part.

use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};

use super::node::{Unit, alarm_lines, listener_line, listeners};
use crate::failure::{Exit, Failure};
use crate::http::Request;
use crate::output::Column;
use crate::session::Session;
use crate::verb::{Columns, Group, Verb};

const ROW: Verb = Verb::of(Group::Monitoring);

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb { name: "alarms", summary: "Lists resource alarms in effect", run: alarms, ..ROW },
    Verb {
        name: "is_booting",
        summary: "Says whether the broker is still starting",
        run: is_booting,
        ..ROW
    },
    Verb {
        name: "is_running",
        summary: "Says whether the broker is running",
        run: is_running,
        ..ROW
    },
    Verb {
        name: "list_unresponsive_queues",
        arguments: &[("[<column> ...]", "")],
        options: super::LIST,
        columns: Some(&NAMES),
        summary: "Lists nothing if the broker answers: its queues do when it does",
        run: list_unresponsive_queues,
        ..ROW
    },
    Verb {
        name: "listeners",
        summary: "Lists addresses, ports and protocols that the broker listens on",
        run: show_listeners,
        ..ROW
    },
    Verb { name: "log_location", summary: "Says where the log goes", run: log_location, ..ROW },
    Verb {
        name: "memory_breakdown",
        options: &["unit"],
        summary: "Says what memory is used for",
        run: memory_breakdown,
        ..ROW
    },
    Verb {
        name: "node_health_check",
        group: Group::Health,
        summary: "Exits with a non-zero code if there is an alarm [deprecated: check_alarms]",
        run: node_health_check,
        ..ROW
    },
    Verb {
        name: "server_version",
        summary: "Displays the version that the broker names to clients",
        run: server_version,
        ..ROW
    },
    Verb {
        name: "enable_feature_flag",
        group: Group::Features,
        arguments: &[("<feature_flag>|all", "its name, as list_feature_flags prints it")],
        summary: "Succeeds for feature flags that are there: they are enabled already",
        run: enable_feature_flag,
        ..ROW
    },
    Verb {
        name: "wait",
        group: Group::Node,
        arguments: &[("[<pid_file>]", "a file with the broker's process number")],
        options: &["pid"],
        summary: "Waits for the broker to start, by its process or a file that names it",
        run: wait,
        ..ROW
    },
];

static NAMES: Columns =
    Columns { all: &[Column::plain("name"), Column::plain("pid")], usual: "name" };

fn alarms(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Asking node {node} to report any known resource alarms ..."))?;
    let state = session.ask(&Request::get(&["nodes", &node]))?;
    let lines = alarm_lines(&node, &state);
    let quiet = format!("Node {node} reported no alarms, local or clusterwide");
    let (message, shown) = match lines.is_empty() {
        true => (quiet.clone(), quiet),
        false => (format!("Node {node} reported alarms"), lines.join("\n")),
    };
    let told = json!({"global": [], "local": lines, "message": message, "result": "ok"});
    if session.object(&told)? { Ok(()) } else { session.print(&shown) }
}

fn is_running(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Asking node {node} for its status ..."))?;
    session.done(Some(&format!("RabbitMQ on node {node} is fully booted and running")))
}

fn is_booting(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Asking node {node} for its boot status ..."))?;
    // A broker that is still starting does not answer.
    session.done(Some(&format!(
        "RabbitMQ on node {node} is fully booted (check with is_running), stopped or has not \
         started booting yet"
    )))
}

/// One loop serves all queues: if it answers at all, it answers for each.
fn list_unresponsive_queues(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    session.banner(&format!("Listing unresponsive queues for vhost {vhost} ..."))?;
    session.ask_in_vhost(&Request::get(&["vhosts", vhost]).query("columns", "name"))?;
    session.object(&json!([])).map(|_| ())
}

fn show_listeners(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Asking node {node} to report its protocol listeners ..."))?;
    let overview = session.ask(&Request::get(&["overview"]).query("columns", "listeners"))?;
    let listeners = listeners(&overview);
    if session.object(&json!({"listeners": listeners, "node": node, "result": "ok"}))? {
        return Ok(());
    }
    let lines: Vec<String> = listeners.iter().map(listener_line).collect();
    session.print(&lines.join("\n"))
}

fn log_location(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Log file location(s) on node {node} ..."))?;
    let state = session.ask(&Request::get(&["nodes", &node]))?;
    let files = state["log_files"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let files: Vec<&str> = files.collect();
    session.done(Some(&files.join("\n")))
}

fn memory_breakdown(session: &mut Session<'_>) -> Result<(), Failure> {
    let unit = Unit::of(session.given.text("unit").unwrap_or("gb"))?;
    let node = session.node()?;
    session.banner(&format!("Reporting memory breakdown on node {node}..."))?;
    let answer = session.ask(&Request::get(&["nodes", &node, "memory"]))?;
    let memory = &answer["memory"];
    let parts = memory.as_object().into_iter().flatten();
    let mut parts: Vec<(&str, &Value)> = parts
        .filter(|(_, bytes)| bytes.is_number())
        .map(|(name, bytes)| (name.as_str(), bytes))
        .collect();
    let number = |bytes: &Value| bytes.as_f64().unwrap_or(0.0);
    parts.sort_by(|one, two| number(two.1).total_cmp(&number(one.1)));
    let total: f64 = parts.iter().map(|(_, bytes)| number(bytes)).sum();
    if session.object(memory)? {
        return Ok(());
    }
    for (name, bytes) in parts {
        let share = 100.0 * number(bytes) / total.max(1.0);
        let percent = (share * 100.0).round() / 100.0;
        session.print(&format!("{name}: {} ({percent:?}%)", unit.show(bytes)))?;
    }
    Ok(())
}

fn node_health_check(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!(
        "This command is DEPRECATED: check_alarms and its kind look at one thing each.\n\
         Checking health of node {node} ..."
    ))?;
    let state = session.ask(&Request::get(&["nodes", &node]))?;
    let lines = alarm_lines(&node, &state);
    if lines.is_empty() {
        return session.done(Some("Health check passed"));
    }
    let text = format!("health check failed. Message: {}", lines.join(", "));
    Err(Failure::error(Exit::Software, text))
}

fn server_version(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Asking node {node} for its RabbitMQ version..."))?;
    let request = Request::get(&["overview"]).query("columns", "rabbitmq_version");
    let overview = session.ask(&request)?;
    session.done(Some(overview["rabbitmq_version"].as_str().unwrap_or_default()))
}

fn enable_feature_flag(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    session.banner(&match name {
        "all" => "Enabling all feature flags ...".to_owned(),
        _ => format!("Enabling feature flag \"{name}\" ..."),
    })?;
    let flags = session.ask(&Request::get(&["feature-flags"]))?;
    let known = |flag: &Value| flag["name"] == name && flag["state"] == "enabled";
    if name == "all" || flags.as_array().into_iter().flatten().any(known) {
        return session.done(None);
    }
    let node = session.node()?;
    let text = format!("This feature flag is not supported by node {node}");
    Err(Failure::error(Exit::Usage, text))
}

fn wait(session: &mut Session<'_>) -> Result<(), Failure> {
    let file = session.given.argument(0);
    let pid = match session.given.text("pid") {
        Some(text) => process(text).ok_or_else(|| {
            Failure::bad_argument(format!("Bad argument: '{text}' is no process number"))
        })?,
        None if file.is_empty() => {
            return Err(Failure::usage("\"No pid or pidfile specified\""));
        }
        None => {
            session.banner(&format!("Waiting for pid file '{file}' to appear"))?;
            session.patiently(|session| named_in(session, Path::new(file)))?
        }
    };
    session.banner(&format!("pid is {}\nWaiting for the broker to start ...", pid.as_raw_pid()))?;
    session.patiently(|session| started(session, pid))?;
    session.ask(&Request::get(&["whoami"])).map(|_| ())
}

/// The process that a file names, once it does.
fn named_in(session: &Session<'_>, file: &Path) -> Result<Pid, Failure> {
    loop {
        // Whoever writes it may not be done yet.
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Some(pid) = process(text.trim()) {
            return Ok(pid);
        }
        session.in_time()?;
        thread::sleep(POLL);
    }
}

/// Waits until the broker answers, or its process is gone.
fn started(session: &mut Session<'_>, pid: Pid) -> Result<(), Failure> {
    while session.probe()?.is_none_or(|status| status >= 500) {
        if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
            let text = format!("Process {} is not running", pid.as_raw_pid());
            return Err(Failure::error(Exit::Unavailable, text));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn process(text: &str) -> Option<Pid> {
    text.parse().ok().filter(|number| *number > 0).and_then(Pid::from_raw)
}

/// How often a file or a broker is looked for.
const POLL: Duration = Duration::from_millis(50);
