//! What is asked, and what was the answer? A page of each list, however long it is.

use std::time::Instant;

use serde_json::Value;

use super::sorting::{Direction, Key};
use crate::failure::Failure;
use crate::http::Request;
use crate::session::Session;

/// What somebody wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What queues are sorted by.
    pub key: Key,
    /// From which end.
    pub direction: Direction,
    /// Queues of this virtual host alone; of all without one.
    pub vhost: Option<String>,
    /// How many rows there is room for.
    pub rows: usize,
}

/// What the broker said at one time.
#[derive(Debug)]
pub struct Figures {
    /// When.
    pub at: Instant,
    /// What queues are sorted by.
    pub key: Key,
    /// From which end.
    pub direction: Direction,
    /// `GET /api/overview`.
    pub overview: Value,
    /// The node's; null for whoever may not see it.
    pub node: Value,
    /// Seconds that the last sync of the log took, if the broker tells.
    pub sync_seconds: Option<f64>,
    /// A page of queues, no shorter than there is room for.
    pub queues: Vec<Queue>,
    /// How many queues there are.
    pub queues_total: u64,
    /// The page of connections, those that send and receive most first.
    pub connections: Vec<Connection>,
    /// How many connections there are.
    pub connections_total: u64,
    /// How many connections are blocked, as far as somebody looked.
    pub blocked: usize,
    /// Queues that get messages and have nobody to take them, as far as somebody looked.
    pub growing: Vec<String>,
}

/// One queue.
#[derive(Debug)]
pub struct Queue {
    /// Its name, with the virtual host's if that is not `/`.
    pub name: String,
    /// Messages that wait for a consumer.
    pub ready: u64,
    /// Messages that consumers have.
    pub unacked: u64,
    /// Messages that come, a second.
    pub come: f64,
    /// Messages that are delivered, a second.
    pub go: f64,
    /// How many more are ready each second.
    pub growth: f64,
    /// Who takes them.
    pub consumers: u64,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Its name, or what the client calls it.
    pub name: String,
    /// The user.
    pub user: String,
    /// What it is doing.
    pub state: String,
    /// Open channels.
    pub channels: u64,
    /// Bytes that came and that were sent, altogether.
    bytes: [u64; 2],
    /// The same, a second.
    pub rates: [f64; 2],
}

impl Figures {
    /// Asks for everything; growth is seen from `before` on.
    ///
    /// # Errors
    /// The broker does not answer, or may not be asked.
    pub fn ask(
        session: &mut Session<'_>,
        wanted: &Wanted,
        before: Option<&Figures>,
    ) -> Result<Figures, Failure> {
        session.renew();
        let columns = "cluster_name,message_stats,node,object_totals,product_name,queue_totals,\
                       rabbitmq_version";
        let overview = session.ask(&Request::get(&["overview"]).query("columns", columns))?;
        let name = text(&overview, "node");
        let node = match name.is_empty() {
            true => Value::Null,
            false => optional(session, &Request::get(&["nodes", &name]))?,
        };
        let metrics = session.send(&Request::metrics())?;
        let sync_seconds = metrics.is_success().then(|| last_sync(&metrics.body)).flatten();
        // Those that are full are looked at anyway; what is sorted by something that the broker
        // has to work out for each queue is asked for only if somebody wants to see it.
        let fullest = Wanted { key: Key::USUAL, rows: PAGE_MAX, ..wanted.clone() };
        let full =
            session.ask_in_vhost(&queues(&Wanted { direction: Direction::Usual, ..fullest }))?;
        let growing = growing(&full);
        let page = match (wanted.key, wanted.direction) {
            (Key::USUAL, Direction::Usual) => full,
            _ => session.ask_in_vhost(&queues(wanted))?,
        };
        let (connections, connections_total) = connections(session, wanted.rows)?;
        let alarmed = ["mem_alarm", "disk_free_alarm"].iter().any(|alarm| node[*alarm] == true);
        let blocked = if alarmed { blocked(session)? } else { 0 };
        let queues = items(&page).map(Queue::read).collect();
        let queues_total = page["total_count"].as_u64().unwrap_or(0);
        let mut figures = Figures {
            at: Instant::now(),
            key: wanted.key,
            direction: wanted.direction,
            overview,
            node,
            sync_seconds,
            queues,
            queues_total,
            connections,
            connections_total,
            blocked,
            growing,
        };
        if let Some(before) = before {
            figures.compare(before);
        }
        let busiest = |connection: &Connection| connection.rates[0] + connection.rates[1];
        figures.connections.sort_by(|one, two| busiest(two).total_cmp(&busiest(one)));
        Ok(figures)
    }

    /// Sees what has changed since `before`.
    #[allow(clippy::cast_precision_loss, reason = "they are shown with three digits")]
    fn compare(&mut self, before: &Figures) {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        for queue in &mut self.queues {
            if let Some(old) = before.queues.iter().find(|old| old.name == queue.name) {
                queue.growth = (queue.ready as f64 - old.ready as f64) / seconds;
            }
        }
        for connection in &mut self.connections {
            let old = before.connections.iter().find(|old| old.name == connection.name);
            let Some(old) = old else { continue };
            for index in 0..2 {
                let more = connection.bytes[index].saturating_sub(old.bytes[index]);
                connection.rates[index] = more as f64 / seconds;
            }
        }
    }
}

impl Queue {
    fn read(object: &Value) -> Queue {
        let stats = &object["message_stats"];
        let (come, go) = (rate(stats, "publish"), rate(stats, "deliver_get"));
        Queue {
            name: queue_name(object),
            ready: number(object, "messages_ready"),
            unacked: number(object, "messages_unacknowledged"),
            come,
            go,
            growth: come - go,
            consumers: number(object, "consumers"),
        }
    }
}

impl Connection {
    fn read(object: &Value) -> Connection {
        let chosen = ["user_provided_name", "name"].map(|field| text(object, field));
        let [chosen, name] = chosen;
        Connection {
            name: if chosen.is_empty() { name } else { format!("{chosen} ({name})") },
            user: text(object, "user"),
            state: text(object, "state"),
            channels: number(object, "channels"),
            bytes: [number(object, "recv_oct"), number(object, "send_oct")],
            rates: [rate(object, "recv_oct"), rate(object, "send_oct")],
        }
    }
}

/// A rate of the API, a second.
pub fn rate(object: &Value, name: &str) -> f64 {
    object[format!("{name}_details")]["rate"].as_f64().unwrap_or(0.0)
}

/// A number of the API; 0 where there is none.
pub fn number(object: &Value, name: &str) -> u64 {
    object[name].as_u64().unwrap_or(0)
}

/// A text of the API; empty where there is none.
pub fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_default().to_owned()
}

fn queues(wanted: &Wanted) -> Request {
    let place = match &wanted.vhost {
        Some(vhost) => vec!["queues", vhost.as_str()],
        None => vec!["queues"],
    };
    let columns = "name,vhost,messages_ready,messages_unacknowledged,consumers,\
                   message_stats.publish_details.rate,message_stats.deliver_get_details.rate";
    let reverse = wanted.key.reverse(wanted.direction);
    page(Request::get(&place), wanted.rows, wanted.key.path, reverse).query("columns", columns)
}

fn page(request: Request, rows: usize, sort: &str, reverse: &str) -> Request {
    let size = rows.clamp(1, PAGE_MAX).to_string();
    let request = request.query("page", "1").query("page_size", &size);
    request.query("sort", sort).query("sort_reverse", reverse)
}

fn connections(session: &mut Session<'_>, rows: usize) -> Result<(Vec<Connection>, u64), Failure> {
    let columns = "name,user_provided_name,user,state,channels,recv_oct,send_oct,\
                   recv_oct_details.rate,send_oct_details.rate";
    // More than are shown: those that have sent most so far need not be those that send now.
    let request = page(Request::get(&["connections"]), rows * 4, "recv_oct", "true");
    let page = session.ask(&request.query("columns", columns))?;
    let total = page["total_count"].as_u64().unwrap_or(0);
    Ok((items(&page).map(Connection::read).collect(), total))
}

/// How many connections are blocked; sorted by state they come first.
fn blocked(session: &mut Session<'_>) -> Result<usize, Failure> {
    let request = page(Request::get(&["connections"]), PAGE_MAX, "state", "false");
    let page = session.ask(&request.query("columns", "name,state"))?;
    Ok(items(&page).filter(|object| text(object, "state").starts_with("block")).count())
}

fn growing(page: &Value) -> Vec<String> {
    let grows = |object: &&Value| {
        let stats = &object["message_stats"];
        number(object, "consumers") == 0 && rate(stats, "publish") > rate(stats, "deliver_get")
    };
    items(page).filter(grows).map(queue_name).collect()
}

/// What `request` is about, if we may see it.
fn optional(session: &mut Session<'_>, request: &Request) -> Result<Value, Failure> {
    let answer = session.send(request)?;
    let found = answer.is_success().then(|| answer.json()).flatten();
    Ok(found.unwrap_or_default())
}

fn items(page: &Value) -> impl Iterator<Item = &Value> {
    page["items"].as_array().into_iter().flatten()
}

fn queue_name(object: &Value) -> String {
    let (name, vhost) = (text(object, "name"), text(object, "vhost"));
    if vhost.is_empty() || vhost == "/" { name } else { format!("{vhost}: {name}") }
}

fn last_sync(metrics: &[u8]) -> Option<f64> {
    let metrics = String::from_utf8_lossy(metrics);
    let line = metrics.lines().find_map(|line| line.strip_prefix("leveret_sync_last_seconds "));
    line.and_then(|number| number.trim().parse().ok())
}

/// The largest page that is asked for.
const PAGE_MAX: usize = 200;
