//! What does the user see while it runs? A line each second, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::tally::Counts;

/// Where progress goes.
#[derive(Debug)]
pub enum Progress {
    /// Nowhere.
    Silent,
    /// Lines, for files and pipes.
    Lines,
    /// One line that changes, on a terminal.
    Spinner(ProgressBar),
}

impl Progress {
    /// Whatever suits standard error.
    pub fn new(quiet: bool) -> Progress {
        if quiet {
            return Progress::Silent;
        }
        if !io::stderr().is_terminal() {
            return Progress::Lines;
        }
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(200));
        Progress::Spinner(spinner)
    }

    /// A remark that stays.
    pub fn note(&self, text: &str) {
        match self {
            Progress::Silent => {}
            Progress::Lines => line(text),
            Progress::Spinner(spinner) => spinner.println(text),
        }
    }

    /// The state of things, `elapsed_ns` after the one before.
    pub fn second(&self, phase: &str, second: u64, before: &Counts, now: &Counts, elapsed_ns: u64) {
        let per_second = |new: u64, old: u64| {
            let difference = u128::from(new.saturating_sub(old)) * 1_000_000_000;
            grouped(u64::try_from(difference / u128::from(elapsed_ns.max(1))).unwrap_or(u64::MAX))
        };
        let mut text = format!(
            "{second:>4} s  {phase:<9} in {:>11}/s  out {:>11}/s",
            per_second(now.published, before.published),
            per_second(now.received, before.received),
        );
        if now.confirmed > 0 {
            let confirmed = per_second(now.confirmed, before.confirmed);
            text.push_str(&format!("  confirmed {confirmed:>11}/s"));
        }
        if now.down > 0 {
            text.push_str(&format!("  {} connections down", now.down));
        }
        match self {
            Progress::Silent => {}
            Progress::Lines => line(&text),
            Progress::Spinner(spinner) => spinner.set_message(text),
        }
    }

    /// Clears the changing line.
    pub fn end(&self) {
        if let Progress::Spinner(spinner) = self {
            spinner.finish_and_clear();
        }
    }
}

/// A number with a comma after every three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn line(text: &str) {
    // Progress that nobody can read is no reason to stop measuring.
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
