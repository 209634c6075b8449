//! The operator's command line: rabbitmqctl's verbs, said to the broker over HTTP.
//!
//! | file | question |
//! |---|---|
//! | `options`, `verb` | what was given, and which verbs are there |
//! | `verbs` | what does each do; one file a group |
//! | `session` | what does a verb work with |
//! | `http` | how does a request reach the broker, and how does the answer come back |
//! | `output` | how are results printed |
//! | `help`, `completion` | what can people and shells ask for |
//! | `terminal` | what does somebody at a terminal see and type |
//! | `screen` | how is a terminal taken over and given back |
//! | `top` | what happens in the broker right now |
//! | `failure` | why did it not work, and how does a script learn that |
//!
//! One table of verbs is behind help, completion, dispatch and usage errors; to add a verb is to
//! add a row and a function. Sockets block: there is one connection and one request at a time.
//!
//! It stands on getopts (options), httparse (heads and chunk sizes of answers), serde_json (what
//! is in them), base64 (basic authentication), indicatif (how far long work has come), rustix (the
//! terminal's modes and size), signal-hook (a terminal is given back when a signal ends us) and
//! unicode-width (how much room a name takes).
//!
//! Called by another name, `rabbitmqctl` say, the program does the same.

// Only the broker's own modules get the time as an argument; here it limits how long we wait.
#![allow(clippy::disallowed_methods)]

mod completion;
mod failure;
mod help;
mod http;
mod options;
mod output;
mod screen;
mod session;
mod terminal;
mod top;
mod verb;
mod verbs;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use failure::{Exit, Failure};
use options::Given;
use session::Session;
use verb::Verb;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let called = arguments.next().unwrap_or_default();
    let program = Path::new(&called).file_name().map(|name| name.to_string_lossy().into_owned());
    let program = program.unwrap_or_else(|| NAME.to_owned());
    let arguments: Vec<String> = arguments.collect();
    let mut out = io::BufWriter::new(io::stdout());
    let result = run(&program, &arguments, &mut out);
    let result = result.and_then(|()| out.flush().map_err(Failure::from));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Signal(signal)) => {
            // A shell that waits for us sees why; the code is for when we are not ended.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
            ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
        }
        Err(failure) => {
            // What was printed before belongs before it; that this fails is said already.
            let _ = out.flush();
            complain(&program, &arguments, &failure);
            ExitCode::from(failure.exit() as u8)
        }
    }
}

fn run(program: &str, arguments: &[String], out: &mut dyn Write) -> Result<(), Failure> {
    let given = Given::parse(arguments).map_err(|failure| refused(arguments).unwrap_or(failure))?;
    if given.flag("version") {
        return Ok(writeln!(out, "{}", env!("CARGO_PKG_VERSION"))?);
    }
    let Some(name) = given.verb() else {
        if given.flag("help") {
            return Ok(out.write_all(help::general(program).as_bytes())?);
        }
        return Err(Failure::plain(Exit::Usage, help::general(program)));
    };
    let verb = Verb::named(name).ok_or_else(|| unknown(name))?;
    if given.flag("help") {
        return Ok(out.write_all(help::of(program, verb).as_bytes())?);
    }
    verb.check(&given)?;
    let terminal = io::stdout().is_terminal();
    let mut session = Session::new(&given, program, verb, out, terminal)?;
    (verb.run)(&mut session)
}

/// There is no such verb, but perhaps one that was meant.
fn unknown(name: &str) -> Failure {
    if let Some(failure) = refused(&[name.to_owned()]) {
        return failure;
    }
    let mut text = format!("\nCommand '{name}' not found. ");
    if let Some(nearest) = Verb::nearest(name) {
        text.push_str(&format!("\nDid you mean '{nearest}'? "));
    }
    text.push('\n');
    Failure::plain(Exit::Usage, text)
}

/// Why RabbitMQ's verb among these words is none of ours. Its options are not ours, either, so this
/// is asked before they are.
fn refused(words: &[String]) -> Option<Failure> {
    if words.iter().any(|word| Verb::named(word).is_some()) {
        return None;
    }
    let (name, reason) =
        words.iter().find_map(|word| Some((word, verbs::refused::reason(word)?)))?;
    let text = match reason.ends_with(']') {
        true => reason.to_owned(),
        false => format!("'{name}' does nothing here: {reason}."),
    };
    Some(Failure::error(Exit::Unavailable, text))
}

/// Says on standard error what went wrong; the one place that does.
fn complain(program: &str, arguments: &[String], failure: &Failure) {
    let text = match failure {
        Failure::Validation { text, .. } => {
            let verb = arguments.iter().find_map(|word| Verb::named(word));
            let usage =
                verb.map_or_else(|| help::usage(program), |verb| help::usage_of(program, verb));
            let line = arguments.join(" ");
            format!("Error (argument validation): {text}\nArguments given:\n\t{line}\n\n{usage}")
        }
        Failure::Refused { text, .. } => text.clone(),
        Failure::Signal(_) => return,
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return,
        Failure::Output(error) => format!("Error: cannot print the result: {error}"),
    };
    // Names in it may be somebody else's choice, and tell a terminal what to do.
    let tame = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() && io::stderr().is_terminal() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    let text: String = text.chars().map(tame).collect();
    // There is nowhere left to say that this did not work.
    let _ = writeln!(io::stderr(), "{text}");
}

/// What it is called unless somebody renames it.
const NAME: &str = "leveretctl";
