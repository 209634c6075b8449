//! What does somebody at a terminal see and type? Passwords, and how far long work has come.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::{Exit, Failure};
use crate::screen::{Event, Keys};

/// Reads the password, the first line of standard input; at a terminal it is asked for and not
/// shown. `None` when there is none.
///
/// # Errors
/// The input cannot be read; or a signal or Ctrl-C ended it, and the terminal is as it was.
pub fn password() -> Result<Option<String>, Failure> {
    let unread = |error: io::Error| {
        Failure::error(Exit::DataError, format!("cannot read the password: {error}"))
    };
    let mut line = Vec::new();
    if io::stdin().is_terminal() {
        // First, so that nothing that is typed at the question is shown or lost.
        let keys = Keys::open().map_err(unread)?;
        write!(io::stderr(), "Password: ")?;
        let typed = typed(&keys, &mut line);
        drop(keys);
        writeln!(io::stderr())?;
        typed?;
    } else {
        io::stdin().lock().read_until(b'\n', &mut line).map_err(unread)?;
    }
    let password = String::from_utf8_lossy(&line);
    let password = password.trim_end_matches(['\r', '\n']);
    Ok(Some(password.to_owned()).filter(|password| !password.is_empty()))
}

/// Reads a line without showing it, with the keys that a terminal knows.
fn typed(keys: &Keys, line: &mut Vec<u8>) -> Result<(), Failure> {
    loop {
        match keys.wait(None, None)? {
            Event::Key('\r' | '\n' | '\u{4}') | Event::Closed => return Ok(()),
            Event::Key('\u{3}') => return Err(Failure::Signal(signal_hook::consts::SIGINT)),
            Event::Key('\u{1c}') => return Err(Failure::Signal(signal_hook::consts::SIGQUIT)),
            Event::Signal(signal) => return Err(Failure::Signal(signal)),
            Event::Key('\u{7f}' | '\u{8}') => {
                // A letter may have more than one byte.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            Event::Key('\u{15}') => line.clear(),
            Event::Key(byte) => line.extend(u8::try_from(byte)),
            Event::Time => {}
        }
    }
}

/// A bar for `steps` steps, or a sign of life when nobody knows how many; nothing at all when
/// standard error is no terminal.
pub fn progress(steps: Option<u64>, quiet: bool) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(steps, ProgressDrawTarget::hidden());
    }
    match steps {
        Some(steps) => ProgressBar::new(steps),
        None => {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(200));
            spinner
        }
    }
}
