//! How do messages die in tests, and what do the headers of dead ones say?

use leveret::amqp::{Table, TableBuf, Value};

use super::client::Client;
use super::owned::{Message, text};
use super::verbs::fields;

impl Client {
    /// Declares an exclusive queue with these arguments whose dead letters go to another one, with
    /// that one's name as their key; both names, the dead letters' last.
    pub fn dying_queue(&mut self, channel: u16, more: &[(&str, Value<'_>)]) -> (String, String) {
        let dead = self.queue(channel);
        let arguments = dying_to(&dead, more);
        (self.queue_with(channel, arguments.table()), dead)
    }

    /// The same with two durable queues.
    pub fn durable_dying_queue(
        &mut self,
        channel: u16,
        more: &[(&str, Value<'_>)],
    ) -> (String, String) {
        let dead = self.durable_queue(channel);
        let arguments = dying_to(&dead, more);
        (self.durable_queue_with(channel, arguments.table()), dead)
    }

    /// Declares an exclusive queue with these arguments whose dead letters go to an exchange.
    pub fn queue_dying_to(
        &mut self,
        channel: u16,
        exchange: &str,
        more: &[(&str, Value<'_>)],
    ) -> String {
        let mut arguments = fields(more);
        arguments.put_str(b"x-dead-letter-exchange", exchange);
        self.queue_with(channel, arguments.table())
    }

    /// Takes the next message of a queue, which has to be this one, and rejects it for good.
    pub fn reject_next(&mut self, channel: u16, queue: &str, body: &str) {
        let got = self.get(channel, queue).expect("a message waits");
        assert_eq!(got.message.body(), body);
        self.reject(channel, got.tag, false);
    }

    /// Waits until a queue holds one dead letter and takes it.
    pub fn dead_letter(&mut self, channel: u16, dead: &str) -> Message {
        self.wait_for_messages(channel, dead, 1);
        let got = self.get(channel, dead).expect("it was just there");
        self.ack(channel, got.tag);
        got.message
    }
}

/// These arguments, and that dead letters go to a queue.
fn dying_to(dead: &str, more: &[(&str, Value<'_>)]) -> TableBuf {
    let mut arguments = fields(more);
    arguments.put_str(b"x-dead-letter-routing-key", dead);
    arguments.put_str(b"x-dead-letter-exchange", "");
    arguments
}

/// One entry of `x-death`.
#[derive(Clone, Debug, PartialEq)]
pub struct Death {
    /// The names of its fields in the order in which they came.
    pub keys: Vec<String>,
    /// `count`
    pub count: i64,
    /// `reason`
    pub reason: String,
    /// `queue`
    pub queue: String,
    /// `time`, in seconds since 1970.
    pub time: u64,
    /// `exchange`
    pub exchange: String,
    /// `routing-keys`
    pub routing_keys: Vec<String>,
    /// `original-expiration`
    pub expiration: Option<String>,
}

impl Message {
    /// The headers; empty when there are none.
    pub fn headers(&self) -> TableBuf {
        TableBuf::from(self.list().headers.unwrap_or(Table::EMPTY))
    }

    /// A header that is a long string.
    pub fn header(&self, name: &str) -> Option<String> {
        string(self.headers().table(), name)
    }

    /// How often it was delivered before; `None` when no header says so.
    pub fn delivery_count(&self) -> Option<i64> {
        let headers = self.headers();
        let count = headers.table().find(b"x-delivery-count")?;
        Some(count.integer().expect("a count is an integer"))
    }

    /// The entries of `x-death`, the newest first; none when there is no such header.
    pub fn deaths(&self) -> Vec<Death> {
        let headers = self.headers();
        match headers.table().find(b"x-death") {
            None => Vec::new(),
            Some(Value::Array(deaths)) => deaths.iter().map(death).collect(),
            Some(other) => panic!("x-death is {other:?}"),
        }
    }

    /// Reason and queue of each entry of `x-death`, and how often, the newest first.
    pub fn deaths_in_short(&self) -> Vec<(String, String, i64)> {
        let deaths = self.deaths().into_iter();
        deaths.map(|death| (death.reason, death.queue, death.count)).collect()
    }
}

fn death(value: Value<'_>) -> Death {
    let Value::Table(table) = value else {
        panic!("an entry of x-death is {value:?}");
    };
    let Some(Value::I64(count)) = table.find(b"count") else {
        panic!("count is no long in {table:?}");
    };
    let Some(Value::Timestamp(time)) = table.find(b"time") else {
        panic!("time is no timestamp in {table:?}");
    };
    let Some(Value::Array(keys)) = table.find(b"routing-keys") else {
        panic!("routing-keys is no array in {table:?}");
    };
    let needed = |name: &str| string(table, name).expect("a field of every death");
    Death {
        keys: table.iter().map(|(key, _)| text(key)).collect(),
        count,
        reason: needed("reason"),
        queue: needed("queue"),
        time,
        exchange: needed("exchange"),
        routing_keys: keys
            .iter()
            .map(|key| text(key.text().expect("routing keys are long strings")))
            .collect(),
        expiration: string(table, "original-expiration"),
    }
}

fn string(table: Table<'_>, name: &str) -> Option<String> {
    let value = table.find(name.as_bytes())?;
    let Value::LongString(bytes) = value else {
        panic!("{name} is {value:?}");
    };
    Some(text(bytes))
}
