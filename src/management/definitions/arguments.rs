//! How does JSON become a table of AMQP?

use serde_json::{Map, Value as Json};

use super::Wrong;
use crate::amqp::{ArrayBuf, TableBuf, Value};

/// The most bytes of a key, as of any short string.
const KEY_BYTES_MAX: usize = 255;

/// The table that a JSON object is: integers have 64 bits, other numbers are doubles.
///
/// # Errors
/// When a number or a key does not fit.
pub fn table(object: &Map<String, Json>) -> Result<TableBuf, Wrong> {
    let mut table = TableBuf::new();
    for (key, value) in object {
        if key.len() > KEY_BYTES_MAX {
            return Err(format!("a key has more than {KEY_BYTES_MAX} bytes"));
        }
        with_value(value, &mut |value| table.put(key.as_bytes(), value))?;
    }
    Ok(table)
}

fn with_value(json: &Json, put: &mut dyn FnMut(Value<'_>)) -> Result<(), Wrong> {
    match json {
        Json::Null => put(Value::Void),
        Json::Bool(flag) => put(Value::Bool(*flag)),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => put(Value::I64(integer)),
            (None, Some(float)) if !number.is_u64() => put(Value::F64(float)),
            (None, _) => return Err(format!("{number} does not fit into 64 bits with a sign")),
        },
        Json::String(text) => put(Value::LongString(text.as_bytes())),
        Json::Array(values) => {
            let mut array = ArrayBuf::new();
            for value in values {
                with_value(value, &mut |value| array.push(value))?;
            }
            put(Value::Array(array.array()));
        }
        Json::Object(object) => put(Value::Table(table(object)?.table())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::management::json;

    #[test]
    fn a_table_that_was_shown_is_the_same_again() {
        let shown = json!({
            "a": 1, "b": -5, "c": 1.5, "d": "text", "e": [1, "x", [null]], "f": {"g": true},
        });
        let table = table(shown.as_object().unwrap()).unwrap();
        assert_eq!(json::table(table.table()), shown);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for wrong in [json!({"a": u64::MAX}), json!({"k".repeat(256): 1}), json!({"a": [u64::MAX]})]
        {
            assert!(table(wrong.as_object().unwrap()).is_err());
        }
    }
}
