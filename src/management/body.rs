//! What does a request's body ask for, and what is wrong with it?
//!
//! Reads the fields of an object in RabbitMQ's way, which takes texts for numbers and flags. What
//! is wrong is said as RabbitMQ says it of a request; how fields are read is in
//! `definitions::fields`. Imports that, `arguments` and `response`.

use serde_json::{Map, Value as Json, json};

use super::arguments::{self, Nulls, Unfit};
use super::definitions::fields;
use super::response::Response;
use crate::amqp::{Table, TableBuf};

/// Arguments have at most so many bytes: with everything else of a definition they have to fit into
/// the smallest segment of the log, those of a binding twice.
pub const ARGUMENTS_BYTES_MAX: usize = 16 * 1024;

/// The headers of a message have at most so many: about as many as a frame of AMQP can bring.
pub const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// 400 with a reason that is no sentence.
pub fn refuse(reason: &Json) -> Response {
    Response::with(400, &json!({ "error": "bad_request", "reason": reason }))
}

/// Says which fields are missing.
///
/// # Errors
/// 400 in RabbitMQ's words.
pub fn require(body: &Map<String, Json>, fields: &[&str]) -> Result<(), Response> {
    fields::require(body, fields).map_err(|missing| Response::bad_request(&missing))
}

/// Refuses what is not asked for: who misspells a field means something else than without it. For
/// requests that only this broker knows; RabbitMQ takes anything.
///
/// # Errors
/// 400 with the field.
pub fn allow(body: &Map<String, Json>, fields: &[&str]) -> Result<(), Response> {
    let unknown = body.keys().find(|field| !fields.contains(&field.as_str()));
    unknown.map_or(Ok(()), |field| {
        let text = format!("unknown field {field}; there are {}", fields.join(", "));
        Err(Response::bad_request(&text))
    })
}

/// A flag; where it is missing, `false`.
///
/// # Errors
/// 400 when it is something else.
pub fn flag(body: &Map<String, Json>, field: &str) -> Result<bool, Response> {
    let flag = fields::read_flag(body, field);
    flag.map(Option::unwrap_or_default).map_err(|other| refuse(&json!(["not_boolean", other])))
}

/// A whole number, if it is there.
///
/// # Errors
/// 400 when it is something else.
pub fn integer(body: &Map<String, Json>, field: &str) -> Result<Option<i64>, Response> {
    let wrong = |value: &Json| refuse(&json!(["not_integer", value]));
    match body.get(field) {
        None | Some(Json::Null) => Ok(None),
        Some(value @ Json::Number(number)) => number.as_i64().map(Some).ok_or_else(|| wrong(value)),
        Some(value @ Json::String(text)) => text.parse().map(Some).map_err(|_| wrong(value)),
        Some(other) => Err(wrong(other)),
    }
}

/// A text, if it is there.
///
/// # Errors
/// 400 when it is something else.
pub fn text<'a>(body: &'a Map<String, Json>, field: &str) -> Result<Option<&'a str>, Response> {
    fields::read_text(body, field).map_err(|_| refuse(&json!(["not_string", field])))
}

/// The arguments of a queue, an exchange or a binding; where they are missing, none.
///
/// # Errors
/// As [`table`].
pub fn arguments(body: &Map<String, Json>) -> Result<TableBuf, Response> {
    table(body, "arguments", ARGUMENTS_BYTES_MAX)
}

/// A table of at most so many bytes; where it is missing, an empty one.
///
/// # Errors
/// 400 when it is no object, has something in it that AMQP does not know, or is too large.
pub fn table(
    body: &Map<String, Json>,
    field: &str,
    bytes_max: usize,
) -> Result<TableBuf, Response> {
    let table = match body.get(field) {
        None => TableBuf::new(),
        Some(Json::Array(values)) if values.is_empty() => TableBuf::new(),
        Some(Json::Object(map)) => arguments::table(map, Nulls::Refused).map_err(refuse_unfit)?,
        Some(_) => return Err(Response::bad_request(&format!("{field} has to be an object"))),
    };
    if table.table().as_bytes().len() > bytes_max {
        let text = format!("{field} has at most {bytes_max} bytes");
        return Err(Response::bad_request(&text));
    }
    if Table::new(table.table().as_bytes()).is_err() {
        return Err(Response::bad_request(&format!("{field} is nested too deep")));
    }
    Ok(table)
}

fn refuse_unfit(unfit: Unfit) -> Response {
    match unfit {
        Unfit::Number(number) => refuse(&json!(["number_too_large", number])),
        Unfit::Null | Unfit::Key => Response::bad_request(&String::from(unfit)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::json as shown;
    use super::*;

    fn object(value: &Json) -> Map<String, Json> {
        value.as_object().unwrap().clone()
    }

    fn reason(response: &Response) -> Json {
        assert_eq!(response.status, 400);
        serde_json::from_slice::<Json>(&response.body).unwrap()["reason"].clone()
    }

    #[test]
    fn texts_count_as_flags_and_numbers() {
        let body = object(&json!({
            "yes": "true", "no": false, "null": null, "odd": "x", "five": 5, "seven": "7",
        }));
        assert_eq!([flag(&body, "yes"), flag(&body, "no")], [Ok(true), Ok(false)]);
        assert_eq!([flag(&body, "null"), flag(&body, "none")], [Ok(false), Ok(false)]);
        assert_eq!(reason(&flag(&body, "odd").unwrap_err()), json!(["not_boolean", "x"]));
        assert_eq!(reason(&flag(&body, "five").unwrap_err()), json!(["not_boolean", 5]));
        assert_eq!([integer(&body, "five"), integer(&body, "seven")], [Ok(Some(5)), Ok(Some(7))]);
        assert_eq!(reason(&integer(&body, "odd").unwrap_err()), json!(["not_integer", "x"]));
        assert_eq!(reason(&text(&body, "five").unwrap_err()), json!(["not_string", "five"]));
    }

    #[test]
    fn an_object_becomes_a_table_and_comes_back() {
        let wanted = json!({
            "a": 1, "b": -1.5, "c": true, "d": "x", "e": [1, "y", { "z": 2 }], "f": {},
        });
        let body = object(&json!({ "arguments": wanted, "none": [] }));
        let table = arguments(&body).unwrap();
        assert_eq!(shown::table(table.table()), wanted);
        assert!(super::table(&body, "none", 0).unwrap().is_empty());
        for (wrong, why) in [
            (json!(5), json!("arguments has to be an object")),
            (json!({ "a": null }), json!("null_not_allowed")),
            (json!({ "a": [{ "b": null }] }), json!("null_not_allowed")),
            (json!({ "a": u64::MAX }), json!(["number_too_large", u64::MAX])),
            (json!({ "k".repeat(256): 1 }), json!("a key has more than 255 bytes")),
            (json!({ "a": "x".repeat(17_000) }), json!("arguments has at most 16384 bytes")),
        ] {
            let body = object(&json!({ "arguments": wrong }));
            assert_eq!(reason(&arguments(&body).unwrap_err()), why);
        }
    }
}
