//! Owned forms of what travels on the wire: field values, properties, frames.

use leveret::amqp::{
    ArrayBuf, ContentHeader, Frame, FrameKind, Method, Parsed, Properties, PropertyList, Table,
    TableBuf, Value,
};

/// A field value; those kinds that occur here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Val {
    I32(i32),
    I64(i64),
    Bool(bool),
    Text(String),
    Time(u64),
    List(Vec<Val>),
    Map(Fields),
    Void,
}

/// A field table in order.
pub type Fields = Vec<(String, Val)>;

/// What the properties of a message say here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Props {
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub expiration: Option<String>,
    pub reply_to: Option<String>,
    pub headers: Option<Fields>,
}

/// A method with its content, as it came from the broker.
#[derive(Clone, Debug)]
pub struct Received {
    pub channel: u16,
    pub method: Vec<u8>,
    pub content: Option<(Props, Vec<u8>)>,
}

impl Val {
    pub fn read(value: Value<'_>) -> Val {
        match value {
            Value::I32(value) => Val::I32(value),
            Value::I64(value) => Val::I64(value),
            Value::Bool(value) => Val::Bool(value),
            Value::LongString(text) => Val::Text(String::from_utf8(text.to_vec()).unwrap()),
            Value::Timestamp(seconds) => Val::Time(seconds),
            Value::Array(list) => Val::List(list.iter().map(Val::read).collect()),
            Value::Table(table) => Val::Map(fields(table)),
            Value::Void => Val::Void,
            other => panic!("nobody sent a value such as {other:?}"),
        }
    }

    fn put(&self, table: &mut TableBuf, key: &str) {
        let key = key.as_bytes();
        match self {
            Val::I32(value) => table.put(key, Value::I32(*value)),
            Val::I64(value) => table.put(key, Value::I64(*value)),
            Val::Bool(value) => table.put(key, Value::Bool(*value)),
            Val::Text(text) => table.put(key, Value::LongString(text.as_bytes())),
            Val::Time(seconds) => table.put(key, Value::Timestamp(*seconds)),
            Val::List(list) => {
                let mut array = ArrayBuf::new();
                for value in list {
                    let Val::Text(text) = value else { panic!("clients send lists of texts only") };
                    array.push_str(text);
                }
                table.put(key, Value::Array(array.array()));
            }
            Val::Map(inner) => table.put(key, Value::Table(table_of(inner).table())),
            Val::Void => table.put(key, Value::Void),
        }
    }
}

pub fn fields(table: Table<'_>) -> Fields {
    let name = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    table.iter().map(|(key, value)| (name(key), Val::read(value))).collect()
}

pub fn table_of(fields: &[(String, Val)]) -> TableBuf {
    let mut table = TableBuf::new();
    for (key, value) in fields {
        value.put(&mut table, key);
    }
    table
}

impl Props {
    pub fn encode(&self) -> Vec<u8> {
        let headers = self.headers.as_ref().map(|headers| table_of(headers));
        let mut bytes = Vec::new();
        PropertyList {
            delivery_mode: self.delivery_mode,
            priority: self.priority,
            expiration: self.expiration.as_ref().map(|text| text.as_bytes()),
            reply_to: self.reply_to.as_ref().map(|text| text.as_bytes()),
            headers: headers.as_ref().map(TableBuf::table),
            ..PropertyList::default()
        }
        .encode(&mut bytes);
        bytes
    }

    pub fn read(bytes: &[u8]) -> Props {
        let list = Properties::new(bytes).list().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Props {
            delivery_mode: list.delivery_mode,
            priority: list.priority,
            expiration: list.expiration.map(text),
            reply_to: list.reply_to.map(text),
            headers: list.headers.map(fields),
        }
    }

    pub fn header(&self, name: &str) -> Option<&Val> {
        let mut headers = self.headers.iter().flatten();
        headers.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub fn set_header(&mut self, name: &str, value: Val) {
        let headers = self.headers.get_or_insert_default();
        headers.retain(|(key, _)| key != name);
        headers.push((name.into(), value));
    }

    pub fn remove_header(&mut self, name: &str) {
        if let Some(headers) = &mut self.headers {
            headers.retain(|(key, _)| key != name);
        }
    }

    /// The order of the headers says nothing; that within a header does.
    pub fn same_as(&self, other: &Props) -> bool {
        let sorted = |props: &Props| {
            let mut props = props.clone();
            if let Some(headers) = &mut props.headers {
                headers.sort();
            }
            props
        };
        sorted(self) == sorted(other)
    }
}

impl Received {
    pub fn method(&self) -> Method<'_> {
        Method::decode(&self.method).unwrap()
    }
}

/// Takes whole methods, contents included, from the front of `bytes`.
pub fn take_received(bytes: &mut Vec<u8>, frame_bytes_max: u32) -> Vec<Received> {
    let mut all = Vec::new();
    let mut done = 0;
    while let Some((received, length)) = one_received(&bytes[done..], frame_bytes_max) {
        all.push(received);
        done += length;
    }
    bytes.drain(..done);
    all
}

fn one_received(bytes: &[u8], frame_bytes_max: u32) -> Option<(Received, usize)> {
    let mut at = 0;
    let mut frame = |kind: FrameKind| -> Option<(u16, Vec<u8>)> {
        match Frame::parse(&bytes[at..], frame_bytes_max).unwrap() {
            Parsed::Incomplete => None,
            Parsed::Complete(frame, length) => {
                at += length;
                assert_eq!(frame.kind, kind, "what came instead: {frame:?}");
                Some((frame.channel, frame.payload.to_vec()))
            }
        }
    };
    let (channel, method) = frame(FrameKind::Method)?;
    let mut content = None;
    if Method::decode(&method).unwrap().has_content() {
        let (on, header) = frame(FrameKind::Header)?;
        assert_eq!(on, channel, "a content is not torn apart");
        let header = ContentHeader::parse(&header).unwrap();
        let mut body = Vec::new();
        while (body.len() as u64) < header.body_bytes {
            let (on, chunk) = frame(FrameKind::Body)?;
            assert_eq!(on, channel, "a content is not torn apart");
            body.extend_from_slice(&chunk);
        }
        assert_eq!(body.len() as u64, header.body_bytes, "as announced");
        content = Some((Props::read(header.properties.as_bytes()), body));
    }
    let received = Received { channel, method, content };
    Some((received, at))
}
