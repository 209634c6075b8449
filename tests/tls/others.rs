//! Does lapin, the Rust client that no one here wrote, speak TLS with the broker?

use std::time::Duration;

use lapin::options::*;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};

use crate::authority::Pair;
use crate::broker::{Broker, Files};

/// Connects, sends a message of this size and gets it back.
fn echo(broker: &Broker, login: &str, pair: Option<Pair>, size: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let port = broker.server.tls_address().port();
    let config = OwnedTLSConfig {
        identity: pair.map(|pair| OwnedIdentity::PKCS8 {
            pem: pair.certificate.into_bytes(),
            key: pair.key.into_bytes(),
        }),
        cert_chain: Some(broker.authority.pem()),
    };
    let uri = format!("amqps://{login}localhost:{port}/%2f");
    let uri = uri + if login.is_empty() { "?auth_mechanism=external" } else { "" };
    let body = vec![7; size];
    let test = async {
        let runtime = lapin::runtime::default_runtime()?;
        let options = ConnectionProperties::default();
        let connection = Connection::connect_with_config(&uri, options, config, runtime).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
        channel.queue_declare("q".into(), options, FieldTable::default()).await?;
        let properties = BasicProperties::default();
        let options = BasicPublishOptions::default();
        let confirm =
            channel.basic_publish("".into(), "q".into(), options, &body, properties).await?;
        assert_eq!(confirm.await?, Confirmation::Ack(None));
        let options = BasicGetOptions { no_ack: true };
        let message = channel.basic_get("q".into(), options).await?.expect("it is there");
        assert!(message.delivery.data == body);
        connection.close(200, "bye".into()).await
    };
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await })
        .expect("it takes no longer than it may")
        .expect("no call fails");
}

#[test]
fn lapin_logs_in_with_a_password() {
    let broker = Broker::start();
    for size in [0, 10, 300_000] {
        echo(&broker, "guest:guest@", None, size);
    }
}

#[test]
fn lapin_logs_in_with_a_certificate() {
    let files = Files::new();
    let mut options = files.mutual();
    options.fail_if_no_peer_cert = true;
    let mut config = files.config(&options);
    config.default_user = "CN=lapin".to_owned();
    let broker = files.start(config);
    let pair = broker.authority.client("lapin");
    echo(&broker, "", Some(pair), 1000);
}
