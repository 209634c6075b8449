//! What was given on the command line? Options, each known once, and arguments.

use std::time::Duration;

use getopts::{Fail, Options as Getopts};

use crate::failure::Failure;
use crate::output::Formatter;

/// One option.
pub struct Opt {
    /// The letter; may be empty.
    pub short: &'static str,
    /// The name.
    pub long: &'static str,
    /// What follows it.
    pub takes: Takes,
    /// What it does.
    pub summary: &'static str,
    /// Whether every verb takes it.
    pub general: bool,
}

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A text, called this in help.
    Text(&'static str),
    /// A number, called this in help.
    Number(&'static str),
}

/// A command line.
#[derive(Debug)]
pub struct Given {
    /// The arguments, the verb first.
    words: Vec<String>,
    /// The options by name, with what followed the last one of that name.
    options: Vec<(&'static str, Option<String>)>,
}

impl Given {
    /// Takes `arguments`, the program's name not among them, apart.
    ///
    /// # Errors
    /// An option is unknown, or lacks its value.
    pub fn parse(arguments: &[String]) -> Result<Given, Failure> {
        let mut known = Getopts::new();
        for option in OPTIONS {
            match option.takes {
                Takes::Nothing => known.optflagmulti(option.short, option.long, ""),
                Takes::Text(hint) | Takes::Number(hint) => {
                    known.optmulti(option.short, option.long, "", hint)
                }
            };
        }
        // What rabbitmqctl's help calls its help; getopts wants a letter.
        let arguments = arguments.iter().map(|word| if word == "-?" { "--help" } else { word });
        let matches = known.parse(arguments).map_err(|fail| match fail {
            Fail::ArgumentMissing(name)
            | Fail::UnrecognizedOption(name)
            | Fail::OptionMissing(name)
            | Fail::OptionDuplicated(name)
            | Fail::UnexpectedArgument(name) => invalid(&name, ""),
        })?;
        let present = OPTIONS.iter().filter(|option| matches.opt_present(option.long));
        let options =
            present.map(|option| (option.long, matches.opt_strs(option.long).pop())).collect();
        let given = Given { words: matches.free, options };
        for option in OPTIONS.iter().filter(|option| matches!(option.takes, Takes::Number(_))) {
            if let Some(text) = given.text(option.long)
                && text.parse::<i64>().is_err()
            {
                return Err(invalid(option.long, text));
            }
        }
        given.formatter()?;
        Ok(given)
    }

    /// The same options, about another virtual host if one is named; no arguments.
    pub fn about(&self, vhost: Option<&str>) -> Given {
        let mut options = self.options.clone();
        if let Some(vhost) = vhost {
            options.retain(|(name, _)| *name != "vhost");
            options.push(("vhost", Some(vhost.to_owned())));
        }
        Given { words: Vec::new(), options }
    }

    /// The verb; `None` when there is none.
    pub fn verb(&self) -> Option<&str> {
        self.words.first().map(String::as_str)
    }

    /// What follows the verb.
    pub fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// One of the arguments; empty when it was not given, which counting has ruled out for those
    /// that a verb needs.
    pub fn argument(&self, index: usize) -> &str {
        self.arguments().get(index).map_or("", String::as_str)
    }

    /// Whether this flag was given.
    pub fn flag(&self, long: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == long)
    }

    /// What was given for this option; the last one counts.
    pub fn text(&self, long: &str) -> Option<&str> {
        let (_, value) = self.options.iter().find(|(name, _)| *name == long)?;
        value.as_deref()
    }

    /// The number given for this option.
    pub fn number(&self, long: &str) -> Option<i64> {
        self.text(long).and_then(|text| text.parse().ok())
    }

    /// The virtual host that the verb is about.
    pub fn vhost(&self) -> &str {
        self.text("vhost").unwrap_or("/")
    }

    /// Whether only results are printed.
    pub fn quiet(&self) -> bool {
        self.flag("quiet") || self.flag("silent")
    }

    /// Whether tables have a first line with names.
    pub fn headers(&self) -> bool {
        !self.flag("silent") && !self.flag("no-table-headers")
    }

    /// How results are printed.
    ///
    /// # Errors
    /// There is no such way.
    pub fn formatter(&self) -> Result<Formatter, Failure> {
        match self.text("formatter") {
            None | Some("table") => Ok(Formatter::Table),
            Some("pretty_table") => Ok(Formatter::PrettyTable),
            Some("json") => Ok(Formatter::Json),
            Some("csv") => Ok(Formatter::Csv),
            Some("erlang") => Ok(Formatter::Erlang),
            Some(other) => Err(invalid("formatter", other)),
        }
    }

    /// How long it may take; `usual` when nobody says.
    pub fn limit(&self, usual: u64) -> Duration {
        let seconds = self.number("timeout").and_then(|number| u64::try_from(number).ok());
        Duration::from_secs(seconds.unwrap_or(usual))
    }

    /// The options that are not among `allowed` and not general.
    ///
    /// # Errors
    /// There is one.
    pub fn only(&self, allowed: &[&str]) -> Result<(), Failure> {
        let strange = |option: &&Opt| !option.general && !allowed.contains(&option.long);
        let mut strange = OPTIONS.iter().filter(strange);
        match strange.find(|option| self.flag(option.long)) {
            Some(option) => Err(invalid(option.long, self.text(option.long).unwrap_or(""))),
            None => Ok(()),
        }
    }
}

/// The option of this name.
pub fn option(long: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|option| option.long == long)
}

fn invalid(name: &str, value: &str) -> Failure {
    let dashes = if name.chars().count() == 1 { "-" } else { "--" };
    Failure::usage(format!("Invalid options for this command:\n{dashes}{name} : {value}"))
}

const fn general(
    short: &'static str,
    long: &'static str,
    takes: Takes,
    summary: &'static str,
) -> Opt {
    Opt { short, long, takes, summary, general: true }
}

const fn special(
    short: &'static str,
    long: &'static str,
    takes: Takes,
    summary: &'static str,
) -> Opt {
    Opt { short, long, takes, summary, general: false }
}

/// Every option that some verb takes; a name means the same with each.
#[rustfmt::skip]
pub const OPTIONS: &[Opt] = &[
    general("h", "help", Takes::Nothing, "displays command help"),
    general("", "data-dir", Takes::Text("<dir>"), "the broker's data directory (./leveret-data)"),
    general("", "uri", Takes::Text("<uri>"), "http(s)://user:password@host:port, not the socket"),
    general("", "cacert", Takes::Text("<file>"), "for https, the CAs to trust (the system's)"),
    general("", "insecure", Takes::Nothing, "for https, trust whoever answers: no security at all"),
    general("n", "node", Takes::Text("<node>"), "do nothing unless the broker is this node"),
    general("l", "longnames", Takes::Nothing, "accepted; names are what they are"),
    general("t", "timeout", Takes::Number("<n>"), "operation timeout in seconds"),
    general("q", "quiet", Takes::Nothing, "suppress informational messages"),
    general("s", "silent", Takes::Nothing, "suppress informational messages and table header row"),
    general("p", "vhost", Takes::Text("<vhost>"), "virtual host, where a command is about one (/)"),
    general("", "formatter", Takes::Text("<name>"), "table, pretty_table, json, csv, erlang"),
    general("", "version", Takes::Nothing, "displays the version"),
    special("", "no-table-headers", Takes::Nothing, "no first line with the columns' names"),
    special("", "online", Takes::Nothing, "lists only queues that are available"),
    special("", "offline", Takes::Nothing, "lists only queues that are not available"),
    special("", "local", Takes::Nothing, "lists queues of the one node, which are all"),
    special("", "description", Takes::Text("<description>"), "what it is for"),
    special("", "tags", Takes::Text("<tags>"), "tags, separated by commas"),
    special("", "default-queue-type", Takes::Text("<type>"), "quorum, classic or stream"),
    special("", "priority", Takes::Number("<priority>"), "priority among policies that match (0)"),
    special("", "apply-to", Takes::Text("<apply-to>"), "queues, exchanges or all (all)"),
    special("e", "if-empty", Takes::Nothing, "only if the queue is empty"),
    special("u", "if-unused", Takes::Nothing, "only if it is unused"),
    special("", "global", Takes::Nothing, "not only one virtual host or user: all"),
    special("", "user", Takes::Text("<username>"), "the user (guest)"),
    special("", "limit", Takes::Number("<limit>"), "at most so many"),
    special("", "per-connection-delay", Takes::Number("<ms>"), "time between connections"),
    special("", "unit", Takes::Text("<unit>"), "bytes, mb or gb; days, weeks, months, years"),
    special("", "pid", Takes::Text("<pid>"), "the broker's process"),
    special("", "within", Takes::Number("<n>"), "how far to look ahead (4)"),
    special("", "interval", Takes::Number("<s>"), "seconds from one look to the next (2)"),
    special("", "count", Takes::Number("<n>"), "so many: messages, or frames before the end"),
    special("", "sort", Takes::Text("<key>"), "what queues are sorted by, as a letter or a name"),
    special("", "ids", Takes::Text("<ids>"), "ids of messages, separated by commas"),
    special("", "all", Takes::Nothing, "all of them"),
    special("", "from", Takes::Number("<position>"), "the first position (0)"),
    special("", "last", Takes::Nothing, "those at the end"),
    special("", "contains", Takes::Text("<text>"), "only with this text in the body"),
    special("", "header", Takes::Text("<name[:value]>"), "only with this header"),
    special("", "routing-key", Takes::Text("<key>"), "the routing key"),
    special("", "to-queue", Takes::Text("<queue>"), "to this queue"),
    special("", "to-exchange", Takes::Text("<exchange>"), "to what this exchange leads to"),
    special("", "to-origin", Takes::Nothing, "dead letters: to where they came from"),
    special("", "consumer-tag", Takes::Text("<tag>"), "the consumer's tag"),
    special("", "channel", Takes::Text("<channel>"), "its channel, as list_channels names it"),
    special("", "format", Takes::Text("<format>"), "json, which is the only one"),
];
