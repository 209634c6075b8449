//! What does a value look like in Erlang? As `~p` writes it, 80 columns wide.

use serde_json::Value;

/// An Erlang term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// A number, an atom or a binary, as it is written.
    Word(String),
    /// `[...]`.
    List(Vec<Term>),
    /// `{...}`.
    Tuple(Vec<Term>),
}

impl Term {
    /// The atom of this name.
    pub fn atom(name: &str) -> Term {
        let mut bytes = name.bytes();
        let bare = bytes.next().is_some_and(|first| first.is_ascii_lowercase())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@'));
        if bare {
            return Term::Word(name.to_owned());
        }
        Term::Word(format!("'{}'", name.replace('\\', "\\\\").replace('\'', "\\'")))
    }

    /// A text. Erlang has bytes, and shows them as Latin-1 where that can be read.
    pub fn binary(text: &str) -> Term {
        if text.is_empty() {
            return Term::Word("<<>>".to_owned());
        }
        let letters: Option<String> = text.bytes().map(letter).collect();
        Term::Word(match letters {
            Some(letters) => format!("<<\"{letters}\">>"),
            None => {
                let numbers: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
                format!("<<{}>>", numbers.join(","))
            }
        })
    }

    /// A value of the API whose texts are texts.
    pub fn of(value: &Value) -> Term {
        Term::build(value, &Term::binary)
    }

    /// A value of the API whose texts are atoms.
    pub fn of_atoms(value: &Value) -> Term {
        Term::build(value, &Term::atom)
    }

    /// An AMQP table as rows of name, type and value.
    pub fn of_typed(rows: &Value) -> Term {
        let row = |row: &Value| match row.as_array().map(Vec::as_slice) {
            Some([Value::String(name), Value::String(kind), value]) => {
                let value = if kind == "table" { Term::of_typed(value) } else { Term::of(value) };
                Term::Tuple(vec![Term::binary(name), Term::atom(kind), value])
            }
            _ => Term::of(row),
        };
        Term::List(rows.as_array().into_iter().flatten().map(row).collect())
    }

    fn build(value: &Value, text: &dyn Fn(&str) -> Term) -> Term {
        match value {
            Value::Null => Term::atom(""),
            Value::String(string) => text(string),
            Value::Bool(_) | Value::Number(_) => Term::Word(value.to_string()),
            Value::Array(items) => {
                Term::List(items.iter().map(|item| Term::build(item, text)).collect())
            }
            Value::Object(items) => {
                let pair = |(name, value): (&String, &Value)| {
                    Term::Tuple(vec![Term::atom(name), Term::build(value, text)])
                };
                Term::List(items.iter().map(pair).collect())
            }
        }
    }

    /// In lines.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(0, 0, &mut out);
        out
    }

    /// Writes it from `column` on; `after` characters must fit behind it.
    fn write(&self, column: usize, after: usize, out: &mut String) {
        let (items, open, close) = match self {
            Term::Word(word) => return out.push_str(word),
            Term::List(items) => (items, '[', ']'),
            Term::Tuple(items) => (items, '{', '}'),
        };
        if column + self.length() + after <= COLUMNS {
            return self.flat(out);
        }
        out.push(open);
        let first = column + 1;
        let mut at = first;
        for (index, item) in items.iter().enumerate() {
            let rest = if index + 1 == items.len() { after + 1 } else { 1 };
            if index > 0 {
                out.push(',');
                at += 1;
                // A tuple's value stands behind its name, and short words side by side.
                let beside = matches!((self, item), (Term::Tuple(_), _) | (_, Term::Word(_)))
                    && (matches!(self, Term::Tuple(_)) || at + item.length() + rest <= COLUMNS);
                if !beside {
                    out.push('\n');
                    out.extend(std::iter::repeat_n(' ', first));
                    at = first;
                }
            }
            item.write(at, rest, out);
            at += item.length();
        }
        out.push(close);
    }

    fn flat(&self, out: &mut String) {
        let (items, open, close) = match self {
            Term::Word(word) => return out.push_str(word),
            Term::List(items) => (items, '[', ']'),
            Term::Tuple(items) => (items, '{', '}'),
        };
        out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            item.flat(out);
        }
        out.push(close);
    }

    /// Its length in one line.
    fn length(&self) -> usize {
        match self {
            Term::Word(word) => word.chars().count(),
            Term::List(items) | Term::Tuple(items) => {
                let inside: usize = items.iter().map(Term::length).sum();
                inside + items.len().max(1) + 1
            }
        }
    }
}

/// A byte of a text that can be read.
fn letter(byte: u8) -> Option<String> {
    match byte {
        b'"' | b'\\' => Some(format!("\\{}", char::from(byte))),
        b'\n' => Some("\\n".to_owned()),
        b'\r' => Some("\\r".to_owned()),
        b'\t' => Some("\\t".to_owned()),
        8 => Some("\\b".to_owned()),
        11 => Some("\\v".to_owned()),
        12 => Some("\\f".to_owned()),
        27 => Some("\\e".to_owned()),
        32..=126 | 160..=255 => Some(char::from(byte).to_string()),
        _ => None,
    }
}

const COLUMNS: usize = 79;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(pairs: &[(&str, Term)]) -> Term {
        let pair = |(name, term): &(&str, Term)| Term::Tuple(vec![Term::atom(name), term.clone()]);
        Term::List(pairs.iter().map(pair).collect())
    }

    /// The expectations are what rabbitmqctl 3.10.8 printed.
    #[test]
    fn rows_are_laid_out_as_erlang_lays_them_out() {
        let (text, atom) = (Term::binary, Term::atom);
        let exchange = |name: &str, kind: &str, arguments| {
            let durable = Term::Word("true".to_owned());
            let (name, kind) = (text(name), atom(kind));
            row(&[("name", name), ("type", kind), ("durable", durable), ("arguments", arguments)])
        };
        let arguments = Term::of_typed(&json!([["alternate-exchange", "longstr", "x.direct"]]));
        let none = Term::List(Vec::new());
        let list = Term::List(vec![
            exchange("amq.rabbitmq.trace", "topic", none.clone()),
            exchange("", "direct", none),
            exchange("x.topic", "topic", arguments),
        ]);
        assert_eq!(
            list.pretty(),
            "[[{name,<<\"amq.rabbitmq.trace\">>},{type,topic},{durable,true},{arguments,[]}],\n \
             [{name,<<>>},{type,direct},{durable,true},{arguments,[]}],\n \
             [{name,<<\"x.topic\">>},\n  {type,topic},\n  {durable,true},\n  \
             {arguments,[{<<\"alternate-exchange\">>,longstr,<<\"x.direct\">>}]}]]"
        );
    }

    #[test]
    fn a_long_value_stands_behind_its_name() {
        let arguments = json!([
            ["x-dead-letter-exchange", "longstr", "x.direct"],
            ["x-max-priority", "long", 5]
        ]);
        let queue =
            row(&[("name", Term::binary("c.busy")), ("arguments", Term::of_typed(&arguments))]);
        assert_eq!(
            Term::List(vec![queue]).pretty(),
            "[[{name,<<\"c.busy\">>},\n  \
             {arguments,[{<<\"x-dead-letter-exchange\">>,longstr,<<\"x.direct\">>},\n              \
             {<<\"x-max-priority\">>,long,5}]}]]"
        );
    }

    #[test]
    fn words_are_quoted_as_erlang_quotes_them() {
        let word = |term: Term| term.pretty();
        assert_eq!(word(Term::atom("apply-to")), "'apply-to'");
        assert_eq!(word(Term::atom("running")), "running");
        assert_eq!(word(Term::of(&json!(null))), "''");
        assert_eq!(word(Term::binary("^c\\.")), "<<\"^c\\\\.\">>");
        assert_eq!(word(Term::binary("a\"b\n")), "<<\"a\\\"b\\n\">>");
        assert_eq!(word(Term::binary("é")), "<<\"Ã©\">>");
        assert_eq!(word(Term::binary("€")), "<<226,130,172>>");
        assert_eq!(word(Term::of_atoms(&json!(["a", "b"]))), "[a,b]");
        assert_eq!(word(Term::of(&json!({"a": {"b": 1}}))), "[{a,[{b,1}]}]");
    }
}
