//! What did the command line say.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use getopts::{Fail, HasArg, Matches, Occur, Options as Syntax};
use log::LevelFilter;

use super::config::{AMQP_PORT, BIND, DATA_DIR, MANAGEMENT_PORT};
use super::error::UsageError;
use super::nearest::nearest;

/// What the process was started for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// To run a broker.
    Run(Options),
    /// To read the configuration with these options, and nothing else.
    Check(Options),
    /// To say what can be expected of the machine and of the disk that this directory lies on.
    SelfTest(PathBuf, Options),
    /// To print this help text.
    Help(String),
    /// To print this line with the version.
    Version(String),
}

impl Invocation {
    /// Understands `arguments`, the program's name not among them.
    ///
    /// # Errors
    /// What was not understood, in one line.
    pub fn parse<A: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Invocation, UsageError> {
        let matches = syntax().parse(arguments).map_err(usage_error)?;
        if matches.opt_present("help") {
            return Ok(Invocation::Help(help()));
        }
        if matches.opt_present("version") {
            return Ok(Invocation::Version(format!("leveret {}", env!("CARGO_PKG_VERSION"))));
        }
        if let Some(free) = matches.free.first() {
            return Err(UsageError(format!("unexpected argument '{free}'")));
        }
        let options = Options {
            config: matches.opt_str("config").map(PathBuf::from),
            data_dir: matches.opt_str("data-dir").map(PathBuf::from),
            bind: value(&matches, "bind", "an IP address or localhost", parse_ip)?,
            port: value(&matches, "port", PORT, |text| u16::from_str(text).ok())?,
            management_port: value(&matches, "management-port", PORT, |text| {
                u16::from_str(text).ok()
            })?,
            log_level: value(&matches, "log-level", LEVELS, parse_level)?,
            make_default_user: matches.opt_present("make-default-user"),
        };
        let is_check = matches.opt_present("check-config");
        Ok(match matches.opt_str("self-test") {
            Some(directory) => Invocation::SelfTest(PathBuf::from(directory), options),
            None if is_check => Invocation::Check(options),
            None => Invocation::Run(options),
        })
    }
}

/// The options that were given; `None` leaves the file's or the default value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--config FILE`; without it no file is read.
    pub config: Option<PathBuf>,
    /// `--data-dir DIR`
    pub data_dir: Option<PathBuf>,
    /// `--bind ADDRESS`
    pub bind: Option<IpAddr>,
    /// `--port N`: AMQP, 0 takes any free one.
    pub port: Option<u16>,
    /// `--management-port N`: the HTTP API, 0 is off.
    pub management_port: Option<u16>,
    /// `--log-level LEVEL`
    pub log_level: Option<LevelFilter>,
    /// `--make-default-user`
    pub make_default_user: bool,
}

/// Reads a log level by any of the names that RabbitMQ has for it.
pub(super) fn parse_level(text: &str) -> Option<LevelFilter> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Some(LevelFilter::Trace),
        "debug" => Some(LevelFilter::Debug),
        "info" | "notice" => Some(LevelFilter::Info),
        "warning" | "warn" => Some(LevelFilter::Warn),
        "error" | "critical" | "alert" | "emergency" => Some(LevelFilter::Error),
        "none" | "off" => Some(LevelFilter::Off),
        _ => None,
    }
}

/// Reads an address to listen on. Other host names are not looked up: what they mean may
/// change, and where a broker listens should not.
pub(super) fn parse_ip(text: &str) -> Option<IpAddr> {
    if text == "localhost" {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

fn value<T>(
    matches: &Matches,
    name: &str,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, UsageError> {
    let Some(text) = matches.opt_str(name) else {
        return Ok(None);
    };
    match parse(&text) {
        Some(value) => Ok(Some(value)),
        None => Err(UsageError(format!("--{name} wants {expected}, not '{text}'"))),
    }
}

fn usage_error(fail: Fail) -> UsageError {
    UsageError(match fail {
        Fail::UnrecognizedOption(name) => match nearest(&name, LONG_NAMES) {
            Some(known) => {
                format!("there is no option '{}'; did you mean --{known}?", dashed(&name))
            }
            None => format!("there is no option '{}'", dashed(&name)),
        },
        Fail::ArgumentMissing(name) => format!("{} wants a value", dashed(&name)),
        Fail::OptionMissing(name) => format!("{} is missing", dashed(&name)),
        Fail::OptionDuplicated(name) => format!("{} is given twice", dashed(&name)),
        Fail::UnexpectedArgument(name) => format!("{} takes no value", dashed(&name)),
    })
}

/// An option's name as it is written: one dash before one letter, two before a word.
fn dashed(name: &str) -> String {
    let dashes = if name.chars().count() == 1 { "-" } else { "--" };
    format!("{dashes}{name}")
}

fn syntax() -> Syntax {
    let mut syntax = Syntax::new();
    let with_values = ["config", "data-dir", "bind", "port", "management-port", "log-level"];
    for name in with_values.into_iter().chain(["self-test"]) {
        syntax.opt("", name, "", "", HasArg::Yes, Occur::Optional);
    }
    syntax.optflag("", "make-default-user", "");
    syntax.optflag("", "check-config", "");
    syntax.optflag("V", "version", "");
    syntax.optflag("h", "help", "");
    syntax
}

fn help() -> String {
    format!(
        "\
leveret, a durable AMQP 0-9-1 broker

Usage: leveret [OPTIONS]

Options, with their defaults in parentheses:
  --config FILE        configuration file with the names of rabbitmq.conf (none)
  --data-dir DIR       where messages are kept ({DATA_DIR})
  --bind ADDRESS       IP address to listen on ({BIND})
  --port N             AMQP port, 0 = any free one ({AMQP_PORT})
  --management-port N  port of the HTTP API, 0 = none ({MANAGEMENT_PORT})
  --log-level LEVEL    {LEVELS} (info)
  --make-default-user  make the configuration's default user and virtual host anew, for when
                       nobody can log in any more
  --check-config       say whether the configuration is good, and exit
  --self-test DIR      measure the disk below DIR, look at clock and limits, say what to expect
                       and what to change, and exit
  -V, --version        print the version and exit
  -h, --help           print this text and exit

Options win over the configuration file, the file over the environment variables
RABBITMQ_DEFAULT_USER, RABBITMQ_DEFAULT_PASS and RABBITMQ_DEFAULT_VHOST.

Examples:
  leveret
  leveret --data-dir /var/lib/leveret --bind 0.0.0.0
  leveret --config /etc/leveret/leveret.conf --log-level debug

The first listens on {BIND}:{AMQP_PORT}, and for the HTTP API on port {MANAGEMENT_PORT}; log in as
guest with the password guest.

Signals: TERM and INT stop the broker cleanly. HUP has the configuration read again.
Exit codes: 0 stopped, 1 --self-test has a warning, 64 usage, 69 data directory in use,
71 system, 73 data directory cannot be made, 74 storage, 78 configuration.
"
    )
}

const LONG_NAMES: [&str; 11] = [
    "config",
    "data-dir",
    "bind",
    "port",
    "management-port",
    "log-level",
    "make-default-user",
    "check-config",
    "self-test",
    "version",
    "help",
];

const PORT: &str = "a port number from 0 to 65535";
pub(super) const LEVELS: &str = "trace, debug, info, warning, error or none";

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Options {
        match Invocation::parse(arguments).expect("a valid command line") {
            Invocation::Run(options)
            | Invocation::Check(options)
            | Invocation::SelfTest(_, options) => options,
            Invocation::Help(text) | Invocation::Version(text) => panic!("not a run: {text}"),
        }
    }

    fn complaint(arguments: &[&str]) -> String {
        Invocation::parse(arguments).expect_err("an invalid command line").to_string()
    }

    #[test]
    fn no_options_leave_everything_open() {
        assert_eq!(run(&[]), Options::default());
    }

    #[test]
    fn every_option_is_read() {
        let options = run(&[
            "--config",
            "a.conf",
            "--data-dir=/data",
            "--bind",
            "::1",
            "--port",
            "0",
            "--management-port",
            "15673",
            "--log-level",
            "Warning",
            "--make-default-user",
        ]);
        let expected = Options {
            config: Some(PathBuf::from("a.conf")),
            data_dir: Some(PathBuf::from("/data")),
            bind: Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])),
            port: Some(0),
            management_port: Some(15673),
            log_level: Some(LevelFilter::Warn),
            make_default_user: true,
        };
        assert_eq!(options, expected);
        assert_eq!(run(&["--bind", "localhost"]).bind, Some(BIND));
    }

    #[test]
    fn an_unknown_option_is_one_line_with_the_nearest_name() {
        assert_eq!(
            complaint(&["--prot", "5672"]),
            "there is no option '--prot'; did you mean --port? (see leveret --help)"
        );
        assert!(complaint(&["--datadir", "x"]).contains("did you mean --data-dir?"));
        assert!(complaint(&["-x"]).starts_with("there is no option '-x'"));
    }

    #[test]
    fn a_bad_value_says_what_was_wanted() {
        assert_eq!(
            complaint(&["--port", "65536"]),
            "--port wants a port number from 0 to 65535, not '65536' (see leveret --help)"
        );
        assert!(complaint(&["--bind", "example.org"]).contains("an IP address or localhost"));
        assert!(complaint(&["--log-level", "loud"]).contains("trace, debug, info"));
        assert!(complaint(&["--port"]).starts_with("--port wants a value"));
        assert!(complaint(&["--port", "1", "--port", "2"]).starts_with("--port is given twice"));
        assert!(complaint(&["start"]).starts_with("unexpected argument 'start'"));
        assert!(complaint(&["--help=yes"]).starts_with("--help takes no value"));
    }

    #[test]
    fn the_help_names_every_option_and_its_default() {
        let Ok(Invocation::Help(text)) = Invocation::parse(["--help"]) else {
            panic!("no help");
        };
        for name in LONG_NAMES {
            assert!(text.contains(&format!("--{name}")), "{name}");
        }
        for default in ["(127.0.0.1)", "(5672)", "(15672)", "(./leveret-data)", "(info)"] {
            assert!(text.contains(default), "{default}");
        }
        assert!(text.lines().all(|line| line.len() <= 100));
        assert!(text.contains("Examples:"));
    }

    #[test]
    fn the_documentation_has_every_option() {
        let text = include_str!("../../docs/configuration.md");
        for name in LONG_NAMES {
            let row = |line: &str| line.starts_with("| `-") && line.contains(&format!("`--{name}"));
            assert!(text.lines().any(row), "{name}");
        }
    }

    #[test]
    fn the_version_is_the_packages() {
        let expected = format!("leveret {}", env!("CARGO_PKG_VERSION"));
        assert_eq!(Invocation::parse(["-V"]), Ok(Invocation::Version(expected)));
    }
}
