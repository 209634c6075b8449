//! Values as RabbitMQ prints them in error texts: Erlang's terms. Clients and their tests match on
//! those texts. Imports `amqp`.

use crate::amqp::Value;

/// The value as Erlang's `~p` prints it: `1`, `true`, `<<"text">>`, `[{long,1}]`.
pub fn term(value: Value<'_>) -> String {
    if let Value::LongString(bytes) | Value::Bytes(bytes) = value {
        binary(bytes)
    } else {
        value.to_string()
    }
}

/// Bytes as Erlang prints a binary: quoted when they are text, else byte by byte.
pub fn binary(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok("") => "<<>>".to_owned(),
        Ok(text) if text.chars().all(is_printable) => {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"");
            let text = text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
            format!("<<\"{text}\">>")
        }
        Ok(_) | Err(_) => {
            let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
            format!("<<{}>>", numbers.join(","))
        }
    }
}

fn is_printable(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\r' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::{ArrayBuf, TableBuf};

    #[test]
    fn values_look_as_erlang_prints_them() {
        assert_eq!(term(Value::LongString(b"foo")), "<<\"foo\">>");
        assert_eq!(term(Value::LongString(b"say \"a\\b\"")), r#"<<"say \"a\\b\"">>"#);
        assert_eq!(term(Value::Bytes(&[1, 2, 255])), "<<1,2,255>>");
        assert_eq!(binary(b""), "<<>>");
        assert_eq!(binary("é\n".as_bytes()), "<<\"é\\n\">>");
        assert_eq!(term(Value::I64(-5)), "-5");
        assert_eq!(term(Value::F64(1.0)), "1.0");
        assert_eq!(term(Value::Void), "undefined");
        let mut array = ArrayBuf::new();
        array.push(Value::I64(1));
        array.push(Value::Bool(true));
        assert_eq!(term(Value::Array(array.array())), "[{long,1},{bool,true}]");
        let mut table = TableBuf::new();
        table.put(b"a", Value::LongString(b"b"));
        table.put(b"c", Value::I32(2));
        let expected = r#"[{<<"a">>,longstr,<<"b">>},{<<"c">>,signedint,2}]"#;
        assert_eq!(term(Value::Table(table.table())), expected);
    }
}
