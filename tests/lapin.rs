//! Does lapin, the Rust client that no one here wrote, get what it expects?

mod common;

use std::future::Future;
use std::time::Duration;

use common::{Server, unique};
use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, Error,
    ErrorKind, ExchangeKind,
};
use tokio_stream::StreamExt;

/// Far more than any of these tests takes.
const TEST_LIMIT: Duration = Duration::from_secs(60);

/// Runs a test that has a connection to a broker of its own.
fn with_connection<Test, Done>(test: Test)
where
    Test: FnOnce(Connection) -> Done,
    Done: Future<Output = lapin::Result<()>>,
{
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let uri = format!("amqp://guest:guest@{}/%2f", server.address());
    let limited = async {
        let connection = Connection::connect(&uri, ConnectionProperties::default()).await?;
        test(connection).await
    };
    runtime
        .block_on(async { tokio::time::timeout(TEST_LIMIT, limited).await })
        .expect("the test takes no longer than it may")
        .expect("no call fails");
}

/// A channel that confirms its publishes.
async fn confirming(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// A new queue that goes with its connection.
async fn queue(channel: &Channel, arguments: FieldTable) -> lapin::Result<ShortString> {
    let name = ShortString::from(unique("lapin"));
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let queue = channel.queue_declare(name.clone(), options, arguments).await?;
    assert_eq!((queue.message_count(), queue.consumer_count()), (0, 0));
    Ok(name)
}

async fn publish(channel: &Channel, queue: &ShortString, body: &[u8]) -> lapin::Result<()> {
    let properties = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let confirm =
        channel.basic_publish("".into(), queue.clone(), options, body, properties).await?;
    assert_eq!(confirm.await?, Confirmation::Ack(None));
    Ok(())
}

async fn consume(channel: &Channel, queue: &ShortString, no_ack: bool) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions { no_ack, ..Default::default() };
    channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()).await
}

/// The next deliveries of a consumer.
async fn take(consumer: &mut Consumer, count: usize) -> lapin::Result<Vec<Delivery>> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(consumer.next().await.expect("the consumer is not over")?);
    }
    Ok(taken)
}

/// Everything that is ready, in order.
async fn drain(channel: &Channel, queue: &ShortString) -> lapin::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let options = BasicGetOptions { no_ack: true };
    while let Some(message) = channel.basic_get(queue.clone(), options).await? {
        found.push(message.delivery.data);
    }
    Ok(found)
}

fn bodies(deliveries: &[Delivery]) -> Vec<&[u8]> {
    deliveries.iter().map(|delivery| &*delivery.data).collect()
}

/// The reply code and text of the channel or connection error that a call got.
fn refusal<T>(result: lapin::Result<T>) -> (u16, String) {
    let error: Error = result.err().expect("the call is refused");
    let ErrorKind::ProtocolError(error) = error.kind() else {
        panic!("{error} is not from the broker");
    };
    (error.get_id(), error.get_message().to_string())
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[test]
fn every_publish_is_confirmed() {
    with_connection(|connection| async move {
        let channel = confirming(&connection).await?;
        let queue = queue(&channel, FieldTable::default()).await?;
        let mut confirms = Vec::new();
        for number in 0..500 {
            let body = format!("{number}");
            let (options, properties) = Default::default();
            let confirm = channel
                .basic_publish("".into(), queue.clone(), options, body.as_bytes(), properties)
                .await?;
            confirms.push(confirm);
        }
        for confirm in confirms {
            assert_eq!(confirm.await?, Confirmation::Ack(None));
        }
        assert_eq!(channel.wait_for_confirms().await?, []);
        let expected: Vec<Vec<u8>> = (0..500).map(|n| format!("{n}").into_bytes()).collect();
        assert_eq!(drain(&channel, &queue).await?, expected);
        Ok(())
    });
}

#[test]
fn a_mandatory_unroutable_message_comes_back_before_its_confirm() {
    with_connection(|connection| async move {
        let channel = confirming(&connection).await?;
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default().with_message_id("m".into());
        let confirm = channel
            .basic_publish("".into(), unique("nowhere").into(), options, b"lost", properties)
            .await?
            .await?;
        assert!(confirm.is_ack());
        let returned = confirm.take_message().expect("it came back");
        assert_eq!(returned.reply_code, 312);
        assert_eq!(returned.reply_text.as_str(), "NO_ROUTE");
        assert_eq!(returned.delivery.data, b"lost");
        let id = returned.delivery.properties.message_id().as_ref();
        assert_eq!(id.map(ShortString::as_str), Some("m"));
        Ok(())
    });
}

#[test]
fn a_publish_that_the_queue_refuses_is_nacked() {
    with_connection(|connection| async move {
        let channel = confirming(&connection).await?;
        let arguments = table(&[
            ("x-max-length", AMQPValue::LongInt(1)),
            ("x-overflow", text("reject-publish")),
        ]);
        let queue = queue(&channel, arguments).await?;
        publish(&channel, &queue, b"first").await?;
        let (options, properties) = Default::default();
        let confirm =
            channel.basic_publish("".into(), queue.clone(), options, b"second", properties).await?;
        assert_eq!(confirm.await?, Confirmation::Nack(None));
        assert_eq!(drain(&channel, &queue).await?, [b"first"]);
        Ok(())
    });
}

#[test]
fn prefetch_and_acks() {
    with_connection(|connection| async move {
        let publisher = confirming(&connection).await?;
        let queue = queue(&publisher, FieldTable::default()).await?;
        for body in [b"a", b"b", b"c", b"d", b"e"] {
            publish(&publisher, &queue, body).await?;
        }
        let channel = connection.create_channel().await?;
        channel.basic_qos(2, BasicQosOptions::default()).await?;
        let mut consumer = consume(&channel, &queue, false).await?;
        let held = take(&mut consumer, 2).await?;
        assert_eq!(bodies(&held), [b"a", b"b"]);
        // The others stay in the queue, since this consumer may hold two.
        let get = BasicGetOptions::default();
        let got = publisher.basic_get(queue.clone(), get).await?;
        let got = got.expect("the queue still has something");
        assert_eq!((&*got.delivery.data, got.message_count), (&b"c"[..], 2));
        let requeue = BasicNackOptions { requeue: true, ..Default::default() };
        got.delivery.acker.nack(requeue).await?;
        let multiple = BasicAckOptions { multiple: true };
        held[1].acker.ack(multiple).await?;
        let next = take(&mut consumer, 2).await?;
        assert_eq!(bodies(&next), [b"c", b"d"]);
        assert_eq!((next[0].redelivered, next[1].redelivered), (true, false));
        next[0].acker.reject(BasicRejectOptions::default()).await?;
        let last = take(&mut consumer, 1).await?;
        assert_eq!(bodies(&last), [b"e"]);
        // What the channel still holds goes back to its place.
        channel.close(200, "done".into()).await?;
        assert_eq!(drain(&publisher, &queue).await?, [b"d", b"e"]);
        Ok(())
    });
}

#[test]
fn shared_prefetch() {
    with_connection(|connection| async move {
        let publisher = confirming(&connection).await?;
        let one = queue(&publisher, FieldTable::default()).await?;
        let two = queue(&publisher, FieldTable::default()).await?;
        let channel = connection.create_channel().await?;
        channel.basic_qos(1, BasicQosOptions { global: true }).await?;
        let mut from_one = consume(&channel, &one, false).await?;
        let mut from_two = consume(&channel, &two, false).await?;
        publish(&publisher, &one, b"one").await?;
        let held = take(&mut from_one, 1).await?;
        publish(&publisher, &two, b"two").await?;
        let declared = publisher
            .queue_declare(
                two.clone(),
                QueueDeclareOptions { passive: true, ..Default::default() },
                FieldTable::default(),
            )
            .await?;
        assert_eq!((declared.message_count(), declared.consumer_count()), (1, 1));
        held[0].acker.ack(BasicAckOptions::default()).await?;
        assert_eq!(bodies(&take(&mut from_two, 1).await?), [b"two"]);
        Ok(())
    });
}

#[test]
fn get_tells_what_is_left_and_what_came_before() {
    with_connection(|connection| async move {
        let channel = confirming(&connection).await?;
        let queue = queue(&channel, FieldTable::default()).await?;
        let get = BasicGetOptions::default();
        assert!(channel.basic_get(queue.clone(), get).await?.is_none());
        publish(&channel, &queue, b"a").await?;
        publish(&channel, &queue, b"b").await?;
        let message = channel.basic_get(queue.clone(), get).await?;
        let message = message.expect("a is ready");
        assert_eq!((message.message_count, message.redelivered), (1, false));
        let requeue = BasicRejectOptions { requeue: true };
        message.acker.reject(requeue).await?;
        let message = channel.basic_get(queue.clone(), get).await?;
        let message = message.expect("a is ready again");
        assert_eq!((&*message.data, message.redelivered), (&b"a"[..], true));
        message.acker.ack(BasicAckOptions::default()).await?;
        let purge = QueuePurgeOptions::default();
        assert_eq!(channel.queue_purge(queue.clone(), purge).await?, 1);
        let delete = QueueDeleteOptions::default();
        assert_eq!(channel.queue_delete(queue, delete).await?, 0);
        Ok(())
    });
}

#[test]
fn a_transaction_is_committed_or_rolled_back() {
    with_connection(|connection| async move {
        let watcher = confirming(&connection).await?;
        let queue = queue(&watcher, FieldTable::default()).await?;
        publish(&watcher, &queue, b"old").await?;
        let channel = connection.create_channel().await?;
        channel.tx_select().await?;
        let get = BasicGetOptions::default();
        let old = channel.basic_get(queue.clone(), get).await?;
        let tag = old.expect("it was published").delivery_tag;
        for (body, commit) in [(b"dropped", false), (b"entered", true)] {
            channel.basic_ack(tag, BasicAckOptions::default()).await?;
            let (options, properties) = Default::default();
            let confirm =
                channel.basic_publish("".into(), queue.clone(), options, body, properties).await?;
            assert_eq!(confirm.await?, Confirmation::NotRequested);
            if commit {
                channel.tx_commit().await?;
            } else {
                // The ack is undone as well, so that the second round can ack again.
                channel.tx_rollback().await?;
            }
        }
        channel.close(200, "done".into()).await?;
        assert_eq!(drain(&watcher, &queue).await?, [b"entered"]);
        Ok(())
    });
}

#[test]
fn exchanges_are_bound_to_exchanges() {
    with_connection(|connection| async move {
        let channel = confirming(&connection).await?;
        let queue = queue(&channel, FieldTable::default()).await?;
        let (source, middle) = (unique("source"), unique("middle"));
        let (source, middle) = (ShortString::from(source), ShortString::from(middle));
        let options = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
        for (name, kind) in [(&source, ExchangeKind::Topic), (&middle, ExchangeKind::Fanout)] {
            channel.exchange_declare(name.clone(), kind, options, FieldTable::default()).await?;
        }
        let key = ShortString::from("a.*");
        let (bind, arguments) = Default::default();
        channel.exchange_bind(middle.clone(), source.clone(), key.clone(), bind, arguments).await?;
        let (bind, arguments) = Default::default();
        channel.queue_bind(queue.clone(), middle.clone(), "".into(), bind, arguments).await?;
        for key in ["a.b", "b.a", "a.c"] {
            let (options, properties) = Default::default();
            let confirm = channel
                .basic_publish(source.clone(), key.into(), options, key.as_bytes(), properties)
                .await?;
            assert!(confirm.await?.is_ack());
        }
        assert_eq!(drain(&channel, &queue).await?, [b"a.b", b"a.c"]);
        let (unbind, arguments) = Default::default();
        channel.exchange_unbind(middle, source.clone(), key, unbind, arguments).await?;
        // It was the last binding in which `source` is the source.
        let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
        let declared = channel
            .exchange_declare(source, ExchangeKind::Topic, passive, FieldTable::default())
            .await;
        assert_eq!(refusal(declared).0, 404);
        Ok(())
    });
}

#[test]
fn headers_of_every_type_arrive() {
    with_connection(|connection| async move {
        let channel = confirming(&connection).await?;
        let queue = queue(&channel, FieldTable::default()).await?;
        let inner = table(&[("deep", AMQPValue::Boolean(true))]);
        let list = FieldArray::from(vec![AMQPValue::LongInt(-1), text("x")]);
        let headers = table(&[
            ("byte", AMQPValue::ShortShortInt(-2)),
            ("short", AMQPValue::ShortInt(-300)),
            ("int", AMQPValue::LongInt(70_000)),
            ("long", AMQPValue::LongLongInt(i64::MIN)),
            ("double", AMQPValue::Double(0.5)),
            ("text", AMQPValue::LongString(LongString::from("Größe"))),
            ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
            ("time", AMQPValue::Timestamp(1_714_979_289)),
            ("none", AMQPValue::Void),
            ("list", AMQPValue::FieldArray(list)),
            ("table", AMQPValue::FieldTable(inner)),
        ]);
        let properties = BasicProperties::default()
            .with_headers(headers)
            .with_content_type("text/plain".into())
            .with_content_encoding("identity".into())
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_type("t".into())
            .with_app_id("a".into())
            .with_user_id("guest".into())
            .with_timestamp(7)
            .with_priority(9);
        let options = BasicPublishOptions::default();
        let confirm = channel
            .basic_publish("".into(), queue.clone(), options, b"", properties.clone())
            .await?;
        assert!(confirm.await?.is_ack());
        let mut consumer = consume(&channel, &queue, true).await?;
        let [delivery] = &take(&mut consumer, 1).await?[..] else {
            panic!("one delivery was asked for");
        };
        assert_eq!((&delivery.properties, &*delivery.data), (&properties, &b""[..]));
        assert_eq!(delivery.routing_key, queue);
        Ok(())
    });
}

#[test]
fn large_messages_arrive_whole() {
    with_connection(|connection| async move {
        let channel = confirming(&connection).await?;
        let queue = queue(&channel, FieldTable::default()).await?;
        let mut consumer = consume(&channel, &queue, false).await?;
        for bytes in [1, 131_064, 131_065, 5_000_000] {
            let body: Vec<u8> = (0..=250).cycle().take(bytes).collect();
            publish(&channel, &queue, &body).await?;
            let delivery = take(&mut consumer, 1).await?.remove(0);
            assert!(delivery.data == body, "{bytes} bytes");
            delivery.acker.ack(BasicAckOptions::default()).await?;
        }
        Ok(())
    });
}

#[test]
fn a_deleted_queue_ends_its_consumer() {
    with_connection(|connection| async move {
        let channel = connection.create_channel().await?;
        let queue = queue(&channel, FieldTable::default()).await?;
        let mut consumer = consume(&channel, &queue, false).await?;
        let other = connection.create_channel().await?;
        let delete = QueueDeleteOptions::default();
        other.queue_delete(queue, delete).await?;
        assert!(consumer.next().await.is_none());
        assert!(channel.status().connected());
        Ok(())
    });
}

#[test]
fn a_channel_error_leaves_the_connection_alone() {
    with_connection(|connection| async move {
        let channel = connection.create_channel().await?;
        let name = unique("missing");
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared =
            channel.queue_declare(name.as_str().into(), passive, FieldTable::default()).await;
        let expected = format!("NOT_FOUND - no queue '{name}' in vhost '/'");
        assert_eq!(refusal(declared), (404, expected));
        assert!(!channel.status().connected());
        let other = confirming(&connection).await?;
        let queue = queue(&other, FieldTable::default()).await?;
        publish(&other, &queue, b"still here").await?;
        connection.close(200, "done".into()).await?;
        Ok(())
    });
}

#[test]
fn a_remote_call_through_direct_reply_to() {
    with_connection(|connection| async move {
        let serving = connection.create_channel().await?;
        let requests = queue(&serving, FieldTable::default()).await?;
        let mut server = consume(&serving, &requests, true).await?;
        let client = connection.create_channel().await?;
        let mut replies = consume(&client, &"amq.rabbitmq.reply-to".into(), true).await?;
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let asking = properties.clone().with_reply_to("amq.rabbitmq.reply-to".into());
        client.basic_publish("".into(), requests, options, b"2", asking).await?.await?;
        let request = take(&mut server, 1).await?.remove(0);
        let address = request.properties.reply_to().clone().expect("an address");
        assert!(address.as_str().starts_with("amq.rabbitmq.reply-to."));
        serving.basic_publish("".into(), address, options, b"4", properties).await?.await?;
        assert_eq!(bodies(&take(&mut replies, 1).await?), [b"4"]);
        Ok(())
    });
}

#[test]
fn many_channels_at_once() {
    with_connection(|connection| async move {
        let mut consumers = Vec::new();
        for _ in 0..100 {
            let channel = confirming(&connection).await?;
            let queue = queue(&channel, FieldTable::default()).await?;
            let consumer = consume(&channel, &queue, false).await?;
            consumers.push((channel, queue, consumer));
        }
        for (channel, queue, _) in &consumers {
            for body in [b"1", b"2", b"3"] {
                publish(channel, queue, body).await?;
            }
        }
        for (_, _, consumer) in &mut consumers {
            let taken = take(consumer, 3).await?;
            assert_eq!(bodies(&taken), [b"1", b"2", b"3"]);
            let tags: Vec<u64> = taken.iter().map(|delivery| delivery.delivery_tag).collect();
            assert_eq!(tags, [1, 2, 3]);
        }
        Ok(())
    });
}
