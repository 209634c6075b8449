//! What does somebody at a terminal see and type? Passwords, and how far long work has come.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Reads the password, the first line of standard input; at a terminal it is asked for and not
/// shown. `None` when there is none.
///
/// # Errors
/// The input cannot be read.
pub fn password() -> io::Result<Option<String>> {
    let input = io::stdin();
    let mut line = String::new();
    if input.is_terminal() {
        write!(io::stderr(), "Password: ")?;
        let shown = tcgetattr(&input)?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Flush, &hidden)?;
        let read = input.lock().read_line(&mut line);
        tcsetattr(&input, OptionalActions::Flush, &shown)?;
        writeln!(io::stderr())?;
        read?;
    } else {
        input.lock().read_line(&mut line)?;
    }
    let password = line.trim_end_matches(['\r', '\n']);
    Ok(Some(password.to_owned()).filter(|password| !password.is_empty()))
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
