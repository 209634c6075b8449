//! The load generator: publishes to and consumes from any AMQP 0-9-1 broker, measures rates
//! and latencies, and checks that every message arrives once and in order.
//!
//! | file | question |
//! |---|---|
//! | `options`, `uri` | what does the user want, and where is the broker |
//! | `run` | what happens when |
//! | `worker`, `link` | who is ready, and how do bytes come and go |
//! | `publisher`, `consumer` | what is sent next, what has arrived; no sockets |
//! | `client`, `topology` | how does a connection begin, which queues are there |
//! | `stamp`, `verify`, `sequences`, `ranges` | did everything arrive, once and in order |
//! | `pace`, `tally`, `process` | time, counters, the broker's use of the machine |
//! | `progress`, `report`, `fault` | what the user sees |
//! | `subcommand` | what do the two next have in common |
//! | `relay` | what would the same bytes cost without a broker |
//! | `ping` | how fast could an answer be without a broker |
//!
//! One thread drives all connections by default, so that the broker has the other core; a
//! second one sleeps, wakes up now and then to look at the counters, and prints.

// A load generator measures time, that is what it is for; only the broker's own modules get
// the time as an argument.
#![allow(clippy::disallowed_methods)]

mod client;
mod consumer;
mod fault;
mod link;
mod options;
mod pace;
mod ping;
mod process;
mod progress;
mod publisher;
mod ranges;
mod relay;
mod report;
mod run;
mod sequences;
mod stamp;
mod subcommand;
mod tally;
mod topology;
mod uri;
mod verify;
mod wire;
mod worker;

use std::io::{self, Write};
use std::process::ExitCode;

use options::Command;
use subcommand::{Failure, Subcommand};

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    if let Some(subcommand) = Subcommand::of(&arguments) {
        return match subcommand.run(&arguments[1..]) {
            Ok(text) => print(&text, 0),
            Err(Failure::Usage(text)) => {
                complain(&format!("{text}\nTry 'leveret-bench {} --help'.", subcommand.name));
                ExitCode::from(EXIT_USAGE)
            }
            Err(failure @ Failure::Io(_)) => {
                complain(&format!("{}: {failure}", subcommand.name));
                ExitCode::from(report::EXIT_UNAVAILABLE)
            }
        };
    }
    let options = match options::parse(&arguments) {
        Ok(Command::Run(options)) => *options,
        Ok(Command::Print(text)) => return print(&text, 0),
        Err(text) => {
            complain(&format!("{text}\nTry 'leveret-bench --help'."));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let json = options.json;
    match run::run(options) {
        Ok(report) => {
            let text = if json { report.to_json() } else { report.to_string() };
            print(&text, report.exit_code())
        }
        Err(text) => {
            complain(&text);
            ExitCode::from(report::EXIT_UNAVAILABLE)
        }
    }
}

/// Prints results; they are what we are here for, so not being able to is an error.
fn print(text: &str, code: u8) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("cannot print the results: {error}"));
            ExitCode::from(EXIT_IO)
        }
    }
}

fn complain(text: &str) {
    // There is nowhere left to say that this did not work.
    let _ = writeln!(io::stderr(), "leveret-bench: {text}");
}

/// Wrong usage (sysexits' EX_USAGE).
const EXIT_USAGE: u8 = 64;

/// Standard output is gone (sysexits' EX_IOERR).
const EXIT_IO: u8 = 74;
