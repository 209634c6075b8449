//! What happens right now, live or as text?

use std::io::{self, IsTerminal};
use std::thread;
use std::time::Duration;

use crate::failure::Failure;
use crate::session::Session;
use crate::top::{Direction, Figures, Key, View, Wanted, lines, live};
use crate::verb::{Group, Verb};

/// The verbs.
pub const VERBS: &[Verb] = &[Verb {
    name: "top",
    options: &["interval", "sort", "count", "limit"],
    seconds: 10,
    summary: "Shows rates, busy queues and connections, live at a terminal, else once as text",
    run: top,
    ..Verb::of(Group::Monitoring)
}];

fn top(session: &mut Session<'_>) -> Result<(), Failure> {
    let key = match session.given.text("sort") {
        None => Key::USUAL,
        Some(name) => Key::named(name).ok_or_else(|| {
            Failure::usage(format!("'{name}' is no key; there are {}", Key::all()))
        })?,
    };
    let interval = at_least_one(session, "interval", 2)?;
    let limit = at_least_one(session, "limit", 10)?;
    let rows = usize::try_from(limit).unwrap_or(usize::MAX).min(ROWS_MAX);
    let vhost = session.given.text("vhost").map(str::to_owned);
    let wanted = Wanted { key, direction: Direction::Usual, vhost, rows };
    let interval = Duration::from_secs(interval);
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if terminal && !session.given.flag("count") {
        return live(session, wanted, interval);
    }
    let count = at_least_one(session, "count", 1)?;
    let target = session.target().to_string();
    let mut before: Option<Figures> = None;
    for index in 0..count {
        if index > 0 {
            thread::sleep(interval);
            session.print("")?;
        }
        let figures = Figures::ask(session, &wanted, before.as_ref())?;
        let view = View { figures: Some(&figures), target: &target, trouble: None };
        for line in lines(&view, columns(), None, rows) {
            session.print(line.text.trim_end())?;
        }
        before = Some(figures);
    }
    Ok(())
}

/// The number given for an option.
fn at_least_one(session: &Session<'_>, name: &str, usual: u64) -> Result<u64, Failure> {
    match session.given.number(name) {
        None => Ok(usual),
        Some(number) => u64::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| Failure::usage(format!("--{name} is a number from 1 on, not {number}"))),
    }
}

/// How wide text is: what the shell says, or what fits on most pages.
fn columns() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    told.filter(|columns| (1..=COLUMNS_MAX).contains(columns)).unwrap_or(100)
}

const ROWS_MAX: usize = 200;
const COLUMNS_MAX: usize = 1000;
