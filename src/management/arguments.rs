//! How does JSON become a table of AMQP?

use serde_json::{Map, Value as Json};

use crate::amqp::{ArrayBuf, TableBuf, Value};

/// The most bytes of a key, as of any short string.
const KEY_BYTES_MAX: usize = 255;

/// Why JSON is no table.
#[derive(Debug, PartialEq)]
pub enum Unfit {
    /// There is a null in it, where that says nothing.
    Null,
    /// A number does not fit into 64 bits with a sign.
    Number(Json),
    /// A key is too long.
    Key,
}

impl From<Unfit> for String {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Null => "null_not_allowed".to_owned(),
            Unfit::Number(number) => format!("{number} does not fit into 64 bits with a sign"),
            Unfit::Key => format!("a key has more than {KEY_BYTES_MAX} bytes"),
        }
    }
}

/// Whether a null is a value, as it is in a table that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// It stands for a value of no kind.
    Taken,
    /// It is a mistake.
    Refused,
}

/// The table that a JSON object is: integers have 64 bits, as RabbitMQ makes them, other numbers
/// are doubles.
///
/// # Errors
/// What does not fit.
pub fn table(object: &Map<String, Json>, nulls: Nulls) -> Result<TableBuf, Unfit> {
    let mut table = TableBuf::new();
    for (key, value) in object {
        if key.len() > KEY_BYTES_MAX {
            return Err(Unfit::Key);
        }
        with_value(value, nulls, &mut |value| table.put(key.as_bytes(), value))?;
    }
    Ok(table)
}

fn with_value(json: &Json, nulls: Nulls, put: &mut dyn FnMut(Value<'_>)) -> Result<(), Unfit> {
    match json {
        Json::Null if nulls == Nulls::Refused => return Err(Unfit::Null),
        Json::Null => put(Value::Void),
        Json::Bool(flag) => put(Value::Bool(*flag)),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => put(Value::I64(integer)),
            (None, Some(float)) if !number.is_u64() => put(Value::F64(float)),
            (None, _) => return Err(Unfit::Number(json.clone())),
        },
        Json::String(text) => put(Value::LongString(text.as_bytes())),
        Json::Array(values) => {
            let mut array = ArrayBuf::new();
            for value in values {
                with_value(value, nulls, &mut |value| array.push(value))?;
            }
            put(Value::Array(array.array()));
        }
        Json::Object(object) => put(Value::Table(table(object, nulls)?.table())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::management::json as shown;

    #[test]
    fn a_table_that_was_shown_is_the_same_again() {
        let value = json!({
            "a": 1, "b": -5, "c": 1.5, "d": "text", "e": [1, "x", [null]], "f": {"g": true},
        });
        let table = table(value.as_object().unwrap(), Nulls::Taken).unwrap();
        assert_eq!(shown::table(table.table()), value);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (wrong, why) in [
            (json!({"a": u64::MAX}), Unfit::Number(json!(u64::MAX))),
            (json!({"k".repeat(256): 1}), Unfit::Key),
            (json!({"a": [u64::MAX]}), Unfit::Number(json!(u64::MAX))),
            (json!({"a": [{"b": null}]}), Unfit::Null),
        ] {
            assert_eq!(table(wrong.as_object().unwrap(), Nulls::Refused).err(), Some(why));
        }
    }
}
