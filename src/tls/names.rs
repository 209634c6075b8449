//! What is written in a certificate, in the words that RabbitMQ prints?

use x509_parser::der_parser::asn1_rs::Any;
use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};
use x509_parser::time::ASN1Time;
use x509_parser::x509::AttributeTypeAndValue;

use super::options::{LoginFrom, SanType};

/// What operators see of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is, as in RFC 4514.
    pub subject: String,
    /// Who says so.
    pub issuer: String,
    /// From when, in ms since 1970.
    pub not_before_ms: i64,
    /// Until when.
    pub not_after_ms: i64,
    /// Both times as RabbitMQ shows them: `2026-01-01T00:00:00Z - 2027-01-01T00:00:00Z`.
    pub validity: String,
    /// The second of them as RabbitMQ's health check shows it: `2027-01-31 9:00:00`.
    pub valid_until: String,
    /// The number that its issuer gave it, in hexadecimal digits.
    pub serial: String,
    /// The hosts that it is for.
    pub hosts: Vec<String>,
}

impl Certificate {
    /// Reads a certificate; `None` where it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let certificate = parse(der)?;
        let validity = certificate.validity();
        let (from, until) = (validity.not_before, validity.not_after);
        let serial = certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self {
            subject: distinguished(certificate.subject()),
            issuer: distinguished(certificate.issuer()),
            not_before_ms: from.timestamp().saturating_mul(1000),
            not_after_ms: until.timestamp().saturating_mul(1000),
            validity: format!("{} - {}", date(from), date(until)),
            valid_until: health_date(until),
            serial,
            hosts: alternative_names(&certificate, SanType::Dns),
        })
    }
}

/// The user's name in a certificate; `None` where there is none.
pub fn user(der: &[u8], from: LoginFrom) -> Option<String> {
    let certificate = parse(der)?;
    match from {
        LoginFrom::DistinguishedName => Some(distinguished(certificate.subject())),
        LoginFrom::CommonName => {
            let names: Vec<String> =
                certificate.subject().iter_common_name().map(value_of).collect();
            (!names.is_empty()).then(|| names.join(","))
        }
        LoginFrom::SubjectAlternativeName(of, index) => {
            alternative_names(&certificate, of).into_iter().nth(index)
        }
    }
}

/// Whether `issuer` may have issued `certificate`, by their names; a root has issued itself.
pub fn is_issued_by(certificate: &[u8], issuer: &[u8]) -> bool {
    match (parse(certificate), parse(issuer)) {
        (Some(one), Some(other)) => one.issuer().as_raw() == other.subject().as_raw(),
        _ => false,
    }
}

/// The subject as it stands in the certificate, to be compared.
pub fn raw_subject(der: &[u8]) -> Option<Vec<u8>> {
    Some(parse(der)?.subject().as_raw().to_vec())
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

fn alternative_names(certificate: &X509Certificate<'_>, of: SanType) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    extension.value.general_names.iter().filter_map(|name| alternative_name(name, of)).collect()
}

fn alternative_name(name: &GeneralName<'_>, of: SanType) -> Option<String> {
    match (of, name) {
        (SanType::Dns, GeneralName::DNSName(text))
        | (SanType::Email, GeneralName::RFC822Name(text))
        | (SanType::Uri, GeneralName::URI(text)) => Some((*text).to_owned()),
        (SanType::Ip, GeneralName::IPAddress(bytes)) => match bytes.len() {
            4 => {
                <[u8; 4]>::try_from(*bytes).ok().map(|ip| std::net::Ipv4Addr::from(ip).to_string())
            }
            16 => {
                <[u8; 16]>::try_from(*bytes).ok().map(|ip| std::net::Ipv6Addr::from(ip).to_string())
            }
            _ => None,
        },
        (SanType::OtherName, GeneralName::OtherName(_, value)) => Some(other_name(value)),
        _ => None,
    }
}

/// The text in an `otherName`: what stands in the tags that wrap it.
fn other_name(mut value: &[u8]) -> String {
    while let Ok((_, any)) = Any::from_der(value) {
        let is_wrapped = any.class() != x509_parser::der_parser::asn1_rs::Class::Universal;
        if !is_wrapped || any.data.is_empty() {
            return text_of(&any);
        }
        value = any.data;
    }
    String::from_utf8_lossy(value).into_owned()
}

/// As RFC 4514 has it: the last part first.
fn distinguished(name: &X509Name<'_>) -> String {
    let parts = name.iter_rdn().map(|part| {
        let attributes: Vec<String> = part.iter().map(attribute).collect();
        attributes.join("+")
    });
    let mut parts: Vec<String> = parts.collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let id = attribute.attr_type().to_id_string();
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == id).map(|(_, short)| *short);
    format!("{}={}", short.unwrap_or(&id), escaped(&value_of(attribute)))
}

/// The attributes that have a short name, and how RabbitMQ writes it.
const SHORT_NAMES: [(&str, &str); 17] = [
    ("2.5.4.4", "SN"),
    ("2.5.4.42", "GIVENNAME"),
    ("2.5.4.43", "INITIALS"),
    ("2.5.4.44", "GENERATIONQUALIFIER"),
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "TITLE"),
    ("2.5.4.6", "C"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.65", "PSEUDONYM"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "EMAILADDRESS"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

fn value_of(attribute: &AttributeTypeAndValue<'_>) -> String {
    text_of(attribute.attr_value())
}

/// The text of a string of any kind, in UTF-8.
fn text_of(any: &Any<'_>) -> String {
    let data = any.data;
    let lossy = |unit: Option<char>| unit.unwrap_or(char::REPLACEMENT_CHARACTER);
    match any.tag() {
        Tag::T61String => data.iter().map(|&byte| char::from(byte)).collect(),
        Tag::BmpString => {
            let units = data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|unit| lossy(unit.ok())).collect()
        }
        Tag::UniversalString => {
            let units = data.chunks_exact(4);
            units
                .map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
                .map(|unit| lossy(char::from_u32(unit)))
                .collect()
        }
        _ => String::from_utf8_lossy(data).into_owned(),
    }
}

/// As RabbitMQ escapes a value: what RFC 4514 asks for, and all bytes that are not printable ASCII.
fn escaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(bytes.len());
    for (index, &byte) in bytes.iter().enumerate() {
        let is_first = index == 0 && matches!(byte, b' ' | b'#');
        let is_last = index + 1 == bytes.len() && byte == b' ';
        if is_first || is_last || matches!(byte, b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\') {
            out.push('\\');
            out.push(char::from(byte));
        } else if !(32..126).contains(&byte) {
            out.push_str(&format!("\\{byte:02X}"));
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

/// `2026-01-31 9:00:00`.
fn health_date(time: ASN1Time) -> String {
    let time = time.to_datetime();
    let (month, hour) = (u8::from(time.month()), time.hour());
    let (minute, second) = (time.minute(), time.second());
    format!("{}-{month:02}-{:02} {hour}:{minute:02}:{second:02}", time.year(), time.day())
}

/// `2026-01-31T12:00:00Z`.
fn date(time: ASN1Time) -> String {
    let time = time.to_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}
