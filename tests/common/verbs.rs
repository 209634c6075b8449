//! What do tests do all the time? Declaring, binding, publishing, taking, in one word each.

use std::net::SocketAddr;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use leveret::amqp::{ArrayBuf, Method, PropertyList, Table, TableBuf, Value, encoder};

use super::client::{Client, Event, Options, content, deadline, now};
use super::{Ack, BindOk, Close, ConsumeOk, DeclareOk, Delivery, GetOk, QosOk};
use super::{ConfirmSelectOk, ExchangeDeclareOk, basic, confirm, connection, exchange, queue};

/// A name that no other test and no earlier run has used: a reference broker keeps its queues.
pub fn unique(part: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{part}.{}.{count}", process::id())
}

/// A table of these fields.
pub fn fields(fields: &[(&str, Value<'_>)]) -> TableBuf {
    let mut table = TableBuf::new();
    for (key, value) in fields {
        table.put(key.as_bytes(), *value);
    }
    table
}

/// A long string.
pub fn word(text: &str) -> Value<'_> {
    Value::LongString(text.as_bytes())
}

/// An array of long strings.
pub fn words(texts: &[&str]) -> ArrayBuf {
    let mut array = ArrayBuf::new();
    for text in texts {
        array.push_str(text);
    }
    array
}

/// A declaration of a queue with this name and nothing else.
pub fn named(name: &str) -> queue::Declare<'_> {
    queue::Declare { queue: name.as_bytes(), ..Default::default() }
}

/// The question whether there is a queue with this name.
pub fn passive(name: &str) -> queue::Declare<'_> {
    queue::Declare { passive: true, ..named(name) }
}

/// Headers with the name by which a message is deduplicated.
pub fn name_header(name: Value<'_>) -> TableBuf {
    fields(&[("x-deduplication-header", name)])
}

/// Properties with these headers and nothing else.
pub fn with_headers(headers: &TableBuf) -> PropertyList<'_> {
    PropertyList { headers: Some(headers.table()), ..Default::default() }
}

/// Properties of a message that is to survive a restart.
pub fn persistent() -> PropertyList<'static> {
    PropertyList { delivery_mode: Some(2), ..Default::default() }
}

/// Properties of a message with a time to live of its own, in milliseconds.
pub fn expiring(expiration: &str) -> PropertyList<'_> {
    PropertyList { expiration: Some(expiration.as_bytes()), ..Default::default() }
}

/// Properties of a message with a priority.
pub fn prioritized(priority: u8) -> PropertyList<'static> {
    PropertyList { priority: Some(priority), ..Default::default() }
}

impl Client {
    /// Connects as guest; channel 2 confirms, and nothing was done yet on channels 1 and 3.
    pub fn with_confirms(address: SocketAddr) -> Client {
        let mut client = Client::connect(address);
        client.open(2);
        client.confirm_select(2);
        client.open(3);
        client
    }

    /// Does the handshake up to open, which has to be refused with 530 and this text.
    pub fn refused_at_open(address: SocketAddr, options: &Options, text: &str) {
        let mut client = Client::tuned(address, options);
        client.send(0, connection::Open { virtual_host: options.vhost.as_bytes() });
        let close = client.expect_connection_error(530, text);
        assert_eq!((close.text.as_str(), close.offender), (text, (10, 40)));
    }

    /// Sends a method that has to fail; the channel is open again afterwards.
    pub fn refused<'a>(
        &mut self,
        channel: u16,
        method: impl Into<Method<'a>>,
        code: u16,
        text: &str,
    ) -> Close {
        self.send(channel, method);
        let close = self.expect_channel_error(channel, code, text);
        self.open(channel);
        close
    }

    /// Declares an exclusive queue with a name of the broker's choice.
    pub fn queue(&mut self, channel: u16) -> String {
        self.queue_with(channel, Table::EMPTY)
    }

    /// The same with arguments.
    pub fn queue_with(&mut self, channel: u16, arguments: Table<'_>) -> String {
        let declare = queue::Declare { exclusive: true, arguments, ..Default::default() };
        self.call::<DeclareOk>(channel, declare).queue
    }

    /// The same under this name.
    pub fn queue_named(&mut self, channel: u16, name: &str, arguments: Table<'_>) {
        let declare = queue::Declare { exclusive: true, arguments, ..named(name) };
        self.call::<DeclareOk>(channel, declare);
    }

    /// Declares a queue that any connection may use; it goes with its last consumer.
    pub fn shared_queue(&mut self, channel: u16) -> String {
        let name = unique("shared");
        let declare = queue::Declare { auto_delete: true, ..named(&name) };
        self.call::<DeclareOk>(channel, declare).queue
    }

    /// Declares a durable queue under a new name.
    pub fn durable_queue(&mut self, channel: u16) -> String {
        self.durable_queue_with(channel, Table::EMPTY)
    }

    /// The same with arguments.
    pub fn durable_queue_with(&mut self, channel: u16, arguments: Table<'_>) -> String {
        let name = unique("durable");
        let declare = queue::Declare { durable: true, arguments, ..named(&name) };
        self.call::<DeclareOk>(channel, declare).queue
    }

    /// Deletes a queue.
    pub fn delete_queue(&mut self, channel: u16, name: &str) -> u32 {
        let delete = queue::Delete { queue: name.as_bytes(), ..Default::default() };
        self.call::<super::DeleteOk>(channel, delete).messages
    }

    /// Empties a queue; how many messages went.
    pub fn purge(&mut self, channel: u16, name: &str) -> u32 {
        let purge = queue::Purge { queue: name.as_bytes(), nowait: false };
        self.call::<super::PurgeOk>(channel, purge).messages
    }

    /// Declares a transient exchange under a new name.
    pub fn exchange(&mut self, channel: u16, kind: &str) -> String {
        self.exchange_with(channel, kind, Table::EMPTY)
    }

    /// The same with arguments.
    pub fn exchange_with(&mut self, channel: u16, kind: &str, arguments: Table<'_>) -> String {
        let name = unique(kind);
        let declare = exchange::Declare {
            exchange: name.as_bytes(),
            kind: kind.as_bytes(),
            arguments,
            ..Default::default()
        };
        self.call::<ExchangeDeclareOk>(channel, declare);
        name
    }

    /// Declares a durable exchange under this name.
    pub fn durable_exchange_with(
        &mut self,
        channel: u16,
        name: &str,
        kind: &str,
        arguments: Table<'_>,
    ) {
        let declare = exchange::Declare {
            exchange: name.as_bytes(),
            kind: kind.as_bytes(),
            durable: true,
            arguments,
            ..Default::default()
        };
        self.call::<ExchangeDeclareOk>(channel, declare);
    }

    /// Deletes an exchange.
    pub fn delete_exchange(&mut self, channel: u16, name: &str) {
        let delete = exchange::Delete { exchange: name.as_bytes(), ..Default::default() };
        self.call::<super::ExchangeDeleteOk>(channel, delete);
    }

    /// Binds a queue to an exchange.
    pub fn bind(&mut self, channel: u16, queue: &str, exchange: &str, key: &str) {
        self.bind_with(channel, queue, exchange, key, Table::EMPTY);
    }

    /// The same with arguments.
    pub fn bind_with(
        &mut self,
        channel: u16,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: Table<'_>,
    ) {
        let bind = queue::Bind {
            queue: queue.as_bytes(),
            exchange: exchange.as_bytes(),
            routing_key: key.as_bytes(),
            nowait: false,
            arguments,
        };
        self.call::<BindOk>(channel, bind);
    }

    /// Binds one exchange to another.
    pub fn bind_exchange(&mut self, channel: u16, destination: &str, source: &str, key: &str) {
        let bind = exchange::Bind {
            destination: destination.as_bytes(),
            source: source.as_bytes(),
            routing_key: key.as_bytes(),
            ..Default::default()
        };
        self.call::<super::ExchangeBindOk>(channel, bind);
    }

    /// The state of a queue, by a passive declare.
    pub fn inspect(&mut self, channel: u16, name: &str) -> DeclareOk {
        self.call(channel, passive(name))
    }

    /// Publishes a message without properties.
    pub fn publish(&mut self, channel: u16, exchange: &str, key: &str, body: &str) {
        self.publish_with(channel, exchange, key, &PropertyList::default(), body.as_bytes());
    }

    /// Publishes a message.
    pub fn publish_with(
        &mut self,
        channel: u16,
        exchange: &str,
        key: &str,
        properties: &PropertyList<'_>,
        body: &[u8],
    ) {
        let publish = basic::Publish {
            exchange: exchange.as_bytes(),
            routing_key: key.as_bytes(),
            ..Default::default()
        };
        self.publish_as(channel, publish, properties, body);
    }

    /// Publishes a message on a channel with confirms and returns when it is confirmed.
    pub fn confirmed(
        &mut self,
        channel: u16,
        exchange: &str,
        key: &str,
        properties: &PropertyList<'_>,
        body: &str,
    ) {
        self.publish_with(channel, exchange, key, properties, body.as_bytes());
        self.expect::<Ack>(channel);
    }

    /// Publishes a message that has to come back when nothing takes it.
    pub fn publish_mandatory(&mut self, channel: u16, exchange: &str, key: &str, body: &str) {
        let publish = basic::Publish {
            exchange: exchange.as_bytes(),
            routing_key: key.as_bytes(),
            mandatory: true,
            immediate: false,
        };
        self.publish_as(channel, publish, &PropertyList::default(), body.as_bytes());
    }

    /// Publishes a message on a channel with confirms; whether a queue took it.
    pub fn reaches(&mut self, channel: u16, exchange: &str, key: &str) -> bool {
        self.publish_mandatory(channel, exchange, key, "is anybody there?");
        let event = self.next(channel);
        if matches!(event.method(), Method::BasicAck(_)) {
            return true;
        }
        assert_eq!(event.expect::<super::Return>().code, 312);
        self.expect::<Ack>(channel);
        false
    }

    /// Publishes a message with any flags.
    pub fn publish_as(
        &mut self,
        channel: u16,
        publish: basic::Publish<'_>,
        properties: &PropertyList<'_>,
        body: &[u8],
    ) {
        let mut out = Vec::new();
        encoder::method_frame(&mut out, channel, &publish);
        out.extend(content(channel, properties, body, self.frame_bytes_max));
        self.send_bytes(&out);
    }

    /// Publishes to a queue and returns when the broker has it there, through `helper`, a channel
    /// number that is free.
    pub fn store(&mut self, helper: u16, queue: &str, bodies: &[&str]) {
        self.open(helper);
        self.confirm_select(helper);
        for body in bodies {
            self.publish(helper, "", queue, body);
        }
        self.expect_confirms(helper, 1, bodies.len() as u64);
        self.close_channel(helper);
    }

    /// Takes acks until the messages from `next` to `last` are confirmed, and none behind them.
    pub fn expect_confirms(&mut self, channel: u16, next: u64, last: u64) {
        assert_eq!(self.take_confirms(channel, next, last), last, "confirmed, and not published");
    }

    /// Takes acks, each of the next message or of all up to a later one, until the messages from
    /// `next` to `last` are confirmed; which the last is that is.
    pub fn take_confirms(&mut self, channel: u16, next: u64, last: u64) -> u64 {
        let mut next = next;
        while next <= last {
            let ack = self.expect::<Ack>(channel);
            let is_next = ack.tag == next || (ack.multiple && ack.tag > next);
            assert!(is_next, "{ack:?} where {next} was not confirmed");
            next = ack.tag + 1;
        }
        next - 1
    }

    /// Publishes a persistent message with a name for deduplication.
    pub fn publish_named(
        &mut self,
        channel: u16,
        exchange: &str,
        key: &str,
        name: Value<'_>,
        body: &str,
    ) {
        let headers = name_header(name);
        let properties = PropertyList { headers: Some(headers.table()), ..persistent() };
        self.publish_with(channel, exchange, key, &properties, body.as_bytes());
    }

    /// Publishes a message with headers.
    pub fn publish_headers(
        &mut self,
        channel: u16,
        exchange: &str,
        key: &str,
        headers: &TableBuf,
        body: &str,
    ) {
        self.publish_with(channel, exchange, key, &with_headers(headers), body.as_bytes());
    }

    /// Turns confirms on.
    pub fn confirm_select(&mut self, channel: u16) {
        self.call::<ConfirmSelectOk>(channel, confirm::Select { nowait: false });
    }

    /// Closes a channel; what still comes on it is thrown away.
    pub fn close_channel(&mut self, channel: u16) {
        self.send(channel, super::channel::Close { reply_code: 200, ..Default::default() });
        while !matches!(self.next(channel).method(), Method::ChannelCloseOk(_)) {}
    }

    /// Limits what may be outstanding at each later consumer of the channel.
    pub fn prefetch(&mut self, channel: u16, count: u16) {
        let qos = basic::Qos { prefetch_count: count, ..Default::default() };
        self.call::<QosOk>(channel, qos);
    }

    /// Starts a consumer with manual acks; returns its tag.
    pub fn consume(&mut self, channel: u16, queue: &str) -> String {
        let consume = basic::Consume { queue: queue.as_bytes(), ..Default::default() };
        self.call::<ConsumeOk>(channel, consume).tag
    }

    /// Starts a consumer with manual acks and arguments; returns its tag.
    pub fn consume_with(&mut self, channel: u16, queue: &str, arguments: Table<'_>) -> String {
        let consume = basic::Consume { queue: queue.as_bytes(), arguments, ..Default::default() };
        self.call::<ConsumeOk>(channel, consume).tag
    }

    /// Starts a consumer with manual acks and a priority; returns its tag.
    pub fn consume_with_priority(&mut self, channel: u16, queue: &str, priority: i64) -> String {
        let arguments = fields(&[("x-priority", Value::I64(priority))]);
        self.consume_with(channel, queue, arguments.table())
    }

    /// Starts a consumer without acks; returns its tag.
    pub fn consume_no_ack(&mut self, channel: u16, queue: &str) -> String {
        let consume =
            basic::Consume { queue: queue.as_bytes(), no_ack: true, ..Default::default() };
        self.call::<ConsumeOk>(channel, consume).tag
    }

    /// Ends a consumer; deliveries that come before cancel-ok are returned.
    pub fn cancel(&mut self, channel: u16, tag: &str) -> Vec<Delivery> {
        self.send(channel, basic::Cancel { consumer_tag: tag.as_bytes(), nowait: false });
        let mut late = Vec::new();
        loop {
            let event = self.next(channel);
            if matches!(event.method(), Method::BasicCancelOk(_)) {
                return late;
            }
            late.push(event.expect());
        }
    }

    /// The next method on the channel, which has to be a delivery.
    pub fn expect_delivery(&mut self, channel: u16) -> Delivery {
        self.expect(channel)
    }

    /// The next `count` deliveries' bodies.
    pub fn expect_bodies(&mut self, channel: u16, count: usize) -> Vec<String> {
        (0..count).map(|_| self.expect_delivery(channel).message.body()).collect()
    }

    /// Takes one message with a manual ack; `None` when the queue is empty.
    pub fn get(&mut self, channel: u16, queue: &str) -> Option<GetOk> {
        let get = basic::Get { queue: queue.as_bytes(), no_ack: false };
        self.got(channel, get)
    }

    /// Takes everything that is ready and settles nothing; each body and whether it is marked as
    /// redelivered.
    pub fn take_all(&mut self, channel: u16, queue: &str) -> Vec<(String, bool)> {
        std::iter::from_fn(|| self.get(channel, queue))
            .map(|got| (got.message.body(), got.redelivered))
            .collect()
    }

    /// Waits until a queue holds this many ready messages, asking again and again.
    pub fn wait_for_messages(&mut self, channel: u16, queue: &str, messages: u32) {
        let deadline = deadline();
        loop {
            let found = self.inspect(channel, queue).messages;
            if found == messages {
                return;
            }
            assert!(now() < deadline, "{found} messages instead of {messages}");
        }
    }

    /// Takes and settles everything that is ready; the bodies in order.
    pub fn drain(&mut self, channel: u16, queue: &str) -> Vec<String> {
        let get = basic::Get { queue: queue.as_bytes(), no_ack: true };
        std::iter::from_fn(|| self.got(channel, get)).map(|got| got.message.body()).collect()
    }

    /// Takes one message as the method says; `None` when the queue is empty.
    pub fn got(&mut self, channel: u16, get: basic::Get<'_>) -> Option<GetOk> {
        self.send(channel, get);
        let event: Event = self.next(channel);
        let empty = matches!(event.method(), Method::BasicGetEmpty(_));
        (!empty).then(|| event.expect())
    }

    /// Acks one delivery.
    pub fn ack(&mut self, channel: u16, tag: u64) {
        self.send(channel, basic::Ack { delivery_tag: tag, multiple: false });
    }

    /// Rejects one delivery.
    pub fn reject(&mut self, channel: u16, tag: u64, requeue: bool) {
        self.send(channel, basic::Reject { delivery_tag: tag, requeue });
    }
}
