//! Which keys of a configuration file are about TLS, and what does each set?
//!
//! The keys under `ssl_options`, `management.ssl` and `prometheus.ssl` are the same, each for the
//! listeners of its kind. Those for other certificates by host (`ssl_options.sni.HOST.certfile`)
//! are ours; the host may have dots.

use std::path::PathBuf;

use super::config::Draft;
use super::setting::{
    Setting, boolean, in_range, ip, parse_endpoint, port, put, some_text, starts_with, word_of,
};
use super::tls::{AMQP, Group, LoginWord, MANAGEMENT, PROMETHEUS, Version};
use crate::session::Mechanisms;
use crate::tls::SanType;

/// Sets something of the whole, or says what was expected.
type Setter = fn(&mut Draft, &Setting<'_>) -> Result<(), String>;

/// Sets something of one kind of listener, or says what was expected.
type GroupSetter = fn(&mut Group, &Setting<'_>) -> Result<(), String>;

/// Sets `key` to `value`, or says what was expected; `None`: no key of this file.
pub(super) fn apply(draft: &mut Draft, key: &str, value: &str) -> Option<Result<(), String>> {
    for (pattern, set) in SUPPORTED {
        if let Some(word) = word_of(pattern, key) {
            return Some(set(draft, &Setting { word, value }));
        }
    }
    for (name, group) in GROUPS {
        let Some(rest) = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) else {
            continue;
        };
        for (pattern, set) in OF_GROUPS {
            if let Some(word) = word_of(pattern, rest) {
                return Some(set(group(draft), &Setting { word, value }));
            }
        }
    }
    None
}

/// All keys, as patterns.
pub(super) fn patterns() -> impl Iterator<Item = String> {
    let of_groups = GROUPS.iter().flat_map(|(name, _)| {
        OF_GROUPS.iter().map(move |(pattern, _)| format!("{name}.{pattern}"))
    });
    SUPPORTED.iter().map(|(pattern, _)| (*pattern).to_owned()).chain(of_groups)
}

/// Why `key` means nothing here, if it is one of RabbitMQ's that does not.
pub(super) fn meaningless(key: &str) -> Option<&'static str> {
    why(key, MEANINGLESS)
}

/// Why `key` is refused, if it is one of RabbitMQ's that somebody may rely on.
pub(super) fn unsupported(key: &str) -> Option<&'static str> {
    why(key, UNSUPPORTED)
}

fn why(key: &str, table: &[(&str, &'static str)]) -> Option<&'static str> {
    let rests = GROUPS.iter().filter_map(|(name, _)| key.strip_prefix(name)?.strip_prefix('.'));
    let mut found = rests.flat_map(|rest| {
        table.iter().filter(move |(prefix, _)| starts_with(rest, prefix)).map(|(_, why)| *why)
    });
    found.next()
}

type GroupOf = fn(&mut Draft) -> &mut Group;

const GROUPS: &[(&str, GroupOf)] = &[
    (AMQP, |draft| &mut draft.tls.amqp),
    (MANAGEMENT, |draft| &mut draft.tls.management),
    (PROMETHEUS, |draft| &mut draft.tls.prometheus),
];

const OF_GROUPS: &[(&str, GroupSetter)] = &[
    ("certfile", |group, setting| path(&mut group.options.certfile, setting)),
    ("keyfile", |group, setting| path(&mut group.options.keyfile, setting)),
    ("cacertfile", |group, setting| path(&mut group.options.cacertfile, setting)),
    ("verify", |group, setting| {
        group.options.verify_peer = match setting.value {
            "verify_peer" => true,
            "verify_none" => false,
            _ => return Err("verify_peer or verify_none".to_owned()),
        };
        Ok(())
    }),
    ("fail_if_no_peer_cert", |group, setting| {
        put(&mut group.options.fail_if_no_peer_cert, boolean(setting))
    }),
    ("depth", |group, setting| {
        put(&mut group.options.depth, in_range(setting, 0, 10, "certificates"))
    }),
    ("versions.*", |group, setting| {
        let version = match setting.value {
            "tlsv1.2" => Version::Tls12,
            "tlsv1.3" => Version::Tls13,
            _ => return Err("tlsv1.2 or tlsv1.3 (older ones are not spoken)".to_owned()),
        };
        group.versions.insert(setting.word.to_owned(), version);
        Ok(())
    }),
];

/// Keys of RabbitMQ's below those groups that tune what TLS there is made of.
const MEANINGLESS: &[(&str, &str)] = &[
    ("backlog", "socket options are fixed"),
    ("bypass_pem_cache", "certificates are read again when their files change"),
    ("ciphers", MODERN_CIPHERS),
    ("client_renegotiation", NO_RENEGOTIATION),
    ("dh", CURVES),
    ("dhfile", CURVES),
    ("hibernate_after", "the broker does not run on Erlang"),
    ("honor_cipher_order", MODERN_CIPHERS),
    ("honor_ecc_order", MODERN_CIPHERS),
    ("idle_timeout", FIXED_LIMITS),
    ("inactivity_timeout", FIXED_LIMITS),
    ("request_timeout", FIXED_LIMITS),
    ("log_alert", FAILURES_ARE_LOGGED),
    ("log_level", FAILURES_ARE_LOGGED),
    ("reuse_session", RESUMPTION),
    ("reuse_sessions", RESUMPTION),
    ("secure_renegotiate", NO_RENEGOTIATION),
];

/// Those that somebody may rely on.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("crl_cache", NO_REVOCATION),
    ("crl_check", NO_REVOCATION),
    ("password", NO_KEY_PASSWORD),
    ("psk_identity", "keys are in files, and nothing is agreed on beforehand"),
];

const CURVES: &str = "keys are agreed on with elliptic curves";
const FAILURES_ARE_LOGGED: &str = "every handshake that fails is a line of the log";
const FIXED_LIMITS: &str = "connections over HTTP have fixed time limits";
const MODERN_CIPHERS: &str = "ciphers are those of rustls, all of them good";
const NO_KEY_PASSWORD: &str =
    "keys that are encrypted with a password are not read; decrypt it with 'openssl pkey'";
const NO_RENEGOTIATION: &str = "nothing is ever renegotiated";
const NO_REVOCATION: &str = "lists of revoked certificates are not read";
const RESUMPTION: &str = "sessions are taken up again where no certificate is asked for";

const SUPPORTED: &[(&str, Setter)] = &[
    ("listeners.ssl", |draft, setting| {
        if setting.value != "none" {
            return Err("none (or a listener as in listeners.ssl.default = 5671)".to_owned());
        }
        draft.tls.listeners.clear();
        Ok(())
    }),
    ("listeners.ssl.*", |draft, setting| {
        let expected = "a port, or an address and a port as in 127.0.0.1:5671 or ::1:5671";
        let endpoint = parse_endpoint(setting.value).ok_or(expected)?;
        draft.tls.listeners.insert(setting.word.to_owned(), endpoint);
        Ok(())
    }),
    ("management.ssl.ip", |draft, setting| {
        put(&mut draft.tls.management.ip, ip(setting).map(Some))
    }),
    ("management.ssl.port", |draft, setting| put(&mut draft.tls.management.port, port(setting))),
    ("prometheus.ssl.ip", |draft, setting| {
        put(&mut draft.tls.prometheus.ip, ip(setting).map(Some))
    }),
    ("prometheus.ssl.port", |draft, setting| put(&mut draft.tls.prometheus.port, port(setting))),
    ("ssl_options.sni.*.certfile", |draft, setting| {
        let options = &mut draft.tls.amqp.options;
        path(&mut options.sni.entry(host(setting)?).or_default().certfile, setting)
    }),
    ("ssl_options.sni.*.keyfile", |draft, setting| {
        let options = &mut draft.tls.amqp.options;
        path(&mut options.sni.entry(host(setting)?).or_default().keyfile, setting)
    }),
    ("ssl_handshake_timeout", |draft, setting| {
        let ms = in_range(setting, 1, HANDSHAKE_MS_MAX, "milliseconds");
        put(&mut draft.tls.handshake_ms, ms.map(Some))
    }),
    ("ssl_cert_login_from", |draft, setting| {
        draft.tls.login_from = match setting.value {
            "distinguished_name" => LoginWord::Whole,
            "common_name" => LoginWord::Common,
            "subject_alternative_name" | "subject_alt_name" => LoginWord::Alternative,
            _ => {
                let expected = "distinguished_name, common_name or subject_alternative_name";
                return Err(expected.to_owned());
            }
        };
        Ok(())
    }),
    ("ssl_cert_login_san_type", |draft, setting| {
        draft.tls.san_type = match setting.value {
            "dns" => SanType::Dns,
            "ip" => SanType::Ip,
            "email" => SanType::Email,
            "uri" => SanType::Uri,
            "other_name" => SanType::OtherName,
            _ => return Err("dns, ip, email, uri or other_name".to_owned()),
        };
        Ok(())
    }),
    ("ssl_cert_login_san_index", |draft, setting| {
        put(&mut draft.tls.san_index, in_range(setting, 0, 1_000, "(0 is the first)"))
    }),
    ("auth_mechanisms.*", |draft, setting| {
        let mechanisms = draft.mechanisms.get_or_insert(NONE);
        match setting.value {
            "PLAIN" => mechanisms.plain = true,
            "AMQPLAIN" => mechanisms.amqplain = true,
            "EXTERNAL" => mechanisms.external = true,
            _ => return Err("PLAIN, AMQPLAIN or EXTERNAL".to_owned()),
        }
        Ok(())
    }),
];

const NONE: Mechanisms = Mechanisms { plain: false, amqplain: false, external: false };

/// A connection that is not open within 10 s is closed in any case.
const HANDSHAKE_MS_MAX: u64 = 10_000;

fn path(target: &mut Option<PathBuf>, setting: &Setting<'_>) -> Result<(), String> {
    put(target, some_text(setting).map(|text| Some(text.into())))
}

fn host(setting: &Setting<'_>) -> Result<String, String> {
    let host = setting.word;
    let rest = host.strip_prefix("*.").unwrap_or(host);
    let is_good = |part: &str| !part.is_empty() && !part.contains('*');
    if rest.split('.').all(is_good) {
        return Ok(host.to_ascii_lowercase());
    }
    Err("a host in the key as in ssl_options.sni.mq.example.org.certfile".to_owned())
}
