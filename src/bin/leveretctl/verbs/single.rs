//! What do scripts ask of a cluster that a single node can answer?

use crate::failure::{Exit, Failure};
use crate::http::Request;
use crate::session::Session;
use crate::verb::{Argument, Group, Verb};

const ROW: Verb = Verb::of(Group::Node);
const QUEUE: Argument = ("<queue>", "the queue");

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "await_online_nodes",
        arguments: &[("<count>", "how many; there is one")],
        seconds: 300,
        summary: "Waits for <count> nodes to join the cluster: succeeds for one",
        run: await_online_nodes,
        ..ROW
    },
    Verb {
        name: "await_online_quorum_plus_one",
        summary: "Succeeds if the broker is there: its queues have no replicas to wait for",
        run: is_there,
        ..ROW
    },
    Verb {
        name: "await_online_synchronized_mirror",
        summary: "Succeeds if the broker is there: its queues have no replicas to wait for",
        run: is_there,
        ..ROW
    },
    Verb {
        name: "discover_peers",
        summary: "Says that there are no peers",
        run: discover_peers,
        ..ROW
    },
    Verb {
        name: "force_gc",
        summary: "Succeeds if the broker is there: it leaves no garbage",
        run: force_gc,
        ..ROW
    },
    Verb {
        name: "start_app",
        summary: "Succeeds if the broker is there: it is one process, which has started",
        run: start_app,
        ..ROW
    },
    Verb {
        name: "cancel_sync_queue",
        group: Group::Objects,
        arguments: &[QUEUE],
        summary: "Says that a queue has no mirrors",
        run: cancel_sync_queue,
        ..ROW
    },
    Verb {
        name: "sync_queue",
        group: Group::Objects,
        arguments: &[QUEUE],
        summary: "Says that a queue has no mirrors",
        run: sync_queue,
        ..ROW
    },
    Verb {
        name: "check_if_node_is_mirror_sync_critical",
        group: Group::Health,
        summary: "Succeeds if the broker is there: no other node depends on it",
        run: check_mirrors,
        ..ROW
    },
    Verb {
        name: "check_if_node_is_quorum_critical",
        group: Group::Health,
        summary: "Succeeds if the broker is there: no other node depends on it",
        run: check_quorum,
        ..ROW
    },
    Verb {
        name: "restart_vhost",
        group: Group::Vhosts,
        summary: "Says that a virtual host is running, which it always is",
        run: restart_vhost,
        ..ROW
    },
];

fn await_online_nodes(session: &mut Session<'_>) -> Result<(), Failure> {
    let count = session.given.argument(0);
    let Some(wanted) = count.parse::<u64>().ok().filter(|count| *count > 0) else {
        return Err(Failure::bad_argument("Bad argument: Argument must be a positive integer"));
    };
    let node = session.node()?;
    let seconds = session.given.limit(300).as_secs();
    session.banner(&format!(
        "Will wait for at least {wanted} nodes to join the cluster of {node}. Timeout: {seconds} \
         seconds."
    ))?;
    if wanted == 1 {
        return session.done(None);
    }
    let text = format!("Error: there is one node, {node}, and no other one will join it");
    Err(Failure::error(Exit::Software, text))
}

fn is_there(session: &mut Session<'_>) -> Result<(), Failure> {
    session.ask(&Request::get(&["whoami"]))?;
    session.done(None)
}

fn discover_peers(session: &mut Session<'_>) -> Result<(), Failure> {
    session.banner("Discovering peers nodes ...")?;
    session.ask(&Request::get(&["whoami"]))?;
    session.done(Some("No peers discovered"))
}

fn force_gc(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session
        .banner(&format!("Will ask all processes on node {node} to schedule a full sweep GC"))?;
    session.done(None)
}

fn start_app(session: &mut Session<'_>) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Starting node {node} ..."))?;
    session.done(None)
}

fn sync_queue(session: &mut Session<'_>) -> Result<(), Failure> {
    let (queue, vhost) = (session.given.argument(0), session.given.vhost());
    session.banner(&format!("Synchronising queue '{queue}' in vhost '{vhost}' ..."))?;
    find(session, vhost, queue)?;
    Err(Failure::error(Exit::Unavailable, "not_mirrored"))
}

fn cancel_sync_queue(session: &mut Session<'_>) -> Result<(), Failure> {
    let (queue, vhost) = (session.given.argument(0), session.given.vhost());
    session.banner(&format!("Stopping synchronising queue '{queue}' in vhost '{vhost}' ..."))?;
    find(session, vhost, queue)?;
    session.done(Some("not_syncing"))
}

fn find(session: &mut Session<'_>, vhost: &str, queue: &str) -> Result<(), Failure> {
    let request = Request::get(&["queues", vhost, queue]).query("columns", "name");
    match session.find(&request)? {
        Some(_) => Ok(()),
        None => Err(Failure::error(Exit::Unavailable, "not_found")),
    }
}

fn check_mirrors(session: &mut Session<'_>) -> Result<(), Failure> {
    alone(session, "data safety of any classic mirrored queues")
}

fn check_quorum(session: &mut Session<'_>) -> Result<(), Failure> {
    alone(session, "quorum of any quorum queues")
}

fn alone(session: &mut Session<'_>, what: &str) -> Result<(), Failure> {
    let node = session.node()?;
    session.banner(&format!("Checking if node {node} is critical for {what} ..."))?;
    session.done(Some(&format!(
        "Node {node} seems to be the only one in a single node cluster, the check does not apply"
    )))
}

fn restart_vhost(session: &mut Session<'_>) -> Result<(), Failure> {
    let vhost = session.given.vhost();
    let node = session.node()?;
    session.banner(&format!("Trying to restart vhost '{vhost}' on node '{node}' ..."))?;
    match session.find(&Request::get(&["vhosts", vhost]).query("columns", "name"))? {
        Some(_) => {
            session.done(Some(&format!("Vhost '{vhost}' is already running on node '{node}'")))
        }
        None => {
            let text = format!(
                "Failed to start vhost '{vhost}' on node '{node}'. Reason: it does not exist"
            );
            Err(Failure::error(Exit::Software, text))
        }
    }
}
