//! What stands in which line? Everything in the columns that there are.

use super::figures::{Connection, Figures, Queue, number, rate, text};
use super::sorting::Direction;
use crate::output::{fit, safe, width};

/// What is shown.
pub struct View<'a> {
    /// The last answer, if there was one.
    pub figures: Option<&'a Figures>,
    /// Where the broker is.
    pub target: &'a str,
    /// Why there is no newer answer.
    pub trouble: Option<&'a str>,
}

/// A line and how much it wants to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As wide as the terminal.
    pub text: String,
    /// How it looks.
    pub look: Look,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Like any other.
    Plain,
    /// Bold.
    Bold,
    /// Light and dark exchanged.
    Reversed,
}

/// The lines of a frame, each exactly `columns` wide. `height` is what they should fit in;
/// without one there are `rows` of each list.
pub fn lines(view: &View<'_>, columns: usize, height: Option<usize>, rows: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let (warning, look) = warning(view);
    lines.push(Line { text: fit(&safe(&warning), columns), look });
    if let Some(figures) = view.figures {
        for text in packed(&facts(figures, view.target), columns) {
            lines.push(Line { text, look: Look::Plain });
        }
        // A heading each, and a line below for whoever wants to know the keys.
        let room = height.map_or(rows * 2, |height| height.saturating_sub(lines.len() + 3));
        let queues = match height {
            Some(_) => room - (room / 3).min(figures.connections.len()),
            None => rows,
        };
        let queues = queues.min(figures.queues.len());
        lines.extend(queue_lines(figures, queues, columns));
        let connections = (room - queues).min(figures.connections.len());
        lines.extend(connection_lines(figures, connections, columns));
    }
    if let Some(height) = height {
        lines.truncate(height);
    }
    lines
}

/// What is wrong; the first thing to see.
fn warning(view: &View<'_>) -> (String, Look) {
    let mut wrong: Vec<String> = view.trouble.map(str::to_owned).into_iter().collect();
    let Some(figures) = view.figures else {
        let waiting = || (format!("asking {} ...", view.target), Look::Bold);
        return wrong.pop().map_or_else(waiting, |trouble| (trouble, Look::Reversed));
    };
    for (field, alarm) in [("mem_alarm", "MEMORY ALARM"), ("disk_free_alarm", "DISK ALARM")] {
        if figures.node[field] == true {
            wrong.push(alarm.to_owned());
        }
    }
    if figures.blocked > 0 {
        wrong.push(format!("{} connections blocked", figures.blocked));
    }
    match figures.growing.as_slice() {
        [] => {}
        [one] => wrong.push(format!("a queue grows without consumers: {one}")),
        [first, ..] => wrong
            .push(format!("{} queues grow without consumers: {first} ...", figures.growing.len())),
    }
    if wrong.is_empty() {
        return ("nothing is wrong".to_owned(), Look::Bold);
    }
    (wrong.join("; "), Look::Reversed)
}

/// What there is to say about the node, in pieces that stay together.
fn facts(figures: &Figures, target: &str) -> Vec<String> {
    let (overview, node) = (&figures.overview, &figures.node);
    let (stats, totals) = (&overview["message_stats"], &overview["queue_totals"]);
    let mut facts = vec![text(overview, "node")];
    if facts[0].is_empty() {
        facts[0] = target.to_owned();
    }
    if let Some(milliseconds) = node["uptime"].as_u64() {
        facts.push(format!("up {}", duration(milliseconds / 1000)));
    }
    for (name, field) in
        [("publish", "publish"), ("confirm", "confirm"), ("deliver", "deliver_get"), ("ack", "ack")]
    {
        facts.push(format!("{name} {}/s", decimal(rate(stats, field))));
    }
    facts.push(format!("ready {}", count(number(totals, "messages_ready"))));
    facts.push(format!("unacked {}", count(number(totals, "messages_unacknowledged"))));
    for name in ["queues", "connections", "channels", "consumers"] {
        facts.push(format!("{name} {}", count(number(&overview["object_totals"], name))));
    }
    if !node.is_null() {
        let of = |used: &str, limit: &str| {
            format!("{} of {}", bytes(number(node, used)), bytes(number(node, limit)))
        };
        facts.push(format!("memory {}", of("mem_used", "mem_limit")));
        facts.push(format!("disk free {}", bytes(number(node, "disk_free"))));
        let (used, total) = (number(node, "fd_used"), number(node, "fd_total"));
        facts.push(format!("descriptors {used}/{total}"));
    }
    if let Some(seconds) = figures.sync_seconds {
        facts.push(format!("sync {} ms", decimal(seconds * 1000.0)));
    }
    facts.iter().map(|fact| safe(fact)).collect()
}

/// Pieces side by side, as many in a line as go.
fn packed(pieces: &[String], columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if width(line) + GAP.len() + width(piece) <= columns => {
                line.push_str(GAP);
                line.push_str(piece);
            }
            _ => lines.push(piece.clone()),
        }
    }
    lines.iter().map(|line| fit(line, columns)).collect()
}

fn queue_lines(figures: &Figures, rows: usize, columns: usize) -> Vec<Line> {
    let reversed = if figures.direction == Direction::Reversed { ", reversed" } else { "" };
    let (key, total) = (figures.key.name, count(figures.queues_total));
    let title = format!("{total} queues by {key}{reversed}");
    let names = ["ready", "unacked", "in/s", "out/s", "grow/s", "cons"];
    let cells = |queue: &Queue| {
        let numbers = vec![
            count(queue.ready),
            count(queue.unacked),
            decimal(queue.come),
            decimal(queue.go),
            decimal(queue.growth),
            count(queue.consumers),
        ];
        (safe(&queue.name), numbers)
    };
    table(&title, &names, figures.queues.iter().take(rows).map(cells), columns)
}

fn connection_lines(figures: &Figures, rows: usize, columns: usize) -> Vec<Line> {
    let title = format!("{} connections", count(figures.connections_total));
    let names = ["state", "user", "channels", "in B/s", "out B/s"];
    let cells = |connection: &Connection| {
        let numbers = vec![
            safe(&connection.state),
            safe(&connection.user),
            count(connection.channels),
            decimal(connection.rates[0]),
            decimal(connection.rates[1]),
        ];
        (safe(&connection.name), numbers)
    };
    table(&title, &names, figures.connections.iter().take(rows).map(cells), columns)
}

/// A heading and rows: a name, and as many narrow columns as there is room for.
fn table(
    title: &str,
    names: &[&str],
    rows: impl Iterator<Item = (String, Vec<String>)>,
    columns: usize,
) -> Vec<Line> {
    let shown = (columns.saturating_sub(NAME_COLUMNS) / (NARROW + 1)).min(names.len());
    let first = columns - shown * (NARROW + 1);
    let row = |name: &str, cells: &[String]| {
        let mut text = fit(name, first);
        for cell in &cells[..shown] {
            text.push(' ');
            // Numbers stand to the right; a text that is too long loses its end.
            let cell = if width(cell) > NARROW { fit(cell, NARROW) } else { cell.clone() };
            text.push_str(&" ".repeat(NARROW - width(&cell)));
            text.push_str(&cell);
        }
        text
    };
    let heads: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut lines = vec![Line { text: row(title, &heads), look: Look::Reversed }];
    for (name, cells) in rows {
        lines.push(Line { text: row(&name, &cells), look: Look::Plain });
    }
    lines
}

/// A count with at most six characters.
fn count(number: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let scaled = |divisor: u64, unit: char| format!("{:.1}{unit}", number as f64 / divisor as f64);
    match number {
        0..100_000 => number.to_string(),
        100_000..1_000_000 => format!("{}k", number / 1000),
        1_000_000..1_000_000_000 => scaled(1_000_000, 'M'),
        1_000_000_000..1_000_000_000_000 => scaled(1_000_000_000, 'G'),
        _ => scaled(1_000_000_000_000, 'T'),
    }
}

/// A rate or the like; one digit behind the point as long as it is small.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is rounded")]
fn decimal(number: f64) -> String {
    let size = number.abs();
    let sign = if number < 0.0 && size >= 0.05 { "-" } else { "" };
    match size {
        _ if !number.is_finite() => "?".to_owned(),
        small if small < 99.95 => format!("{sign}{small:.1}"),
        large => format!("{sign}{}", count(large.round() as u64)),
    }
}

fn bytes(number: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    let scaled = |divisor: u64, unit: &str| format!("{:.1} {unit}", number as f64 / divisor as f64);
    match number {
        0..1_000_000 => scaled(1000, "kB"),
        1_000_000..1_000_000_000 => scaled(1_000_000, "MB"),
        1_000_000_000..1_000_000_000_000 => scaled(1_000_000_000, "GB"),
        _ => scaled(1_000_000_000_000, "TB"),
    }
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

const GAP: &str = "  ";

/// What a name gets before anything else does.
const NAME_COLUMNS: usize = 12;

/// What a number gets.
const NARROW: usize = 8;
