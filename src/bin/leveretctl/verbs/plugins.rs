//! Is a plugin there? Some of RabbitMQ's plugins are parts of this broker; nothing else can be
//! added, and nothing be taken away.

use crate::failure::{Exit, Failure};
use crate::http::Request;
use crate::session::Session;
use crate::verb::{Argument, Group, Verb};

const ROW: Verb = Verb::of(Group::Features);
const NAMES: &[Argument] = &[("<plugin> ...", "names of RabbitMQ's plugins")];
/// What `rabbitmq-plugins` takes; both are the same here.
const MODES: &[&str] = &["online", "offline"];

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "disable",
        arguments: NAMES,
        options: MODES,
        summary: "Succeeds for plugins that are not there; what is built in stays",
        run: disable,
        ..ROW
    },
    Verb {
        name: "enable",
        arguments: NAMES,
        options: MODES,
        summary: "Succeeds for plugins that are built in, like rabbitmq_management",
        run: enable,
        ..ROW
    },
    Verb {
        name: "is_enabled",
        arguments: NAMES,
        options: MODES,
        summary: "Exits with a non-zero code if a plugin is not built in",
        run: is_enabled,
        ..ROW
    },
    Verb {
        name: "set",
        arguments: NAMES,
        options: MODES,
        summary: "Succeeds for plugins that are built in, like rabbitmq_management",
        run: enable,
        ..ROW
    },
];

/// RabbitMQ's names for what this broker has.
pub const BUILT_IN: [&str; 4] = [
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_prometheus",
    "rabbitmq_web_dispatch",
];

/// No broker is asked: `--offline` works where none runs, as in the making of an image.
fn enable(session: &mut Session<'_>) -> Result<(), Failure> {
    let strange = named(session, |name| !BUILT_IN.contains(&name));
    if !strange.is_empty() {
        let text = format!(
            "Leveret has no plugins, and nothing like {}. Built in and always enabled: {}",
            strange.join(", "),
            BUILT_IN.join(", ")
        );
        return Err(Failure::error(Exit::Unavailable, text));
    }
    session.remark("Built in and always enabled: nothing to do.")
}

fn disable(session: &mut Session<'_>) -> Result<(), Failure> {
    let known = named(session, |name| BUILT_IN.contains(&name));
    if !known.is_empty() {
        let text = format!("{} is built in and cannot be disabled", known.join(", "));
        return Err(Failure::error(Exit::Unavailable, text));
    }
    session.remark("Not there: nothing to do.")
}

fn is_enabled(session: &mut Session<'_>) -> Result<(), Failure> {
    let names = session.given.arguments().join(", ");
    let strange = named(session, |name| !BUILT_IN.contains(&name));
    let node = session.node()?;
    session.banner(&format!("Asking node {node} if plugin {names} is enabled..."))?;
    session.ask(&Request::get(&["whoami"]))?;
    if !strange.is_empty() {
        let text = format!(
            "Plugin {} is not enabled on node {node}. Enabled plugins and dependencies: {}",
            strange.join(", "),
            BUILT_IN.join(", ")
        );
        return Err(Failure::error(Exit::Unavailable, text));
    }
    session.done(Some(&format!("Plugin {names} is enabled on node {node}")))
}

/// Prints what is built in, as `rabbitmq-plugins list` does.
pub fn list(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!(
        "Listing plugins with pattern \".*\" ...\n Configured: E = explicitly enabled; e = \
         implicitly enabled\n | Status: * = running on {node}\n |/"
    ))?;
    BUILT_IN.iter().try_for_each(|name| session.print(&format!("[E*] {name}")))
}

fn named(session: &Session<'_>, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    // rabbitmq-plugins takes spaces and commas.
    let names = session.given.arguments().iter().flat_map(|word| word.split([',', ' ']));
    names.filter(|name| !name.is_empty() && wanted(name)).map(str::to_owned).collect()
}
