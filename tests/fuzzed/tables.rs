//! Field tables: every value of a table that was taken can be reached and written again.

use leveret::amqp::{Array, ArrayBuf, Table, TableBuf, Value};

pub fn run(input: &[u8]) {
    if let Ok(table) = Table::new(input) {
        look_through(table);
    }
    if let Ok(array) = Array::new(input) {
        look_through_all(vec![Value::Array(array)]);
    }
}

/// Looks at every value, however deep, and writes each table again.
pub fn look_through(table: Table<'_>) {
    look_through_all(vec![Value::Table(table)]);
}

fn look_through_all(mut left: Vec<Value<'_>>) {
    while let Some(value) = left.pop() {
        match value {
            Value::Table(table) => {
                let mut written = TableBuf::new();
                for (key, value) in table.iter() {
                    assert!(table.find(key).is_some());
                    written.put(key, value);
                    left.push(value);
                }
                let again = Table::new(written.table().as_bytes()).expect("it was written");
                assert_eq!(again.iter().count(), table.iter().count());
                assert_eq!(again.is_empty(), table.is_empty());
            }
            Value::Array(array) => {
                let mut written = ArrayBuf::new();
                for value in array.iter() {
                    written.push(value);
                    left.push(value);
                }
                let again = Array::new(written.array().as_bytes()).expect("it was written");
                assert_eq!(again.iter().count(), array.iter().count());
            }
            Value::Bool(_)
            | Value::I8(_)
            | Value::U8(_)
            | Value::I16(_)
            | Value::U16(_)
            | Value::I32(_)
            | Value::U32(_)
            | Value::I64(_)
            | Value::U64(_)
            | Value::F32(_)
            | Value::F64(_)
            | Value::Decimal { .. }
            | Value::LongString(_)
            | Value::Bytes(_)
            | Value::Timestamp(_)
            | Value::Void => {
                let numbers = (value.integer(), value.fraction());
                assert!(value.text().is_none() || numbers == (None, None), "{value:?}");
            }
        }
    }
}
