//! What is in a row? What the API says, as rabbitmqctl shows it.

use serde_json::{Map, Value, json};

use super::term::Term;

/// Something that can be listed.
pub struct Column {
    /// What it is called here.
    pub name: &'static str,
    /// What it is called in the API; dots lead into objects, bars separate alternatives, of which
    /// the first that is there counts.
    pub from: &'static str,
    /// How it is shown.
    pub show: Show,
}

/// How a value is shown.
// Erlang knows texts and atoms; the API's JSON does not say what a value was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// As it is.
    Plain,
    /// As it is; one of few words, which Erlang calls an atom.
    Atom,
    /// As an AMQP table.
    Arguments,
    /// As JSON in a text.
    Json,
    /// As a protocol's version.
    Protocol,
    /// As this text, whatever the row says.
    Fixed(&'static str),
}

/// A value in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Shown as it is.
    Plain(Value),
    /// Shown as it is, one of few words.
    Atom(Value),
    /// An AMQP table.
    Arguments(Map<String, Value>),
    /// A protocol's version.
    Protocol(Vec<u64>),
}

impl Column {
    /// A column that is called the same in the API.
    pub const fn plain(name: &'static str) -> Column {
        Column { name, from: name, show: Show::Plain }
    }

    /// A column that is called otherwise in the API.
    pub const fn renamed(name: &'static str, from: &'static str) -> Column {
        Column { name, from, show: Show::Plain }
    }

    /// A column that is called the same in the API and has one of few words.
    pub const fn atom(name: &'static str) -> Column {
        Column { name, from: name, show: Show::Atom }
    }

    /// What the API calls `path` in `object`.
    pub fn field(path: &str, object: &Value) -> Cell {
        Cell::Plain(lookup(object, path).cloned().unwrap_or_default())
    }

    /// What this column shows of `object`.
    pub fn of(&self, object: &Value) -> Cell {
        let value = self.from.split('|').find_map(|path| lookup(object, path));
        let value = value.cloned().unwrap_or(Value::Null);
        match (self.show, value) {
            (Show::Fixed(text), _) => Cell::Atom(json!(text)),
            (Show::Atom, value) => Cell::Atom(value),
            (Show::Arguments, Value::Object(table)) => Cell::Arguments(table),
            // An empty table, as some versions of the API write it.
            (Show::Arguments, Value::Array(none)) if none.is_empty() => Cell::Arguments(Map::new()),
            (Show::Json, value) => Cell::Plain(Value::String(value.to_string())),
            (Show::Protocol, Value::String(text)) => match version(&text) {
                Some(numbers) => Cell::Protocol(numbers),
                None => Cell::Plain(Value::String(text)),
            },
            (_, value) => Cell::Plain(value),
        }
    }

    /// The API's names for what it needs, to ask for nothing else.
    pub fn sources(&self) -> impl Iterator<Item = &'static str> {
        let fixed = matches!(self.show, Show::Fixed(_));
        self.from.split('|').filter(move |_| !fixed)
    }
}

impl Cell {
    /// For tables.
    pub fn text(&self) -> String {
        match self {
            Cell::Plain(value) | Cell::Atom(value) => plain(value),
            Cell::Arguments(table) => term_of_table(table),
            Cell::Protocol(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
                format!("{{{}}}", numbers.join(","))
            }
        }
    }

    /// For JSON.
    pub fn json(&self) -> Value {
        match self {
            Cell::Plain(Value::Null) | Cell::Atom(Value::Null) => json!(""),
            Cell::Plain(value) | Cell::Atom(value) => value.clone(),
            Cell::Arguments(table) => typed_table(table),
            Cell::Protocol(numbers) => json!(numbers),
        }
    }
}

impl Cell {
    /// For Erlang.
    pub fn erlang(&self) -> Term {
        match self {
            Cell::Plain(value) => Term::of(value),
            Cell::Atom(value) => Term::of_atoms(value),
            Cell::Arguments(table) => Term::of_typed(&typed_table(table)),
            Cell::Protocol(numbers) => {
                Term::Tuple(numbers.iter().map(|number| Term::Word(number.to_string())).collect())
            }
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Plain(json!(text))
    }
}

fn lookup<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let found = path.split('.').try_fold(object, |value, name| value.get(name))?;
    (!found.is_null()).then_some(found)
}

/// The numbers of `AMQP 0-9-1`.
fn version(text: &str) -> Option<Vec<u64>> {
    let numbers = text.strip_prefix("AMQP ")?;
    numbers.split('-').map(|number| number.parse().ok()).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(items) => {
            let pair = |(name, value): (&String, &Value)| format!("{{{name}, {}}}", plain(value));
            let items: Vec<String> = items.iter().map(pair).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

/// `[{"name",value},...]`, as RabbitMQ prints tables.
fn term_of_table(table: &Map<String, Value>) -> String {
    let pair = |(name, value): (&String, &Value)| format!("{{{},{}}}", json!(name), term(value));
    let pairs: Vec<String> = table.iter().map(pair).collect();
    format!("[{}]", pairs.join(","))
}

fn term(value: &Value) -> String {
    match value {
        Value::Object(table) => term_of_table(table),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(term).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null => "undefined".to_owned(),
        Value::String(_) | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// `[["name","type",value],...]`, as rabbitmqctl prints tables in JSON. The API does not say which
/// of the integer types a number had; this says the smallest that rabbitmqctl would show.
fn typed_table(table: &Map<String, Value>) -> Value {
    let row = |(name, value): (&String, &Value)| match value {
        Value::String(_) => json!([name, "longstr", value]),
        Value::Bool(_) => json!([name, "bool", value]),
        Value::Number(number) if number.is_f64() => json!([name, "double", value]),
        Value::Number(number) => {
            let small = number.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
            json!([name, if small { "signedint" } else { "long" }, value])
        }
        Value::Array(_) => json!([name, "array", value]),
        Value::Object(table) => json!([name, "table", typed_table(table)]),
        Value::Null => json!([name, "void", "undefined"]),
    };
    Value::Array(table.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(from: &'static str, show: Show, object: &Value) -> Cell {
        Column { name: "x", from, show }.of(object)
    }

    #[test]
    fn plain_values_are_shown_as_rabbitmqctl_shows_them() {
        for (value, text, as_json) in [
            (json!(null), "", json!("")),
            (json!("a\tb"), "a\tb", json!("a\tb")),
            (json!(true), "true", json!(true)),
            (json!(2.187e-6), "2.187e-6", json!(2.187e-6)),
            (json!([]), "[]", json!([])),
            (json!(["a", "b"]), "[a, b]", json!(["a", "b"])),
            (json!({"n@h": "running"}), "[{n@h, running}]", json!({"n@h": "running"})),
        ] {
            let cell = cell("v", Show::Plain, &json!({"v": value}));
            assert_eq!(cell.text(), text);
            assert_eq!(cell.json(), as_json);
        }
    }

    #[test]
    fn tables_are_shown_as_rabbitmqctl_shows_them() {
        let object = json!({"v": {
            "a": "b\"", "n": 60_000_000, "l": [1, "a", true], "t": {"x": 5_000_000_000_u64}
        }});
        let cell = cell("v", Show::Arguments, &object);
        assert_eq!(
            cell.text(),
            r#"[{"a","b\""},{"l",[1,"a",true]},{"n",60000000},{"t",[{"x",5000000000}]}]"#
        );
        assert_eq!(
            cell.json(),
            json!([
                ["a", "longstr", "b\""],
                ["l", "array", [1, "a", true]],
                ["n", "signedint", 60_000_000],
                ["t", "table", [["x", "long", 5_000_000_000_u64]]]
            ])
        );
        for none in [json!({"v": {}}), json!({"v": []})] {
            let cell = super::tests::cell("v", Show::Arguments, &none);
            assert_eq!((cell.text(), cell.json()), ("[]".to_owned(), json!([])));
        }
    }

    #[test]
    fn protocols_definitions_and_fixed_texts() {
        let object = json!({"p": "AMQP 0-9-1", "q": "direct 0", "d": {"b": 1, "a": [2]}});
        let protocol = cell("p", Show::Protocol, &object);
        assert_eq!((protocol.text(), protocol.json()), ("{0,9,1}".to_owned(), json!([0, 9, 1])));
        assert_eq!(cell("q", Show::Protocol, &object).text(), "direct 0");
        assert_eq!(cell("d", Show::Json, &object).text(), r#"{"a":[2],"b":1}"#);
        assert_eq!(cell("d", Show::Fixed("exchange"), &object).text(), "exchange");
    }

    #[test]
    fn paths_lead_into_objects_and_to_alternatives() {
        let object = json!({"queue": {"name": "q"}, "pid": null});
        assert_eq!(cell("queue.name", Show::Plain, &object).text(), "q");
        assert_eq!(cell("pid|queue.name", Show::Plain, &object).text(), "q");
        assert_eq!(cell("queue.name.x|nothing", Show::Plain, &object).text(), "");
    }
}
