//! What does a setting of a configuration file say, and which pattern is its key like?
//!
//! Each reader says in its error what it expected.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use super::config::Endpoint;
use super::options::parse_ip;
use super::units::{Ratio, parse_size};

/// One setting as a setter gets it.
pub(super) struct Setting<'a> {
    /// What stands in the place of the pattern's `*`; empty for a pattern without one.
    pub(super) word: &'a str,
    /// The value as written.
    pub(super) value: &'a str,
}

/// What `key` has in the place of the `*` in `pattern`, or nothing when they are equal; `None` when
/// they do not match. At the end the `*` stands for a word without dots.
pub(super) fn word_of<'a>(pattern: &str, key: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once('*') else {
        return (pattern == key).then_some("");
    };
    let word = key.strip_prefix(before)?.strip_suffix(after)?;
    (!word.is_empty() && (!after.is_empty() || !word.contains('.'))).then_some(word)
}

/// Whether `key` is `prefix` or lies below it.
pub(super) fn starts_with(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Stores what was read, or hands on what was expected.
pub(super) fn put<T>(target: &mut T, value: Result<T, String>) -> Result<(), String> {
    *target = value?;
    Ok(())
}

/// Takes the pattern's word into `names` or out of them.
pub(super) fn member(names: &mut BTreeSet<String>, setting: &Setting<'_>) -> Result<(), String> {
    if boolean(setting)? {
        names.insert(setting.word.to_owned());
    } else {
        names.remove(setting.word);
    }
    Ok(())
}

pub(super) fn boolean(setting: &Setting<'_>) -> Result<bool, String> {
    match setting.value {
        "true" | "on" => Ok(true),
        "false" | "off" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

pub(super) fn some_text(setting: &Setting<'_>) -> Result<String, String> {
    if setting.value.is_empty() {
        return Err("some text".to_owned());
    }
    Ok(setting.value.to_owned())
}

pub(super) fn in_range<T: FromStr + PartialOrd + Display + Copy>(
    setting: &Setting<'_>,
    min: T,
    max: T,
    unit: &str,
) -> Result<T, String> {
    match setting.value.parse::<T>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("a whole number from {min} to {max} {unit}")),
    }
}

pub(super) fn size(setting: &Setting<'_>) -> Result<u64, String> {
    parse_size(setting.value).ok_or("a size in bytes or with a unit as in 512MiB".to_owned())
}

pub(super) fn size_in_range(setting: &Setting<'_>, min: u64, max: u64) -> Result<u64, String> {
    match size(setting)? {
        bytes if (min..=max).contains(&bytes) => Ok(bytes),
        _ => Err(format!("a size from {min} to {max} bytes")),
    }
}

pub(super) fn ratio(setting: &Setting<'_>) -> Result<Ratio, String> {
    Ratio::parse(setting.value).ok_or("a ratio as in 0.4".to_owned())
}

pub(super) fn ratio_up_to_one(setting: &Setting<'_>) -> Result<Ratio, String> {
    match ratio(setting) {
        Ok(ratio) if ratio <= Ratio::ONE => Ok(ratio),
        Ok(_) | Err(_) => Err("a ratio from 0 to 1 as in 0.4".to_owned()),
    }
}

/// A port; 0 is off.
pub(super) fn port(setting: &Setting<'_>) -> Result<Option<u16>, String> {
    in_range(setting, 0, u16::MAX, "(0 is off)").map(Some)
}

pub(super) fn ip(setting: &Setting<'_>) -> Result<IpAddr, String> {
    parse_ip(setting.value).ok_or("an IP address or localhost".to_owned())
}

/// Reads `5672`, `127.0.0.1:5672`, `[::1]:5672` and RabbitMQ's way of writing the last one,
/// `::1:5672`, in which what follows the last colon is the port.
pub(super) fn parse_endpoint(text: &str) -> Option<Endpoint> {
    match text.rsplit_once(':') {
        None => Some(Endpoint { ip: None, port: text.parse().ok()? }),
        Some((ip, port)) => Some(Endpoint { ip: Some(parse_ip(ip)?), port: port.parse().ok()? }),
    }
}
