//! What happens when time passes, a key is pressed, or the broker goes? The terminal never waits
//! for the broker: a thread asks, and this one draws what there is.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::figures::{Figures, Wanted};
use super::frame::{Line, Look, View, lines};
use super::sorting::Key;
use crate::failure::{Exit, Failure};
use crate::options::Given;
use crate::screen::{Event, Screen};
use crate::session::Session;
use crate::verb::Verb;

/// What came back.
type Told = Result<Arc<Figures>, Failure>;

/// Shows what happens until somebody has seen enough.
///
/// # Errors
/// The terminal is gone, or the broker lets nobody in.
pub fn live(
    session: &Session<'_>,
    mut wanted: Wanted,
    mut interval: Duration,
) -> Result<(), Failure> {
    let target = session.target().to_string();
    let mut asker = Asker::start(session)?;
    let mut screen = Screen::open()?;
    let mut shown: Option<Arc<Figures>> = None;
    let mut trouble: Option<String> = None;
    let mut due = Instant::now();
    loop {
        let (columns, height) = screen.size();
        if due <= Instant::now() && !asker.busy {
            wanted.rows = height.max(1);
            asker.ask(&wanted);
            due = Instant::now() + interval;
        }
        let (figures, trouble_now) = (shown.as_deref(), trouble.as_deref());
        let view = View { figures, target: &target, trouble: trouble_now };
        screen.draw(&painted(lines(&view, columns, Some(height), height), columns, height))?;
        // Whoever is asked rings when it has answered.
        let left =
            if asker.busy { interval } else { due.saturating_duration_since(Instant::now()) };
        let (event, told) = (screen.wait(left, &asker.bell)?, asker.told());
        match told {
            None => {}
            Some(Ok(figures)) => (shown, trouble) = (Some(figures), None),
            // It would be no better the next time.
            Some(Err(failure)) if shown.is_none() && is_final(&failure) => return Err(failure),
            Some(Err(failure)) => trouble = Some(sentence(&failure)),
        }
        match event {
            Event::Key('q' | '\u{3}' | '\u{1b}') | Event::Closed => return Ok(()),
            Event::Signal(signal) => {
                drop(screen);
                return Err(Failure::Signal(signal));
            }
            Event::Key('\u{1a}') => screen.suspend()?,
            Event::Key(letter) => {
                let slower = Duration::from_secs(1);
                match letter {
                    '+' => interval = (interval + slower).min(INTERVAL_MAX),
                    '-' => interval = interval.saturating_sub(slower).max(slower),
                    'v' => wanted.direction = wanted.direction.other(),
                    ' ' => {}
                    _ => match Key::named(&letter.to_string()) {
                        Some(key) => wanted.key = key,
                        None => continue,
                    },
                }
                due = Instant::now();
            }
            Event::Time => {}
        }
    }
}

/// The lines with their looks, and the keys below them.
fn painted(lines: Vec<Line>, columns: usize, height: usize) -> Vec<String> {
    let mut painted: Vec<String> = Vec::with_capacity(height);
    for Line { text, look } in lines {
        painted.push(match look {
            Look::Plain => text,
            Look::Bold => format!("\x1b[1m{text}\x1b[0m"),
            Look::Reversed => format!("\x1b[7m{text}\x1b[0m"),
        });
    }
    if painted.len() < height {
        let keys = format!("q quit, v reverse, + - slower faster; sort by {}", Key::all());
        painted.resize(height - 1, String::new());
        painted.push(crate::output::fit(&keys, columns));
    }
    painted
}

/// Whether somebody asked for what they may not see, or what does not exist.
fn is_final(failure: &Failure) -> bool {
    matches!(failure.exit(), Exit::NoPermission | Exit::DataError)
}

/// What a failure says, in a line.
fn sentence(failure: &Failure) -> String {
    let text = match failure {
        Failure::Validation { text, .. } | Failure::Refused { text, .. } => text.as_str(),
        Failure::Output(_) | Failure::Signal(_) => "",
    };
    let text = text.strip_prefix("Error:").unwrap_or(text).trim();
    format!("NO ANSWER, asking again: {}", text.replace('\n', " "))
}

/// The thread that asks.
struct Asker {
    wanted: Sender<Wanted>,
    told: Receiver<Told>,
    /// Readable when there is something to hear.
    bell: UnixStream,
    /// Whether an answer is still to come.
    busy: bool,
}

impl Asker {
    fn start(session: &Session<'_>) -> Result<Asker, Failure> {
        let (bell, ring) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let (wanted, asked) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let given = session.given.about(None);
        let (program, verb) = (session.program.to_owned(), *session.verb());
        // It ends with the process, wherever it waits.
        thread::Builder::new().spawn(move || {
            work(&given, &program, &verb, &asked, &tell, ring);
        })?;
        Ok(Asker { wanted, told, bell, busy: false })
    }

    fn ask(&mut self, wanted: &Wanted) {
        // A thread that is gone has said why.
        self.busy = self.wanted.send(wanted.clone()).is_ok();
    }

    fn told(&mut self) -> Option<Told> {
        let told = self.told.try_recv().ok()?;
        self.busy = false;
        Some(told)
    }
}

fn work(
    given: &Given,
    program: &str,
    verb: &Verb,
    asked: &Receiver<Wanted>,
    tell: &Sender<Told>,
    mut ring: UnixStream,
) {
    let mut nowhere = io::sink();
    let mut session = match Session::new(given, program, verb, &mut nowhere, false) {
        Ok(session) => session,
        Err(failure) => {
            // Nobody listens any more when the program ends.
            let _ = tell.send(Err(failure)).map(|()| ring.write(&[0]));
            return;
        }
    };
    let mut before: Option<Arc<Figures>> = None;
    while let Ok(wanted) = asked.recv() {
        let told = Figures::ask(&mut session, &wanted, before.as_deref()).map(Arc::new);
        before = told.as_ref().ok().map(Arc::clone);
        // Nobody listens any more when the program ends.
        if tell.send(told).is_err() || ring.write(&[0]).is_err() {
            return;
        }
    }
}

/// The longest time from one look to the next.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);
