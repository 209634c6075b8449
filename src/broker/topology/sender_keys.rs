//! Which routing keys did a message's sender choose?

use crate::amqp::{Array, Table, Value};

/// The header with further routing keys that everybody may see.
pub(in crate::broker) const CC: &[u8] = b"CC";

/// The header whose keys are hidden.
pub(in crate::broker) const BCC: &[u8] = b"BCC";

/// All routing keys that the sender chose: the key, then those of the headers CC and BCC.
pub fn sender_keys<'a>(
    routing_key: &'a [u8],
    headers: Option<Table<'a>>,
) -> impl Iterator<Item = &'a [u8]> {
    open_keys(routing_key, headers).chain(keys_in(headers, BCC))
}

/// Those of them that consumers may see.
pub fn open_keys<'a>(
    routing_key: &'a [u8],
    headers: Option<Table<'a>>,
) -> impl Iterator<Item = &'a [u8]> {
    std::iter::once(routing_key).chain(keys_in(headers, CC))
}

fn keys_in<'a>(headers: Option<Table<'a>>, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let keys = match headers.and_then(|headers| headers.find(name)) {
        Some(Value::Array(keys)) => keys,
        _ => Array::EMPTY,
    };
    keys.iter().filter_map(|key| key.text())
}
