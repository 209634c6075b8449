//! What does a JSON object say, field by field?

use serde_json::{Map, Value};

use super::Wrong;
use crate::amqp::Name;

/// A JSON object that is looked into.
pub type Fields = Map<String, Value>;

/// The most bytes of a name: those of AMQP's short strings.
pub const NAME_BYTES_MAX: usize = 255;

/// Refuses an object in which fields are missing, all of them at once, in RabbitMQ's words.
///
/// # Errors
/// Which fields are missing.
pub fn require(fields: &Fields, names: &[&str]) -> Result<(), Wrong> {
    let missing = names.iter().filter(|name| !fields.contains_key(**name));
    let missing: Vec<String> = missing.map(|name| format!("{{key_missing,{name}}}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!("[{}]", missing.join(","));
    Err(if line.len() > COLUMNS_MAX { format!("[{}]", missing.join(",\n ")) } else { line })
}

/// So wide a line RabbitMQ prints.
const COLUMNS_MAX: usize = 80;

/// A text, if it is there.
///
/// # Errors
/// What is there instead.
pub fn read_text<'a>(fields: &'a Fields, name: &str) -> Result<Option<&'a str>, &'a Value> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(other),
    }
}

/// A flag, which as in RabbitMQ may be a text, if it is there.
///
/// # Errors
/// What is there instead.
pub fn read_flag<'a>(fields: &'a Fields, name: &str) -> Result<Option<bool>, &'a Value> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(Value::String(text)) if text == "true" => Ok(Some(true)),
        Some(Value::String(text)) if text == "false" => Ok(Some(false)),
        Some(other) => Err(other),
    }
}

/// A text that has to be there.
///
/// # Errors
/// When it is missing or no text.
pub fn text<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, Wrong> {
    require(fields, &[name])?;
    optional_text(fields, name)?.ok_or_else(|| no_text(name))
}

/// A text that may be left out.
///
/// # Errors
/// When it is something else.
pub fn optional_text<'a>(fields: &'a Fields, name: &str) -> Result<Option<&'a str>, Wrong> {
    read_text(fields, name).map_err(|_| no_text(name))
}

fn no_text(name: &str) -> Wrong {
    format!("{name} has to be a text")
}

/// A name that has to be there.
///
/// # Errors
/// When it is missing, no text, or longer than names may be.
pub fn name(fields: &Fields, field: &str) -> Result<Name, Wrong> {
    let text = text(fields, field)?;
    if text.len() > NAME_BYTES_MAX {
        return Err(format!("{field} has more than {NAME_BYTES_MAX} bytes"));
    }
    Ok(Name::from(text))
}

/// A flag, which as in RabbitMQ may be a text; `default` when it is left out.
///
/// # Errors
/// When it is something else.
pub fn flag(fields: &Fields, name: &str, default: bool) -> Result<bool, Wrong> {
    let flag = read_flag(fields, name);
    flag.map(|flag| flag.unwrap_or(default)).map_err(|_| format!("{name} has to be true or false"))
}

/// An integer; a number without a fraction is one.
pub fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        // Within these it is exact.
        (number.abs() < 9e15).then(|| format!("{number:.0}").parse().ok()).flatten()
    })
}

/// Words of a list, or of a text with commas: both are ways to write tags.
///
/// # Errors
/// When it is neither.
pub fn words(field: &str, value: &Value) -> Result<Vec<String>, Wrong> {
    let wrong = || format!("{field} has to be a text or a list of texts");
    match value {
        Value::String(text) => {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            Ok(words.map(str::to_owned).collect())
        }
        Value::Array(values) => {
            let word = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
            values.iter().map(word).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong()),
    }
}

/// A value as Erlang prints what came as JSON, for RabbitMQ's texts.
pub fn term(value: &Value) -> String {
    match value {
        Value::String(text) => format!("<<{text:?}>>"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Makes an object of what `rabbitmqctl export_definitions` writes as a list of pairs, as in
/// `[["max-connections",50]]`: limits, and what policies say.
pub fn unpair(item: &mut Value) {
    let paths: &[&str] = match item["component"].as_str() {
        Some("vhost-limits" | "operator_policy") => &["/value", "/value/definition"],
        Some(_) => &[],
        None => &["/limits", "/definition"],
    };
    for path in paths {
        if let Some(value) = item.pointer_mut(path) {
            unpair_value(value);
        }
    }
}

fn unpair_value(value: &mut Value) {
    let Value::Array(list) = value else {
        return;
    };
    let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(name), value]) => Some((name.clone(), value.clone())),
        Some(_) | None => None,
    };
    if let Some(object) = list.iter().map(pair).collect::<Option<Map<_, _>>>() {
        *value = Value::Object(object);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: &Value) -> &Fields {
        value.as_object().unwrap()
    }

    #[test]
    fn pairs_are_an_object_where_limits_and_policies_are() {
        for (written, read) in [
            (json!({"limits": [["a", 1], ["b", "x"]]}), json!({"limits": {"a": 1, "b": "x"}})),
            (json!({"limits": []}), json!({"limits": {}})),
            (json!({"limits": {"a": 1}}), json!({"limits": {"a": 1}})),
            (json!({"limits": [["a", 1, 2]]}), json!({"limits": [["a", 1, 2]]})),
            (json!({"limits": [[1, 1]]}), json!({"limits": [[1, 1]]})),
            (json!({"definition": [["a", []]]}), json!({"definition": {"a": []}})),
            (
                json!({"component": "operator_policy", "value": {"definition": [["a", 1]]}}),
                json!({"component": "operator_policy", "value": {"definition": {"a": 1}}}),
            ),
            (
                json!({"component": "vhost-limits", "value": [["a", 1]]}),
                json!({"component": "vhost-limits", "value": {"a": 1}}),
            ),
            (
                json!({"component": "shovel", "value": [["a", 1]]}),
                json!({"component": "shovel", "value": [["a", 1]]}),
            ),
            (json!({"component": "vhost-limits"}), json!({"component": "vhost-limits"})),
            (json!({"arguments": [["a", 1]]}), json!({"arguments": [["a", 1]]})),
            (json!([["limits", []]]), json!([["limits", []]])),
            (json!(5), json!(5)),
        ] {
            let mut item = written;
            unpair(&mut item);
            assert_eq!(item, read);
        }
    }

    #[test]
    fn what_is_missing_is_said_all_at_once() {
        let body = json!({"b": 1});
        let missing = require(fields(&body), &["a", "b", "c"]).unwrap_err();
        assert_eq!(missing, "[{key_missing,a},{key_missing,c}]");
        assert_eq!(require(fields(&body), &["b"]), Ok(()));
        // A long list is broken as Erlang prints it.
        let all = ["routing_key", "properties", "payload", "payload_encoding"];
        let text = "[{key_missing,routing_key},\n {key_missing,properties},\n \
                    {key_missing,payload},\n {key_missing,payload_encoding}]";
        assert_eq!(require(fields(&body), &all), Err(text.to_owned()));
        assert_eq!(super::text(fields(&body), "b").unwrap_err(), "b has to be a text");
    }

    #[test]
    fn flags_and_integers_are_read_as_people_write_them() {
        let body = json!({"a": "true", "b": false, "c": 1, "d": null});
        assert_eq!(flag(fields(&body), "a", false), Ok(true));
        assert_eq!(flag(fields(&body), "b", true), Ok(false));
        assert_eq!(flag(fields(&body), "d", true), Ok(true));
        assert!(flag(fields(&body), "c", true).is_err());
        let integers = [json!(5), json!(-3.0), json!(1.5), json!("5"), json!(1e300), json!(null)];
        assert_eq!(
            integers.map(|value| integer(&value)),
            [Some(5), Some(-3), None, None, None, None]
        );
    }

    #[test]
    fn tags_are_a_list_or_a_text_with_commas() {
        assert_eq!(words("tags", &json!("a, b ,,c")).unwrap(), ["a", "b", "c"]);
        assert_eq!(words("tags", &json!(["a", "b,c"])).unwrap(), ["a", "b,c"]);
        assert!(words("tags", &json!("")).unwrap().is_empty());
        for wrong in [json!(5), json!(null), json!(["a", 5]), json!({})] {
            assert!(words("tags", &wrong).is_err());
        }
    }

    #[test]
    fn names_fit_into_short_strings() {
        let body = json!({"good": "n".repeat(255), "long": "n".repeat(256)});
        assert!(name(fields(&body), "good").is_ok());
        assert!(name(fields(&body), "long").is_err());
    }
}
