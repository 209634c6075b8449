//! How does the broker publish what it has to say itself?
//!
//! Like anybody, through an exchange into queues; but it asks nobody for permission, waits for
//! nobody, and gives up what finds no room.

use crate::amqp::{Name, Properties, PropertyList, Table, TableBuf, Value};
use crate::broker::Broker;
use crate::broker::arguments::ExchangeTraits;
use crate::broker::flow::admission::Together;
use crate::broker::flow::message::{Content, Message, PERSISTENT};
use crate::broker::key::VhostKey;
use crate::broker::notices::{Notice, Source};
use crate::storage::Body;

/// What it costs to publish a notice, beside its bytes and queues.
const WORK_PER_NOTICE: usize = 20;

impl Broker {
    /// What notices call the node.
    pub fn name_node(&mut self, name: &str) {
        self.notices.node_name = Name::from(name);
    }

    /// What is done from now on is this user's doing; `None`: the broker's own.
    #[inline]
    pub fn act_for(&mut self, user: Option<&Name>) {
        if self.notices.events.is_some() || self.traces() {
            self.notices.actor = user.cloned();
        }
    }

    /// From now on events are published in this vhost; `None`: nowhere. The exchange is made where
    /// it is missing, and stays.
    pub fn publish_events_in(&mut self, vhost: Option<Name>) {
        self.notices.events = vhost;
        self.look_for_vhost(Source::Events);
    }

    /// The same for lines of the log.
    pub fn publish_log_in(&mut self, vhost: Option<Name>) {
        self.notices.log = vhost;
        self.look_for_vhost(Source::Log);
    }

    fn look_for_vhost(&mut self, source: Source) {
        let Some(name) = self.vhost_name_of(source) else {
            return;
        };
        match self.topology.vhost_named(name) {
            Some(key) => self.make_exchange_of(source, key),
            None => log::warn!(
                "vhost '{name}' is not there: nothing is published to {} before it is made",
                source.exchange()
            ),
        }
    }

    /// A vhost was made: if notices go there, it has their exchanges.
    pub(in crate::broker) fn make_exchanges_of_notices(&mut self, vhost: VhostKey) {
        let name = self.topology.vhost_name(vhost);
        for source in [Source::Events, Source::Log] {
            if self.vhost_name_of(source) == Some(&name) {
                self.make_exchange_of(source, vhost);
            }
        }
    }

    fn make_exchange_of(&mut self, source: Source, vhost: VhostKey) {
        let traits = ExchangeTraits {
            kind: b"topic",
            durable: true,
            auto_delete: false,
            internal: true,
            arguments: Table::EMPTY,
        };
        let name = source.exchange();
        if let Err(error) = self.import_exchange(vhost, name.as_bytes(), &traits) {
            log::error!("{name} cannot be made: {}", error.text);
        }
    }

    /// Publishes what waits, as far as this step allows; while a commit goes on, nothing.
    pub fn publish_notices(&mut self) {
        while !self.work.is_done()
            && !self.commits.is_any_running()
            && let Some(notice) = self.notices.pop()
        {
            let Notice { source, routing_key, properties, body } = &notice;
            self.publish_notice(*source, routing_key, properties, Body::Inline(body));
        }
    }

    /// Whether notices wait that the next turn can publish.
    pub(in crate::broker) fn has_notices_to_publish(&self) -> bool {
        !self.notices.is_empty() && !self.commits.is_any_running()
    }

    /// How many notices were dropped since the start, of this source.
    pub fn dropped_notices(&self, source: Source) -> u64 {
        self.notices.dropped(source)
    }

    /// A line of the log: its level, and the whole text.
    pub fn note_log_line(&mut self, level: &str, text: &str) {
        self.work.spend(WORK_PER_NOTICE);
        if self.notices.log.is_none() {
            return;
        }
        let mut headers = TableBuf::new();
        headers.put(b"node", Value::LongString(&self.notices.node_name));
        let list = PropertyList {
            content_type: Some(b"text/plain"),
            headers: Some(headers.table()),
            timestamp: Some(self.clock_ms / 1000),
            ..PropertyList::default()
        };
        let mut properties = Vec::new();
        list.encode(&mut properties);
        let (source, routing_key) = (Source::Log, level.into());
        self.notices.push(Notice { source, routing_key, properties, body: text.into() });
    }

    fn vhost_of(&self, source: Source) -> Option<VhostKey> {
        match source {
            Source::Firehose(vhost) => Some(vhost),
            Source::Events | Source::Log => self.topology.vhost_named(self.vhost_name_of(source)?),
        }
    }

    fn vhost_name_of(&self, source: Source) -> Option<&Name> {
        match source {
            Source::Firehose(_) => None,
            Source::Events => self.notices.events.as_ref(),
            Source::Log => self.notices.log.as_ref(),
        }
    }

    /// Publishes a notice at once, or drops it. A large body is shared with the message that it was
    /// copied from: the notice goes where that lies.
    pub(in crate::broker) fn publish_notice(
        &mut self,
        source: Source,
        routing_key: &[u8],
        properties: &[u8],
        body: Body<'_>,
    ) {
        self.work.spend(WORK_PER_NOTICE);
        let exchange = source.exchange();
        let vhost = self.vhost_of(source);
        let found =
            vhost.and_then(|vhost| self.topology.exchange_named(vhost, exchange.as_bytes()));
        let Some(key) = found else {
            return;
        };
        if let Source::Firehose(_) = source
            && self.alarms.is_any()
        {
            return self.notices.note_dropped(source, "memory or disk is low");
        }
        if !self.has_log_room() {
            return self.notices.note_dropped(source, "the message log has no room");
        }
        let list = Properties::new(properties).list().unwrap_or_default();
        let mut queues = std::mem::take(&mut self.notice_queues);
        queues.clear();
        self.route_all(key, routing_key, &list, &mut queues);
        let body_bytes = self.body_bytes(&body);
        self.work.spend_bytes(properties.len() as u64 + body_bytes);
        if !self.all_take(&queues, 1, body_bytes) {
            let mut together = Together::default();
            queues = self.admit(&queues, properties, body_bytes, &mut together).taking;
        }
        let content = Content { exchange: exchange.as_bytes(), routing_key, properties, body };
        let message = Message {
            content,
            persistent: list.delivery_mode == Some(PERSISTENT),
            priority: 0,
            ttl_ms: None,
            delay: None,
            dedup_key: None,
        };
        let lies_in = durability_of(&body).filter(|_| body_bytes > COPIED_BYTES_MAX);
        let durable =
            lies_in == Some(true) || self.queues.need_durability(&queues, message.persistent);
        if lies_in.is_some_and(|lies_in| lies_in != durable) {
            self.notices.note_dropped(source, "its body is too large to be copied");
        } else {
            match self.store_in(durable, &queues, &message, body_bytes) {
                Ok(_) => self.notices.note_published(source),
                Err(_) => self.notices.note_dropped(source, "the message log has no room"),
            }
        }
        self.notice_queues = queues;
    }
}

/// Bodies of more than this are never copied, only shared.
const COPIED_BYTES_MAX: u64 = 64 * 1024;

/// Whether a body lies in the durable log or in the transient ring; `None`: it lies in no log.
fn durability_of(body: &Body<'_>) -> Option<bool> {
    match body {
        Body::Inline(_) => None,
        Body::Large(body) => Some(body.is_durable()),
        Body::Of(at) => Some(at.segment.is_durable()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Transaction;
    use crate::broker::flow::commit::{Commit, Committed};
    use crate::broker::flow::firehose::Passage;
    use crate::broker::key::QueueKey;
    use crate::broker::requests::bindings::{BindRequest, DestinationName};
    use crate::broker::testing::{declare, open, open_channel, publish, subject};
    use crate::broker::topology::vhost::VhostSettings;

    fn make_room(broker: &mut Broker) {
        let mut turns = 0;
        while !broker.has_log_room() || !broker.has_room_for(false, 1 << 20) {
            broker.store.maintain().unwrap();
            broker.store.run_helper(1);
            broker.store.take_answers().unwrap();
            turns += 1;
            assert!(turns < 1_000, "nobody makes room");
        }
    }

    /// A broker whose vhost is traced, and the queue of the copies.
    fn traced(directory: &std::path::Path) -> (Broker, QueueKey) {
        let mut broker = open(directory);
        let guest = subject(&broker);
        let copies = declare(&mut broker, "copies", Table::EMPTY);
        let request = BindRequest {
            source: b"amq.rabbitmq.trace",
            destination: DestinationName::Queue(b"copies"),
            routing_key: b"#",
            arguments: Table::EMPTY,
        };
        broker.bind(&guest, &request).unwrap();
        let tracing = VhostSettings { tracing: true, ..VhostSettings::default() };
        broker.put_vhost(&guest.vhost_name, tracing);
        make_room(&mut broker);
        (broker, copies)
    }

    fn ready(broker: &Broker, queue: QueueKey) -> usize {
        broker.queues().get(queue).unwrap().ready.len()
    }

    /// A queue's messages stand in the order of their ids, and those of the transaction have
    /// theirs already: what came in between would stand where nobody finds it.
    #[test]
    fn a_copy_made_while_a_commit_goes_on_waits_for_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let (mut broker, copies) = traced(directory.path());
        let (queue, channel) = (declare(&mut broker, "q", Table::EMPTY), open_channel(&mut broker));
        publish(&mut broker, queue, 3);
        let content = Content {
            exchange: b"",
            routing_key: b"copies",
            properties: &[0, 0],
            body: Body::Inline(b"own"),
        };
        let message = Message {
            content,
            persistent: false,
            priority: 0,
            ttl_ms: None,
            delay: None,
            dedup_key: None,
        };
        let mut transaction = Transaction::default();
        for _ in 0..2_000 {
            assert!(transaction.add(&broker, &message, &[copies], false));
        }
        make_room(&mut broker);
        broker.work.begin(1);
        let Commit::GoesOn(number) = broker.commit(transaction) else {
            panic!("it is a large one");
        };
        let passage = Passage { connection: "c", channel: 1, user: b"guest" };
        for _ in 0..3 {
            let got = broker.get(queue, channel, true).unwrap();
            broker.trace_delivered(queue, got.unsettled.entry, got.before, &passage);
            broker.work.begin(100);
            broker.publish_notices();
            broker.settle_sent(&got.unsettled);
        }
        assert!(ready(&broker, copies) <= 2_000 && !broker.has_notices_to_publish());
        let committed = loop {
            broker.work.begin(1_000);
            broker.go_on_committing();
            if let Some(committed) = broker.take_committed(number) {
                break committed;
            }
        };
        assert!(matches!(committed, Committed::Done { refused: false, .. }), "{committed:?}");
        assert!(broker.has_work() && ready(&broker, copies) == 2_000);
        make_room(&mut broker);
        broker.work.begin(10_000);
        broker.publish_notices();
        assert_eq!(ready(&broker, copies), 2_003);
        let mut exchanges = Vec::new();
        while let Some(got) = broker.get(copies, channel, true) {
            let record = broker.record(got.unsettled.entry.at);
            exchanges.push(record.exchange().to_vec());
            broker.settle_sent(&got.unsettled);
        }
        assert!(exchanges[..2_000].iter().all(Vec::is_empty));
        assert!(exchanges[2_000..].iter().all(|name| name == b"amq.rabbitmq.trace"));
        let vhost = subject(&broker).vhost;
        assert_eq!(broker.dropped_notices(Source::Firehose(vhost)), 0);
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted_and_then_it_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let (mut broker, copies) = traced(directory.path());
        let source = Source::Firehose(subject(&broker).vhost);
        let copy = |broker: &mut Broker| {
            broker.publish_notice(source, b"publish.", &[0, 0], Body::Inline(b"b"));
        };
        broker.set_alarms(true, false);
        (0..5).for_each(|_| copy(&mut broker));
        assert_eq!((ready(&broker, copies), broker.dropped_notices(source)), (0, 5));
        broker.set_alarms(false, false);
        make_room(&mut broker);
        copy(&mut broker);
        assert_eq!((ready(&broker, copies), broker.dropped_notices(source)), (1, 5));
    }
}
