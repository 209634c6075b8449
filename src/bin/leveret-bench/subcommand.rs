//! What do `relay` and `ping` have in common? Two ends, each with a few numbers, and a help text.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpStream};

use crate::{ping, relay};

/// A program beside the load generator proper: one end answers, the other one sends.
pub struct Subcommand {
    /// What it is called by.
    pub name: &'static str,
    /// What `--help` prints.
    pub help: &'static str,
    /// The end that answers; it prints its port first.
    pub serve: fn(&[String]) -> Result<String, Failure>,
    /// The end that sends.
    pub load: fn(&[String]) -> Result<String, Failure>,
}

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// The arguments are wrong: a sentence for the user.
    Usage(String),
    /// A socket or the file failed.
    Io(io::Error),
}

impl Subcommand {
    /// The one that `arguments` begin with, if they begin with one.
    pub fn of(arguments: &[String]) -> Option<Subcommand> {
        let first = arguments.first()?;
        [relay::SUBCOMMAND, ping::SUBCOMMAND].into_iter().find(|known| known.name == first)
    }

    /// Does what `arguments`, its name not among them, ask for; the text to print.
    ///
    /// # Errors
    /// The arguments are wrong, or a socket or the file failed.
    pub fn run(&self, arguments: &[String]) -> Result<String, Failure> {
        if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
            return Ok(self.help.to_owned());
        }
        match arguments.split_first() {
            Some((end, rest)) if end == "serve" => (self.serve)(rest),
            Some((end, rest)) if end == "load" => (self.load)(rest),
            Some((other, _)) => Err(Failure::Usage(format!("'{other}' is neither serve nor load"))),
            None => Err(Failure::Usage("say which end this is: serve or load".to_owned())),
        }
    }
}

/// Reads one number, 1 or more, for each of `names`; what is left of the arguments.
///
/// # Errors
/// One is missing or is no such number.
pub fn numbers<'a, const N: usize>(
    arguments: &'a [String],
    names: [&str; N],
) -> Result<([usize; N], &'a [String]), Failure> {
    let mut numbers = [0; N];
    for (n, name) in names.into_iter().enumerate() {
        let text = arguments.get(n).ok_or_else(|| {
            Failure::Usage(format!("{name} is missing; give {}", names.join(" ")))
        })?;
        numbers[n] = match text.parse() {
            Ok(number) if number > 0 => number,
            _ => return Err(Failure::Usage(format!("{name} is a number from 1, not '{text}'"))),
        };
    }
    Ok((numbers, &arguments[N..]))
}

/// The name of a file, where one is given at the end.
///
/// # Errors
/// More is given than that.
pub fn file(arguments: &[String]) -> Result<Option<&str>, Failure> {
    match arguments {
        [] => Ok(None),
        [path] => Ok(Some(path)),
        [_, extra, ..] => Err(superfluous(extra)),
    }
}

/// Checks that nothing is left.
///
/// # Errors
/// Something is.
pub fn nothing(arguments: &[String]) -> Result<(), Failure> {
    match arguments {
        [] => Ok(()),
        [extra, ..] => Err(superfluous(extra)),
    }
}

/// The port among the numbers.
///
/// # Errors
/// It is none.
pub fn port(number: usize) -> Result<u16, Failure> {
    u16::try_from(number)
        .map_err(|_| Failure::Usage(format!("PORT is at most 65535, not {number}")))
}

/// A connection to the other end.
///
/// # Errors
/// Nobody listens at `port`.
pub fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        let text = format!("cannot connect to port {port}: {error}; is the other end running?");
        io::Error::new(error.kind(), text)
    })
}

fn superfluous(extra: &str) -> Failure {
    Failure::Usage(format!("'{extra}' is one argument too many"))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) => out.write_str(text),
            Failure::Io(error) => write!(out, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(line: &str) -> Result<String, Failure> {
        let arguments: Vec<String> = line.split_whitespace().map(String::from).collect();
        Subcommand::of(&arguments).unwrap().run(&arguments[1..])
    }

    #[test]
    fn each_has_a_help_text_that_names_both_ends() {
        for name in ["relay", "ping"] {
            for line in ["--help", "-h", "serve --help", "load 1 2 -h"] {
                let text = outcome(&format!("{name} {line}")).unwrap();
                for end in ["serve IN OUT", "load PORT IN"] {
                    assert!(text.contains(&format!("leveret-bench {name} {end}")), "{text}");
                }
                assert!(text.lines().all(|line| line.len() <= 100), "{text}");
            }
        }
    }

    #[test]
    fn other_arguments_are_the_load_generators() {
        for line in ["", "--relay", "relays"] {
            let arguments: Vec<String> = line.split_whitespace().map(String::from).collect();
            assert!(Subcommand::of(&arguments).is_none(), "{line}");
        }
    }

    #[test]
    fn wrong_arguments_are_refused_with_a_reason() {
        for (line, why) in [
            ("relay", "serve or load"),
            ("ping pong", "'pong' is neither serve nor load"),
            ("relay serve 1 2", "COPIES is missing; give IN OUT COPIES"),
            ("relay serve 0 1 1", "IN is a number from 1, not '0'"),
            ("ping serve 1 x 1", "OUT is a number from 1, not 'x'"),
            ("ping serve 1 1 1 file more", "'more' is one argument too many"),
            ("relay load 65536 1 1 1", "PORT is at most 65535"),
            ("ping load 1 1 1 1 1 1", "'1' is one argument too many"),
        ] {
            match outcome(line) {
                Err(Failure::Usage(text)) => assert!(text.contains(why), "'{line}': {text}"),
                other => panic!("'{line}': {other:?}"),
            }
        }
    }
}
