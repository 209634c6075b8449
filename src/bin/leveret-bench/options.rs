//! What does the user want measured? The command line, checked as a whole.

use getopts::{Matches, Options as Getopts};
use leveret::tls::Trust;

use crate::client::Server;
use crate::uri::Uri;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Run the load.
    Run(Box<Options>),
    /// Print this text (help or version) and be done.
    Print(String),
}

/// A load to run; every combination that [`parse`] lets through makes sense.
#[derive(Clone, Debug)]
pub struct Options {
    /// The broker.
    pub server: Server,
    /// Connections that publish, 0 with `--drain-only`.
    pub publishers: u16,
    /// Connections that consume, 0 with `--publish-only`.
    pub consumers: u16,
    /// Bytes of each body.
    pub size_bytes: usize,
    /// Delivery mode 2.
    pub persistent: bool,
    /// How publishers learn that messages are safe.
    pub safety: Safety,
    /// How consumers get their messages.
    pub intake: Intake,
    /// Messages per second over all publishers.
    pub rate: Option<u64>,
    /// How many queues there are.
    pub queues: u16,
    /// Every message goes to every queue, through a fanout exchange.
    pub fanout: bool,
    /// When publishing ends.
    pub limit: Limit,
    /// Seconds before the measured part.
    pub warmup_s: u64,
    /// First part of the names of queues and exchange.
    pub queue_prefix: String,
    /// Queues and exchange are declared durable.
    pub durable: bool,
    /// Leave queues and exchange behind.
    pub keep: bool,
    /// Connect again when a connection is lost.
    pub reconnect: bool,
    /// Print one JSON object instead of text.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
    /// Threads that share the connections.
    pub threads: usize,
    /// Poll without ever sleeping.
    pub spin: bool,
    /// Process of the broker, to be watched.
    pub broker_pid: Option<u32>,
    /// Seconds without any progress after which a run gives up.
    pub idle_s: u64,
}

/// How publishers learn that messages are safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Not at all.
    None,
    /// Publisher confirms, with so many messages unconfirmed at most.
    Confirm(u32),
    /// Transactions of so many messages.
    Tx(u32),
}

/// How consumers get their messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intake {
    /// basic.get instead of basic.consume.
    pub get: bool,
    /// Acknowledge every so many deliveries; `None` is no_ack.
    pub ack_every: Option<u32>,
    /// Prefetch count, 0 for unlimited.
    pub prefetch: u16,
}

/// When publishing ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After so many seconds (without the warmup).
    Seconds(u64),
    /// After so many messages over all publishers.
    Messages(u64),
    /// Never; the run ends when the queues are empty (`--drain-only`).
    Drained,
}

/// Takes the arguments (without the program's name) apart.
///
/// # Errors
/// A sentence for the user.
pub fn parse(arguments: &[String]) -> Result<Command, String> {
    let known = known_options();
    let matches = known.parse(arguments).map_err(|error| error.to_string())?;
    if matches.opt_present("help") {
        return Ok(Command::Print(help(&known)));
    }
    if matches.opt_present("version") {
        return Ok(Command::Print(format!("leveret-bench {}\n", env!("CARGO_PKG_VERSION"))));
    }
    if let Some(extra) = matches.free.first() {
        return Err(format!("'{extra}' is not an option"));
    }
    let options = read(&matches)?;
    check(&matches, &options)?;
    Ok(Command::Run(Box::new(options)))
}

fn read(matches: &Matches) -> Result<Options, String> {
    let given = Given(matches);
    let persistent = given.flag("persistent");
    let fanout: Option<u16> = given.number("fanout", 1)?;
    let drain = given.flag("drain-only");
    let publishers = given.number("publishers", 0)?.unwrap_or(u16::from(!drain));
    let default_consumers = if given.flag("publish-only") { 0 } else { fanout.unwrap_or(1) };
    let safety = match (given.number("confirm", 1)?, given.number("tx", 1)?) {
        (None, None) => Safety::None,
        (Some(window), None) => Safety::Confirm(window),
        (None, Some(every)) => Safety::Tx(every),
        (Some(_), Some(_)) => return Err(conflict("confirm", "tx")),
    };
    let ack_every = given.number("ack-every", 1)?;
    let intake = Intake {
        get: given.flag("get"),
        ack_every: if given.flag("auto-ack") { None } else { Some(ack_every.unwrap_or(1)) },
        prefetch: given.number("prefetch", 0)?.unwrap_or(1000),
    };
    let limit = match (given.number("seconds", 1)?, given.number("messages", 1)?) {
        (Some(_), Some(_)) => return Err(conflict("seconds", "messages")),
        (Some(seconds), None) => Limit::Seconds(seconds),
        (None, Some(messages)) => Limit::Messages(messages),
        (None, None) if publishers == 0 => Limit::Drained,
        (None, None) => Limit::Seconds(10),
    };
    let uri = matches.opt_str("uri").unwrap_or_else(|| String::from("amqp://127.0.0.1"));
    Ok(Options {
        server: server(matches, &uri)?,
        publishers,
        consumers: given.number("consumers", 0)?.unwrap_or(default_consumers),
        size_bytes: given.number("size", 0)?.unwrap_or(128),
        persistent,
        safety,
        intake,
        rate: given.number("rate", 1)?,
        queues: given.number("queues", 1)?.or(fanout).unwrap_or(1),
        fanout: fanout.is_some(),
        limit,
        warmup_s: given.number("warmup", 0)?.unwrap_or(0),
        queue_prefix: matches
            .opt_str("queue-prefix")
            .unwrap_or_else(|| String::from("leveret-bench")),
        durable: given.flag("durable") || (persistent && !given.flag("transient")),
        keep: given.flag("keep"),
        reconnect: given.flag("reconnect"),
        json: given.flag("json"),
        quiet: given.flag("quiet"),
        threads: given.number("threads", 1)?.unwrap_or(1),
        spin: given.flag("spin"),
        broker_pid: given.number("broker-pid", 1)?,
        idle_s: given.number("idle-timeout", 1)?.unwrap_or(10),
    })
}

/// Where the broker is, and whom to take for it.
fn server(matches: &Matches, uri: &str) -> Result<Server, String> {
    let uri = Uri::parse(uri)?;
    let authorities = matches.opt_str("cacert");
    let trust = Trust::chosen(authorities.as_deref(), matches.opt_present("insecure"));
    let config = || trust.config().map_err(|error| error.to_string());
    let tls = if uri.is_tls { Some(config()?) } else { None };
    Ok(Server { uri, tls })
}

/// Refuses combinations that would mean nothing, or something else than they say.
fn check(matches: &Matches, options: &Options) -> Result<(), String> {
    let both = |one: &str, two: &str| matches.opt_present(one) && matches.opt_present(two);
    for (one, two) in EXCLUSIVE {
        if both(one, two) {
            return Err(conflict(one, two));
        }
    }
    let wrong = |text: &str| Err(String::from(text));
    if matches.opt_present("drain-only") && options.publishers > 0 {
        return wrong("--drain-only means no publishers");
    }
    if matches.opt_present("publish-only") && options.consumers > 0 {
        return wrong("--publish-only means no consumers");
    }
    if options.publishers == 0 && options.consumers == 0 {
        return wrong("with neither publishers nor consumers there is nothing to do");
    }
    if options.publishers == 0
        && let Some(pointless) = PUBLISHERS_ONLY.iter().find(|name| matches.opt_present(name))
    {
        return Err(format!("--{pointless} needs publishers"));
    }
    if options.consumers > 0 && options.consumers < options.queues && options.intake.get {
        return wrong("--get needs a consumer for every queue");
    }
    let Intake { get, ack_every, prefetch } = options.intake;
    if let Some(every) = ack_every.filter(|_| !get && prefetch > 0)
        && every > u32::from(prefetch)
    {
        return Err(format!(
            "--ack-every {every} is more than --prefetch {prefetch}: \
                 consumers would wait for ever"
        ));
    }
    if options.warmup_s > 0 && !matches!(options.limit, Limit::Seconds(_)) {
        return wrong("--warmup goes with --seconds");
    }
    if options.reconnect && options.publishers > 0 && options.safety == Safety::None {
        return wrong(
            "--reconnect needs --confirm or --tx: without them nobody knows which messages \
             a lost connection took along",
        );
    }
    if options.size_bytes > SIZE_MAX_BYTES {
        return Err(format!("--size is at most {SIZE_MAX_BYTES}"));
    }
    if options.queue_prefix.len() > PREFIX_MAX_BYTES {
        return Err(format!("--queue-prefix has at most {PREFIX_MAX_BYTES} bytes"));
    }
    if options.threads > THREADS_MAX {
        return Err(format!("--threads is at most {THREADS_MAX}"));
    }
    Ok(())
}

fn conflict(one: &str, two: &str) -> String {
    format!("--{one} and --{two} exclude each other")
}

/// The options as given.
struct Given<'a>(&'a Matches);

impl Given<'_> {
    fn flag(&self, name: &str) -> bool {
        self.0.opt_present(name)
    }

    /// The number given for `name`; digits may be grouped by `_`.
    fn number<N>(&self, name: &str, least: N) -> Result<Option<N>, String>
    where
        N: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.0.opt_str(name) else {
            return Ok(None);
        };
        match text.replace('_', "").parse::<N>() {
            Ok(number) if number >= least => Ok(Some(number)),
            Ok(_) => Err(format!("--{name} must be at least {least}")),
            Err(_) if text.parse::<i128>().is_ok() => {
                Err(format!("--{name} cannot be as much or as little as {text}"))
            }
            Err(_) => Err(format!("--{name} takes a whole number, not '{text}'")),
        }
    }
}

fn known_options() -> Getopts {
    let mut known = Getopts::new();
    for &(short, long, hint, description) in &KNOWN {
        match hint {
            "" => known.optflag(short, long, description),
            _ => known.optopt(short, long, description, hint),
        };
    }
    known
}

fn help(known: &Getopts) -> String {
    format!("{}{HELP_END}", known.usage(HELP_BEGIN))
}

/// Every option: short and long name, what it takes (nothing for a flag), what it does.
#[rustfmt::skip]
const KNOWN: [(&str, &str, &str, &str); 34] = [
    ("u", "uri", "URI", "the broker (amqp://guest:guest@127.0.0.1:5672/%2F)"),
    ("", "cacert", "FILE", "for amqps://, the CAs that are trusted, in PEM (the system's)"),
    ("", "insecure", "", "for amqps://, trust anybody who answers; for tests alone"),
    ("p", "publishers", "N", "publishing connections (1)"),
    ("c", "consumers", "N", "consuming connections (1; with --fanout one per queue)"),
    ("s", "size", "BYTES", "bytes of a message (128); below 16 nothing is verified"),
    ("", "persistent", "", "delivery mode 2"),
    ("", "confirm", "WINDOW", "publisher confirms, at most WINDOW unconfirmed"),
    ("", "tx", "EVERY", "publish in transactions of EVERY messages"),
    ("", "prefetch", "N", "unacked messages per consumer, 0 = unlimited (1000)"),
    ("", "ack-every", "N", "acknowledge every N messages, with multiple (1)"),
    ("", "auto-ack", "", "consume without acknowledging"),
    ("", "get", "", "basic.get, one message at a time, instead of basic.consume"),
    ("r", "rate", "N", "messages per second over all publishers (as fast as it goes)"),
    ("", "queues", "N", "N queues; publishers and consumers share them out (1)"),
    ("", "fanout", "N", "one fanout exchange to N queues with a consumer each"),
    ("", "seconds", "N", "publish for N seconds (10)"),
    ("", "messages", "N", "publish N messages over all publishers"),
    ("", "warmup", "S", "publish for S seconds before the measured part (0)"),
    ("", "queue-prefix", "TEXT", "begin the queues' names with this (leveret-bench)"),
    ("", "durable", "", "durable queues (default with --persistent)"),
    ("", "transient", "", "queues that are not durable (default otherwise)"),
    ("", "keep", "", "do not delete the queues at the end"),
    ("", "publish-only", "", "no consumers: fill the queues (see --keep)"),
    ("", "drain-only", "", "no publishers: empty the queues of an earlier run"),
    ("", "reconnect", "", "survive lost connections, send unconfirmed messages again"),
    ("", "idle-timeout", "S", "give up after S seconds without progress (10)"),
    ("", "broker-pid", "PID", "report CPU time, bytes written and memory of this process"),
    ("", "threads", "N", "threads that share the connections (1)"),
    ("", "spin", "", "never sleep: the finest latencies, a whole core"),
    ("", "json", "", "print the results as one JSON object"),
    ("q", "quiet", "", "no progress"),
    ("", "version", "", "print the version"),
    ("h", "help", "", "print this help"),
];

const HELP_BEGIN: &str = "\
leveret-bench puts load on an AMQP 0-9-1 broker, any broker, and checks what comes back:
every message must arrive once, in order.

Usage: leveret-bench [OPTIONS]
       leveret-bench relay serve|load ...    the same bytes without a broker
       leveret-bench ping serve|load ...     the fastest answer without a broker

'leveret-bench relay --help' and 'leveret-bench ping --help' say more.";

const HELP_END: &str = "
Progress goes to standard error each second, the results to standard output. Latencies
count from the moment a message was meant to be sent: with --rate that is its place in the
schedule, whether or not the broker kept up. With --reconnect a message may come twice if it
is marked as redelivered or was sent again unconfirmed; transient messages do not survive a
broker's restart and then count as lost. Queues left over from an earlier run are
emptied first, except with --publish-only and --drain-only.

Examples:
  As fast as it goes, one publisher, one consumer, nothing kept:
    leveret-bench --auto-ack --seconds 10
  Durable work queue, 1000 unconfirmed messages at most, acknowledged by the hundred:
    leveret-bench --persistent --confirm 1000 --prefetch 500 --ack-every 100
  Latency at a load that the broker can bear:
    leveret-bench --persistent --confirm 1000 --rate 5000 --seconds 30 --warmup 5
  A backlog of a million messages, and how fast it drains:
    leveret-bench --publish-only --keep --messages 1_000_000 --persistent --confirm 5000
    leveret-bench --drain-only --ack-every 100
  Restart the broker meanwhile; nothing confirmed may be missing:
    leveret-bench --persistent --confirm 500 --rate 2000 --seconds 60 --reconnect
  What a message costs the broker in CPU time:
    leveret-bench --confirm 1000 --broker-pid $(pidof leveret) --json

Exit status: 0 all is well, 1 messages were lost, duplicated without being marked as
redelivered, or reordered, 64 wrong usage, 69 the broker could not be reached, closed a
connection or stopped answering.
";

/// Pairs that contradict each other.
const EXCLUSIVE: [(&str, &str); 9] = [
    ("cacert", "insecure"),
    ("durable", "transient"),
    ("drain-only", "publish-only"),
    ("queues", "fanout"),
    ("auto-ack", "ack-every"),
    ("auto-ack", "reconnect"),
    ("get", "prefetch"),
    ("drain-only", "messages"),
    ("drain-only", "warmup"),
];

/// What has no meaning without publishers.
const PUBLISHERS_ONLY: [&str; 6] = ["confirm", "tx", "rate", "persistent", "size", "messages"];

/// Largest body: what RabbitMQ takes (128 MiB).
const SIZE_MAX_BYTES: usize = 128 * 1024 * 1024;

/// Longest prefix, so that names stay short strings.
const PREFIX_MAX_BYTES: usize = 200;

/// Most threads.
const THREADS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Options {
        let arguments: Vec<String> = line.split_whitespace().map(String::from).collect();
        match parse(&arguments) {
            Ok(Command::Run(options)) => *options,
            other => panic!("'{line}': {other:?}"),
        }
    }

    fn refusal(line: &str) -> String {
        let arguments: Vec<String> = line.split_whitespace().map(String::from).collect();
        match parse(&arguments) {
            Err(text) => text,
            other => panic!("'{line}' was taken: {other:?}"),
        }
    }

    #[test]
    fn everything_has_a_default() {
        let options = run("");
        assert_eq!((options.publishers, options.consumers, options.queues), (1, 1, 1));
        assert_eq!(options.limit, Limit::Seconds(10));
        assert_eq!(options.safety, Safety::None);
        assert_eq!(options.intake.ack_every, Some(1));
        assert!(!options.durable && !options.persistent && !options.keep);
        assert_eq!(options.server.uri.port, 5672);
    }

    #[test]
    fn options_are_read() {
        let options =
            run("--uri amqp://a:b@h:1/v --publishers 3 --consumers 2 --size 16 --confirm 500 \
             --prefetch 200 --ack-every 50 --rate 1_000 --queues 4 --messages 1_000_000 \
             --queue-prefix x --threads 2 --json --quiet --broker-pid 7");
        assert_eq!(options.server.uri.host, "h");
        assert_eq!((options.publishers, options.consumers, options.queues), (3, 2, 4));
        assert_eq!(options.safety, Safety::Confirm(500));
        assert_eq!((options.intake.prefetch, options.intake.ack_every), (200, Some(50)));
        assert_eq!((options.rate, options.limit), (Some(1000), Limit::Messages(1_000_000)));
        assert_eq!((options.broker_pid, options.threads), (Some(7), 2));
        assert_eq!(run("--tx 10").safety, Safety::Tx(10));
        assert_eq!(run("--auto-ack --get").intake.ack_every, None);
    }

    #[test]
    fn queues_are_durable_when_the_messages_are() {
        assert!(run("--persistent").durable);
        assert!(!run("--persistent --transient").durable);
        assert!(run("--durable").durable && !run("--durable").persistent);
    }

    #[test]
    fn fanout_has_a_consumer_per_queue() {
        let options = run("--fanout 5");
        assert!(options.fanout);
        assert_eq!((options.queues, options.consumers), (5, 5));
        assert_eq!(run("--fanout 5 --publish-only").consumers, 0);
        assert_eq!(run("--fanout 5 --consumers 10").consumers, 10);
    }

    #[test]
    fn backlog_runs_have_one_side_only() {
        let drain = run("--drain-only --consumers 2");
        assert_eq!((drain.publishers, drain.consumers, drain.limit), (0, 2, Limit::Drained));
        assert_eq!(run("--drain-only --seconds 3").limit, Limit::Seconds(3));
        let fill = run("--publish-only --messages 5 --keep");
        assert_eq!((fill.publishers, fill.consumers), (1, 0));
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (line, why) in [
            ("--frobnicate", "Unrecognized option"),
            ("hello", "'hello' is not an option"),
            ("--size", "missing"),
            ("--size x", "--size takes a whole number, not 'x'"),
            ("--size -1", "--size cannot be as much or as little as -1"),
            ("--publishers 65536", "cannot be as much or as little as 65536"),
            ("--rate 0", "at least 1"),
            ("--confirm 0", "at least 1"),
            ("--seconds 1 --messages 1", "exclude each other"),
            ("--confirm 1 --tx 1", "exclude each other"),
            ("--durable --transient", "exclude each other"),
            ("--drain-only --publish-only", "exclude each other"),
            ("--queues 2 --fanout 2", "exclude each other"),
            ("--auto-ack --ack-every 2", "exclude each other"),
            ("--auto-ack --reconnect", "exclude each other"),
            ("--drain-only --publishers 1", "no publishers"),
            ("--publish-only --consumers 1", "no consumers"),
            ("--publishers 0 --consumers 0", "nothing to do"),
            ("--drain-only --rate 5", "--rate needs publishers"),
            ("--publishers 0 --confirm 5", "--confirm needs publishers"),
            ("--ack-every 11 --prefetch 10", "wait for ever"),
            ("--messages 5 --warmup 1", "--warmup goes with --seconds"),
            ("--reconnect", "needs --confirm or --tx"),
            ("--get --queues 2", "a consumer for every queue"),
            ("--uri http://x", "not an AMQP URI"),
            ("--size 999999999", "--size is at most"),
            ("--threads 100", "--threads is at most"),
            ("--seconds 1 --seconds 2", "more than once"),
        ] {
            let text = refusal(line);
            assert!(text.contains(why), "'{line}': {text}");
        }
    }

    #[test]
    fn help_names_every_option_and_the_exit_status() {
        let Ok(Command::Print(text)) = parse(&[String::from("--help")]) else { panic!("no help") };
        for part in
            ["--uri", "--reconnect", "--broker-pid", "Examples:", "Exit status:", "relay", "ping"]
        {
            assert!(text.contains(part), "{part}");
        }
    }
}
