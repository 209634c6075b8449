//! What can be changed while the broker runs?

use serde_json::{Value, json};

use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::session::Session;
use crate::verb::{Group, Verb};

const ROW: Verb = Verb::of(Group::Configuration);

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "set_cluster_name",
        arguments: &[("<name>", "the new name")],
        summary: "Sets the cluster name",
        run: set_cluster_name,
        ..ROW
    },
    Verb {
        name: "set_disk_free_limit",
        arguments: &[
            ("<disk_limit>|mem_relative", "bytes, with a unit if need be: 50MB, 2GiB"),
            ("[<fraction>]", "of the memory, after mem_relative"),
        ],
        summary: "Sets the disk_free_limit setting",
        run: set_disk_free_limit,
        ..ROW
    },
    Verb {
        name: "set_log_level",
        arguments: &[("<log_level>", "debug, info, warning, error, critical or none")],
        summary: "Sets log level in the running node",
        run: set_log_level,
        ..ROW
    },
    Verb {
        name: "set_vm_memory_high_watermark",
        arguments: &[
            ("<fraction>|absolute", "of the memory, from 0.0 to 1.0"),
            ("[<value>]", "bytes, after absolute, with a unit if need be: 512MiB, 1GB"),
        ],
        summary: "Sets the vm_memory_high_watermark setting",
        run: set_vm_memory_high_watermark,
        ..ROW
    },
];

fn set_cluster_name(session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.given.argument(0);
    session.banner(&format!("Setting cluster name to {name} ..."))?;
    session.ask(&Request::new(Method::Put, &["cluster-name"]).json(&json!({"name": name})))?;
    session.done(None)
}

fn set_vm_memory_high_watermark(session: &mut Session<'_>) -> Result<(), Failure> {
    let (threshold, shown) = match session.given.arguments() {
        [word] if word == "absolute" => return Err(Failure::usage("not enough arguments.")),
        [word, size] if word == "absolute" => {
            (json!({"absolute": bytes(size)?}), format!("{size} bytes"))
        }
        [text] => (json!({"relative": fraction(text)?}), text.clone()),
        _ => return Err(Failure::usage("too many arguments.")),
    };
    let node = session.node()?;
    session.banner(&format!("Setting memory threshold on {node} to {shown} ..."))?;
    set(session, "vm_memory_high_watermark", &threshold)
}

fn set_disk_free_limit(session: &mut Session<'_>) -> Result<(), Failure> {
    let (limit, shown) = match session.given.arguments() {
        [word] if word == "mem_relative" => return Err(Failure::usage("not enough arguments.")),
        [word, text] if word == "mem_relative" => {
            let fraction: f64 = text.parse().map_err(|_| bad())?;
            if !(fraction.is_finite() && fraction >= 0.0) {
                return Err(bad());
            }
            (json!({"relative": fraction}), format!("{text} times the total RAM"))
        }
        [size] => (json!({"absolute": bytes(size)?}), format!("{size} bytes")),
        _ => return Err(Failure::usage("too many arguments.")),
    };
    let node = session.node()?;
    session.banner(&format!("Setting disk free limit on {node} to {shown} ..."))?;
    set(session, "disk_free_limit", &limit)
}

fn set_log_level(session: &mut Session<'_>) -> Result<(), Failure> {
    let level = session.given.argument(0);
    if !LEVELS.contains(&level) {
        let known = LEVELS.join(", ");
        let text = format!("level {level} is not supported. Try one of {known}");
        return Err(Failure::error(Exit::Unavailable, text));
    }
    session.banner(&format!("Setting log level to \"{level}\" ..."))?;
    set(session, "log_level", &json!(level))
}

/// RabbitMQ's API has no path for these, so the path is ours.
fn set(session: &mut Session<'_>, name: &str, value: &Value) -> Result<(), Failure> {
    let body = json!({name: value});
    session.ask(&Request::new(Method::Put, &["leveret", "settings"]).json(&body))?;
    session.done(None)
}

fn fraction(text: &str) -> Result<f64, Failure> {
    let fraction: f64 = text.parse().map_err(|_| bad())?;
    if (0.0..=1.0).contains(&fraction) {
        return Ok(fraction);
    }
    let text = "Bad argument: The threshold should be a fraction between 0.0 and 1.0";
    Err(Failure::bad_argument(text))
}

/// A size with one of RabbitMQ's units.
fn bytes(text: &str) -> Result<u64, Failure> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_lowercase().as_str() {
        "" => 1,
        "kb" => 1000,
        "mb" => 1000 * 1000,
        "gb" => 1000 * 1000 * 1000,
        "tb" => 1000 * 1000 * 1000 * 1000,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "t" | "ti" | "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    number.checked_mul(factor).ok_or_else(bad)
}

fn bad() -> Failure {
    Failure::bad_argument("Bad argument.")
}

const LEVELS: [&str; 6] = ["debug", "info", "warning", "error", "critical", "none"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_rabbitmqs_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("50000000", Some(50_000_000)),
            ("50MB", Some(50_000_000)),
            ("50mb", Some(50_000_000)),
            ("1GiB", Some(1 << 30)),
            ("1G", Some(1 << 30)),
            ("2kiB", Some(2048)),
            ("", None),
            ("MB", None),
            ("-1", None),
            ("1.5GB", None),
            ("1 GB", None),
            ("1XB", None),
            ("99999999999TB", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn fractions_lie_between_nothing_and_all() {
        for (text, good) in
            [("0", true), ("0.4", true), ("1.0", true), ("1.1", false), ("NaN", false)]
        {
            assert_eq!(fraction(text).is_ok(), good, "{text}");
        }
    }
}
