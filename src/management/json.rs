//! How do AMQP's values look in JSON, and what does a request's body say?
//!
//! Names and texts are bytes in AMQP: what is no UTF-8 in them is shown as U+FFFD. Imports
//! `response`, for what is wrong with a body.

use serde_json::{Map, Number, Value as Json};

use super::response::Response;
use crate::amqp::{Table, Value};

/// A name or another text.
pub fn text(bytes: &[u8]) -> Json {
    Json::String(String::from_utf8_lossy(bytes).into_owned())
}

/// A table, such as the arguments of a queue.
pub fn table(table: Table<'_>) -> Json {
    let entry = |(key, value)| (String::from_utf8_lossy(key).into_owned(), self::value(&value));
    Json::Object(table.iter().map(entry).collect())
}

fn value(value: &Value<'_>) -> Json {
    match *value {
        Value::Bool(value) => Json::Bool(value),
        Value::I8(number) => number.into(),
        Value::U8(number) => number.into(),
        Value::I16(number) => number.into(),
        Value::U16(number) => number.into(),
        Value::I32(number) => number.into(),
        Value::U32(number) => number.into(),
        Value::I64(number) => number.into(),
        Value::U64(number) | Value::Timestamp(number) => number.into(),
        Value::F32(_) | Value::F64(_) | Value::Decimal { .. } => {
            // What is no number, as NaN, has none in JSON.
            let number = value.fraction().and_then(Number::from_f64);
            number.map_or(Json::Null, Json::Number)
        }
        Value::LongString(bytes) | Value::Bytes(bytes) => text(bytes),
        Value::Array(array) => array.iter().map(|value| self::value(&value)).collect(),
        Value::Table(inner) => table(inner),
        Value::Void => Json::Null,
    }
}

/// The most bytes of a body that is read at once: a larger one would take longer than a turn may.
const OBJECT_BYTES_MAX: usize = 256 * 1024;
/// A time in ms since 1970, as RabbitMQ writes it: UTC with milliseconds.
pub fn time(unix_ms: u64) -> Json {
    let (days, ms) = (unix_ms / DAY_MS, unix_ms % DAY_MS);
    // Days are counted from a first of March, so that a leap day ends its year, and in eras of 400
    // years, which are all equally long.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, is_next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = 400 * era + year + is_next;
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    let ms = ms % 1_000;
    Json::String(format!(
        "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}+00:00"
    ))
}

const DAY_MS: u64 = 24 * 3_600_000;

/// The object that a request's body is; nothing at all counts as an empty one.
///
/// # Errors
/// 400 in RabbitMQ's words; 413 when it is larger than what is read at once.
pub fn object(body: &[u8]) -> Result<Map<String, Json>, Response> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    if body.len() > OBJECT_BYTES_MAX {
        let text = format!("the body is larger than {OBJECT_BYTES_MAX} bytes");
        return Err(Response::error(413, "bad_request", &text));
    }
    match serde_json::from_slice(body) {
        Ok(Json::Object(map)) => Ok(map),
        Ok(Json::String(_)) => Err(Response::bad_request(
            "invalid payload: the request body JSON-decoded to a string. Is the input \
             doubly-JSON-encoded?",
        )),
        Ok(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_)) | Err(_) => {
            Err(Response::bad_request("not_json"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::amqp::{ArrayBuf, TableBuf};

    #[test]
    fn every_kind_of_value_has_a_form_in_json() {
        let mut inner = ArrayBuf::new();
        inner.push(Value::I32(-1));
        inner.push(Value::LongString(b"a\xff"));
        let mut arguments = TableBuf::new();
        arguments.put_str(b"x-queue-type", "quorum");
        arguments.put_bool(b"flag", true);
        arguments.put(b"list", Value::Array(inner.array()));
        arguments.put(b"money", Value::Decimal { scale: 2, value: 150 });
        arguments.put(b"nan", Value::F64(f64::NAN));
        arguments.put(b"time", Value::Timestamp(u64::MAX));
        arguments.put(b"void", Value::Void);
        let expected = json!({
            "x-queue-type": "quorum", "flag": true, "list": [-1, "a\u{fffd}"], "money": 1.5,
            "nan": null, "time": u64::MAX, "void": null,
        });
        assert_eq!(table(arguments.table()), expected);
        assert_eq!(table(Table::EMPTY), json!({}));
    }

    #[test]
    fn times_are_written_as_people_read_them() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000+00:00"),
            (951_782_400_000, "2000-02-29T00:00:00.000+00:00"),
            (951_868_799_999, "2000-02-29T23:59:59.999+00:00"),
            (1_795_690_382_989, "2026-11-26T10:53:02.989+00:00"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000+00:00"),
        ] {
            assert_eq!(time(unix_ms), json!(text));
        }
    }

    /// Whoever reads back what he set compares it: a float may not move by its last digit.
    #[test]
    fn numbers_go_out_as_they_came_in() {
        for number in [
            "0.09379430264901101",
            "0.3",
            "5e-324",
            "1.7976931348623157e+308",
            "-0.1",
            "9007199254740993",
            "18446744073709551615",
            "-9223372036854775808",
        ] {
            let given = format!("{{\"value\":{number}}}");
            let read = object(given.as_bytes()).unwrap();
            assert_eq!(Json::Object(read).to_string(), given);
        }
    }

    #[test]
    fn a_body_is_an_object_or_nothing() {
        assert_eq!(object(b"").unwrap(), Map::new());
        assert_eq!(object(b" {\"a\": 1} ").unwrap()["a"], json!(1));
        let reason = |body: &[u8]| {
            let response = object(body).unwrap_err();
            assert_eq!(response.status, 400);
            String::from_utf8(response.body).unwrap()
        };
        for body in [&b"{bad"[..], b"[]", b"123", b"null", b"\xff", b"{}{}"] {
            assert!(reason(body).contains("not_json"), "{}", body.escape_ascii());
        }
        assert!(reason(b"\"{}\"").contains("doubly-JSON-encoded"));
        // It ends nobody's stack.
        assert!(object("[".repeat(1 << 17).as_bytes()).is_err());
        assert_eq!(object(" ".repeat(1 << 20).as_bytes()).unwrap_err().status, 413);
    }
}
