//! What is bound to what?
//!
//! The default exchange's bindings are stored nowhere: there is one for every queue, by its name.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::amqp::{Name, Table, TableBuf};
use crate::broker::exchange::binding::{Binding, Destination};
use crate::broker::requests::bindings::{BindRequest, DestinationName};
use crate::broker::{ExchangeKey, QueueKey, Subject, VhostKey};
use crate::management::authentication::Caller;
use crate::management::call::{
    Answer, Call, Context, Durable, Outcome, Progress, Right, Route, Work,
};
use crate::management::list::{self, Columns, Field, Next, Source};
use crate::management::request::{Method, percent_decoded};
use crate::management::response::Response;
use crate::management::{body, json, refusal};

/// Its rows of the table.
pub const ROUTES: &[Route] = &[
    Route { path: "bindings", methods: &[(Method::Get, Right::Management, list_all)] },
    Route { path: "bindings/*", methods: &[(Method::Get, Right::Management, list_of_vhost)] },
    Route {
        path: "bindings/*/e/*/q/*",
        methods: &[
            (Method::Get, Right::Management, |call| list_between(call, to_queue)),
            (Method::Post, Right::Management, |call| {
                bind(call, |name| DestinationName::Queue(name))
            }),
        ],
    },
    Route {
        path: "bindings/*/e/*/e/*",
        methods: &[
            (Method::Get, Right::Management, |call| list_between(call, to_exchange)),
            (Method::Post, Right::Management, |call| {
                bind(call, |name| DestinationName::Exchange(name))
            }),
        ],
    },
    Route {
        path: "bindings/*/e/*/q/*/*",
        methods: &[
            (Method::Get, Right::Management, |call| seek(call, to_queue, Then::Show)),
            (Method::Delete, Right::Management, |call| seek(call, to_queue, Then::Unbind)),
        ],
    },
    Route {
        path: "bindings/*/e/*/e/*/*",
        methods: &[
            (Method::Get, Right::Management, |call| seek(call, to_exchange, Then::Show)),
            (Method::Delete, Right::Management, |call| seek(call, to_exchange, Then::Unbind)),
        ],
    },
    Route {
        path: "queues/*/*/bindings",
        methods: &[(Method::Get, Right::Management, list_to_queue)],
    },
    Route {
        path: "exchanges/*/*/bindings/source",
        methods: &[(Method::Get, Right::Management, list_from_exchange)],
    },
    Route {
        path: "exchanges/*/*/bindings/destination",
        methods: &[(Method::Get, Right::Management, list_to_exchange)],
    },
];

/// A list of bindings of one queue or exchange is read through when it is no longer than this; else
/// all of the vhost's are, in several turns.
const LISTED_MAX: usize = 2_000;

/// The most bytes of a routing key.
const ROUTING_KEY_BYTES_MAX: usize = 255;

fn list_all(call: &mut Call<'_, '_>) -> Outcome {
    list::answer(call, Bindings::of(call, None, Implicit::All, Explicit::All))
}

fn list_of_vhost(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = Some(call.vhost(0)?);
    list::answer(call, Bindings::of(call, vhost, Implicit::All, Explicit::All))
}

fn list_to_queue(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = call.vhost(0)?;
    let queue = to_queue(call, vhost, 1);
    let implicit = match queue {
        Some(Destination::Queue(queue)) => Implicit::Of(queue),
        Some(Destination::Exchange(_)) | None => Implicit::None,
    };
    let explicit = Explicit::of(call, vhost, None, queue);
    list::answer(call, Bindings::of(call, Some(vhost), implicit, explicit))
}

fn list_from_exchange(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = call.vhost(0)?;
    let name = call.exchange_name(1);
    let implicit = if name.is_empty() { Implicit::All } else { Implicit::None };
    let source = call.context.broker.topology().exchange_named(vhost, name);
    let explicit = Explicit::of(call, vhost, source, None);
    list::answer(call, Bindings::of(call, Some(vhost), implicit, explicit))
}

fn list_to_exchange(call: &mut Call<'_, '_>) -> Outcome {
    let vhost = call.vhost(0)?;
    let explicit = Explicit::of(call, vhost, None, to_exchange(call, vhost, 1));
    list::answer(call, Bindings::of(call, Some(vhost), Implicit::None, explicit))
}

/// Finds what a part of the path names as the end of a binding.
type Find = fn(&Call<'_, '_>, VhostKey, usize) -> Option<Destination>;

fn to_queue(call: &Call<'_, '_>, vhost: VhostKey, part: usize) -> Option<Destination> {
    let key = call.context.broker.topology().queue_named(vhost, call.part(part))?;
    (!call.context.broker.queues().is_leaving(key)).then_some(Destination::Queue(key))
}

fn to_exchange(call: &Call<'_, '_>, vhost: VhostKey, part: usize) -> Option<Destination> {
    let name = call.exchange_name(part);
    call.context.broker.topology().exchange_named(vhost, name).map(Destination::Exchange)
}

fn list_between(call: &mut Call<'_, '_>, find: Find) -> Outcome {
    let vhost = call.vhost(0)?;
    let bindings = between(call, vhost, find);
    list::answer(call, bindings)
}

/// The bindings from the exchange of the path to its other end.
fn between(call: &Call<'_, '_>, vhost: VhostKey, find: Find) -> Bindings {
    let name = call.exchange_name(1);
    let source = call.context.broker.topology().exchange_named(vhost, name);
    let destination = find(call, vhost, 2);
    let (implicit, explicit) = match (source, destination) {
        (Some(_), Some(Destination::Queue(queue))) if name.is_empty() => {
            (Implicit::Of(queue), Explicit::None)
        }
        (Some(_), Some(_)) => (Implicit::None, Explicit::of(call, vhost, source, destination)),
        (Some(_) | None, _) => (Implicit::None, Explicit::None),
    };
    Bindings::of(call, Some(vhost), implicit, explicit)
}

/// Binds; a binding that is there already is fine.
fn bind(call: &mut Call<'_, '_>, named: fn(&[u8]) -> DestinationName<'_>) -> Outcome {
    let subject = call.subject(0)?;
    let (source, name) = (call.exchange_name(1).to_vec(), call.part(2).to_vec());
    let body = json::object(&call.request.body)?;
    let key = body::text(&body, "routing_key")?.unwrap_or_default();
    if key.len() > ROUTING_KEY_BYTES_MAX {
        return Err(Response::bad_request("a routing key has at most 255 bytes"));
    }
    let arguments = body::arguments(&body)?;
    let request = BindRequest {
        source: &source,
        destination: named(&name),
        routing_key: key.as_bytes(),
        arguments: arguments.table(),
    };
    let bound = call.context.broker.bind(&subject, &request);
    bound.map_err(|error| refusal::of_change(&error))?;
    let properties_key = properties_key(key.as_bytes(), arguments.table());
    let location = format!("{}/{}", percent(&name, b"~"), percent(properties_key.as_bytes(), b"~"));
    Ok(Answer::OnceDurable(Response::empty(201).header("location", location)))
}

/// What becomes of a binding that was looked for.
#[derive(Clone, Copy)]
enum Then {
    Show,
    Unbind,
}

fn seek(call: &mut Call<'_, '_>, find: Find, then: Then) -> Outcome {
    let vhost = call.vhost(0)?;
    let (subject, columns) = (call.subject(0)?, Columns::of(call.request));
    let (bindings, key) = (between(call, vhost, find), named_key(call.part(3)));
    Ok(Answer::Later(Box::new(Seek { bindings, key, subject, columns, then })))
}

/// Looks for the one with this key, however many turns that takes.
struct Seek {
    bindings: Bindings,
    key: Vec<u8>,
    subject: Subject,
    columns: Columns,
    then: Then,
}

impl Work for Seek {
    fn go_on(&mut self, context: &mut Context<'_>, _: &mut Vec<u8>) -> Progress {
        while !context.broker.work.is_done() {
            context.broker.work.spend(Bindings::WORK_PER_ITEM / 4);
            match self.bindings.next(context) {
                Next::Item(key) => {
                    let Some(found) = Found::at(context, key) else {
                        continue;
                    };
                    if found.properties_key().as_bytes() == self.key {
                        return self.found(context, &found);
                    }
                }
                Next::Nothing => {}
                Next::End => return Progress::Instead(Response::not_found()),
            }
        }
        Progress::Unfinished
    }
}

impl Seek {
    fn found(&self, context: &mut Context<'_>, found: &Found) -> Progress {
        match self.then {
            Then::Show => Progress::Instead(Response::json(&self.columns.pick(found.shown()))),
            Then::Unbind => {
                let request = BindRequest {
                    source: &found.source,
                    destination: match found.is_to_queue {
                        true => DestinationName::Queue(&found.destination),
                        false => DestinationName::Exchange(&found.destination),
                    },
                    routing_key: &found.key,
                    arguments: found.arguments.table(),
                };
                match context.broker.unbind(&self.subject, &request) {
                    Ok(()) => {
                        Progress::Once(Durable::changes(context.broker), Response::empty(204))
                    }
                    Err(error) => Progress::Instead(refusal::of_change(&error)),
                }
            }
        }
    }
}

/// Which bindings of the default exchange are listed.
enum Implicit {
    None,
    /// That to this queue.
    Of(QueueKey),
    All,
}

/// Which of the others.
enum Explicit {
    None,
    /// Those in these places of the vhost's table, as far as they still lead from and to these.
    Places(Vec<u32>, Ends),
    /// Those of all places that lead from and to these.
    Ends(Ends),
    All,
}

/// The ends of bindings, where they are given.
#[derive(Clone, Copy)]
struct Ends {
    source: Option<ExchangeKey>,
    destination: Option<Destination>,
}

impl Ends {
    fn are_of(self, binding: &Binding) -> bool {
        self.source.is_none_or(|source| source == binding.source)
            && self.destination.is_none_or(|destination| destination == binding.destination)
    }
}

impl Explicit {
    /// Those with these ends; without any, none.
    fn of(
        call: &Call<'_, '_>,
        vhost: VhostKey,
        source: Option<ExchangeKey>,
        destination: Option<Destination>,
    ) -> Self {
        let ends = Ends { source, destination };
        let Some(vhost) = call.context.broker.topology().vhost(vhost) else {
            return Self::None;
        };
        if source.is_none() && destination.is_none() {
            return Self::None;
        }
        match vhost.bindings.places_of(source, destination, LISTED_MAX) {
            Some(mut places) => {
                places.reverse();
                Self::Places(places, ends)
            }
            None => Self::Ends(ends),
        }
    }
}

/// A walk over bindings: first those of the default exchange, then the others.
struct Bindings {
    caller: Caller,
    vhost: Option<VhostKey>,
    implicit: Implicit,
    explicit: Explicit,
    /// The next places: of queues, of vhosts, of bindings in that vhost.
    queue_at: u32,
    vhost_at: u32,
    at: u32,
    /// The caller sees the present vhost.
    sees_vhost: bool,
}

/// How one is found again.
#[derive(Clone, Copy)]
enum Key {
    Implicit(QueueKey),
    Explicit(VhostKey, u32),
}

impl Bindings {
    fn of(
        call: &Call<'_, '_>,
        vhost: Option<VhostKey>,
        implicit: Implicit,
        explicit: Explicit,
    ) -> Self {
        let caller = call.caller.clone();
        Self {
            caller,
            vhost,
            implicit,
            explicit,
            queue_at: 0,
            vhost_at: 0,
            at: 0,
            sees_vhost: false,
        }
    }

    fn sees(&self, context: &Context<'_>, vhost: VhostKey) -> bool {
        match self.vhost {
            Some(wanted) => wanted == vhost,
            None => {
                let vhost = context.broker.topology().vhost(vhost);
                let users = context.broker.users();
                vhost.is_some_and(|vhost| self.caller.sees(users, &vhost.name))
            }
        }
    }

    /// The next of the default exchange's; `None` when there are no more.
    fn next_implicit(&mut self, context: &Context<'_>) -> Option<Next<Key>> {
        let queues = context.broker.queues();
        match self.implicit {
            Implicit::None => None,
            Implicit::Of(queue) => {
                self.implicit = Implicit::None;
                Some(Next::Item(Key::Implicit(queue)))
            }
            Implicit::All if self.queue_at >= queues.places() => {
                self.implicit = Implicit::None;
                None
            }
            Implicit::All => {
                let found = queues.at(self.queue_at);
                self.queue_at += 1;
                let listed = found.filter(|(key, queue)| {
                    !queue.is_reply_queue
                        && self.sees(context, queue.vhost)
                        && !queues.is_leaving(*key)
                });
                Some(listed.map_or(Next::Nothing, |(key, _)| Next::Item(Key::Implicit(key))))
            }
        }
    }

    fn next_explicit(&mut self, context: &Context<'_>) -> Next<Key> {
        let ends = match &mut self.explicit {
            Explicit::None => return Next::End,
            Explicit::Places(places, ends) => {
                let Some((vhost, place)) = self.vhost.zip(places.pop()) else {
                    return Next::End;
                };
                let found = context.broker.topology().vhost(vhost);
                let binding = found.and_then(|vhost| vhost.bindings.at(place));
                return match binding.filter(|binding| ends.are_of(binding)) {
                    Some(_) => Next::Item(Key::Explicit(vhost, place)),
                    None => Next::Nothing,
                };
            }
            Explicit::Ends(ends) => *ends,
            Explicit::All => Ends { source: None, destination: None },
        };
        let topology = context.broker.topology();
        if self.vhost_at >= topology.vhost_places() {
            return Next::End;
        }
        let vhost = topology.vhost_at(self.vhost_at);
        if self.at == 0 {
            self.sees_vhost = vhost.is_some_and(|(key, _)| self.sees(context, key));
        }
        let vhost = vhost.filter(|(_, vhost)| self.sees_vhost && self.at < vhost.bindings.places());
        let Some((key, vhost)) = vhost else {
            self.vhost_at += 1;
            self.at = 0;
            return Next::Nothing;
        };
        let place = self.at;
        self.at += 1;
        match vhost.bindings.at(place).filter(|binding| ends.are_of(binding)) {
            Some(_) => Next::Item(Key::Explicit(key, place)),
            None => Next::Nothing,
        }
    }
}

impl Source for Bindings {
    type Key = Key;

    const WORK_PER_ITEM: usize = 40;

    fn next(&mut self, context: &Context<'_>) -> Next<Key> {
        self.next_implicit(context).unwrap_or_else(|| self.next_explicit(context))
    }

    fn place(&self, context: &Context<'_>, key: &Key) -> Option<(Name, Name)> {
        let found = Found::at(context, *key)?;
        Some((found.vhost, found.source))
    }

    fn field(&self, context: &Context<'_>, key: &Key, path: &str) -> Option<Field> {
        let found = Found::at(context, *key)?;
        Some(Field::Text(match path {
            "source" => found.source,
            "destination" => found.destination,
            "routing_key" => found.key,
            "vhost" => found.vhost,
            _ => return None,
        }))
    }

    fn item(&self, context: &Context<'_>, key: &Key) -> Option<Value> {
        Found::at(context, *key).map(|found| found.shown())
    }
}

/// A binding in names.
struct Found {
    vhost: Name,
    source: Name,
    is_to_queue: bool,
    destination: Name,
    key: Name,
    arguments: TableBuf,
}

impl Found {
    /// What is there, if it still is.
    fn at(context: &Context<'_>, key: Key) -> Option<Self> {
        let (topology, queues) = (context.broker.topology(), context.broker.queues());
        match key {
            Key::Implicit(queue) => {
                let queue = queues.get(queue)?;
                Some(Self {
                    vhost: topology.vhost_name(queue.vhost),
                    source: Name::default(),
                    is_to_queue: true,
                    destination: queue.name.clone(),
                    key: queue.name.clone(),
                    arguments: TableBuf::new(),
                })
            }
            Key::Explicit(vhost, place) => {
                let vhost = topology.vhost(vhost)?;
                let binding = vhost.bindings.at(place)?;
                let (is_to_queue, destination) = match binding.destination {
                    Destination::Queue(key) => (true, queues.get(key)?.name.clone()),
                    Destination::Exchange(key) => (false, topology.exchange(key)?.name.clone()),
                };
                Some(Self {
                    vhost: vhost.name.clone(),
                    source: topology.exchange(binding.source)?.name.clone(),
                    is_to_queue,
                    destination,
                    key: binding.key.clone(),
                    arguments: TableBuf::from(binding.table()),
                })
            }
        }
    }

    fn properties_key(&self) -> String {
        properties_key(&self.key, self.arguments.table())
    }

    fn shown(&self) -> Value {
        json!({
            "source": json::text(&self.source),
            "vhost": json::text(&self.vhost),
            "destination": json::text(&self.destination),
            "destination_type": if self.is_to_queue { "queue" } else { "exchange" },
            "routing_key": json::text(&self.key),
            "arguments": json::table(self.arguments.table()),
            "properties_key": self.properties_key(),
        })
    }
}

/// The name of a binding between its two ends: the routing key and, where there are arguments, a
/// number that is the same for the same ones in whatever order.
fn properties_key(routing_key: &[u8], arguments: Table<'_>) -> String {
    let key = escaped(routing_key);
    if arguments.is_empty() {
        return if key.is_empty() { "~".to_owned() } else { key };
    }
    let mut fields: Vec<_> = arguments.iter().collect();
    fields.sort_by_key(|&(name, _)| name);
    let mut sorted = TableBuf::new();
    fields.into_iter().for_each(|(name, value)| sorted.put(name, value));
    let hash = crc32fast::hash(sorted.table().as_bytes()).to_be_bytes();
    format!("{key}~{}", URL_SAFE_NO_PAD.encode(hash))
}

fn escaped(routing_key: &[u8]) -> String {
    percent(routing_key, b"").replace("%20", "+")
}

/// The name of a binding as a client gave it, who need not escape what a path may have (`e.*`).
fn named_key(part: &[u8]) -> Vec<u8> {
    let end = part.iter().position(|&byte| byte == b'~').unwrap_or(part.len());
    let (key, rest) = part.split_at(end);
    let spaced: Vec<u8> = key.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    match percent_decoded(&spaced) {
        Some(key) => [escaped(&key).as_bytes(), rest].concat(),
        None => part.to_vec(),
    }
}

/// Bytes as they stand in a path: letters, digits, `.`, `_`, `-` and `kept` as they are.
fn percent(bytes: &[u8], kept: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        let is_plain = byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if is_plain || kept.contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bindings_key_is_its_routing_key_unless_it_has_arguments() {
        let key = |routing_key: &str| properties_key(routing_key.as_bytes(), Table::EMPTY);
        assert_eq!(key(""), "~");
        assert_eq!(key("~"), "%7E");
        assert_eq!(key("a.*.b #/~ é"), "a.%2A.b+%23%2F%7E+%C3%A9");
        assert_eq!(key("a b+c/d~e.f-g_h*"), "a+b%2Bc%2Fd%7Ee.f-g_h%2A");
        let mut one = TableBuf::new();
        one.put_i64(b"a", 1);
        one.put_str(b"b", "x");
        let mut other = TableBuf::new();
        other.put_str(b"b", "x");
        other.put_i64(b"a", 1);
        let with = |key: &str, table: &TableBuf| properties_key(key.as_bytes(), table.table());
        assert_eq!(with("r", &one), with("r", &other), "their order means nothing");
        assert!(with("r", &one).starts_with("r~") && with("", &one).starts_with('~'));
        other.set(b"a", crate::amqp::Value::I64(2));
        assert_ne!(with("r", &one), with("r", &other));
    }

    /// RabbitMQ 3.10.8 finds these: it undoes the escapes of the name before it compares.
    #[test]
    fn a_bindings_key_need_not_be_escaped_where_a_path_needs_it_not() {
        for (given, key) in [
            ("e.*", "e.%2A"),
            ("e.%2A", "e.%2A"),
            ("a#b", "a%23b"),
            ("p q", "p+q"),
            ("p+q", "p+q"),
            ("p%2Bq", "p%2Bq"),
            ("ä/b", "%C3%A4%2Fb"),
            ("a%7Eb", "a%7Eb"),
            ("x%2541y", "x%2541y"),
            ("a.#~nGr5XA", "a.%23~nGr5XA"),
            ("~", "~"),
            ("~nGr5XA", "~nGr5XA"),
            ("%zz", "%zz"),
        ] {
            assert_eq!(String::from_utf8_lossy(&named_key(given.as_bytes())), key, "{given}");
        }
        assert_eq!(named_key(b"\xff"), b"%FF");
    }
}
