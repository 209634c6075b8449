//! New certificates are shown without a restart, and broken ones never.

use std::net::TcpStream;

use leveret::management::Order;
use leveret::tls::Options;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::authority::{Authority, Dialect, Pair, expired, server};
use crate::broker::{Broker, Files};
use crate::common::{PATIENCE, deadline, now};
use crate::said;

/// The certificate that a client gets.
fn shown(broker: &Broker) -> CertificateDer<'static> {
    let mut socket = TcpStream::connect(broker.server.tls_address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = broker.dialect().begin();
    while client.is_handshaking() {
        client.complete_io(&mut socket).unwrap();
    }
    client.peer_certificates().unwrap()[0].clone()
}

fn der(pair: &Pair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()
}

fn new_pair(broker: &Broker) -> Pair {
    broker.authority.server(&["localhost"])
}

/// Waits until the broker shows this one, which it finds by itself.
fn wait_for(broker: &Broker, pair: &Pair) {
    let until = deadline();
    while shown(broker) != der(pair) {
        assert!(now() < until, "it never shows the new certificate");
    }
}

/// Has the broker read its files, and waits until the log says so.
fn read_again(broker: &Broker, options: &Options, said: &[&str]) {
    let mark = said::mark();
    broker.server.order(Order::ReadCertificates(vec![("ssl_options", options.clone())]));
    said::wait_since(mark, said);
}

#[test]
fn changed_files_are_seen_and_whoever_is_connected_stays() {
    let broker = Broker::start();
    let mut client = broker.connect();
    let pair = new_pair(&broker);
    assert_ne!(shown(&broker), der(&pair));
    pair.write(broker.directory.path(), "server");
    wait_for(&broker, &pair);
    client.round_trip(1);
}

#[test]
fn a_hangup_reads_the_files_at_once_and_with_new_settings() {
    let broker = Broker::start();
    let pair = new_pair(&broker);
    let (certfile, keyfile) = pair.write(broker.directory.path(), "other");
    let options =
        Options { certfile: Some(certfile), keyfile: Some(keyfile), ..Options::default() };
    let path = broker.path("other.pem").display().to_string();
    read_again(&broker, &options, &["INFO", "the certificate in", &path, "was read"]);
    assert_eq!(shown(&broker), der(&pair));
}

/// Each is an error in the log that says what to do, and the old certificate stays.
#[test]
fn what_is_broken_changes_nothing() {
    let files = Files::new();
    let first = files.authority.server(&["localhost"]);
    let options = files.options(&first);
    let config = files.config(&options);
    let broker = files.start(config);
    let certfile = options.certfile.clone().unwrap();
    let keyfile = options.keyfile.clone().unwrap();
    let authority = &broker.authority;
    let place = certfile.display().to_string();
    let other = authority.server(&["localhost"]);
    let old = authority.issue(expired(server(&["localhost"])));
    for (certificate, key, complaint) in [
        ("", first.key.as_str(), "there is no certificate in it"),
        ("garbage", &first.key, "there is no certificate in it"),
        (
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
            &first.key,
            "is not PEM",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &first.key,
            "is not a certificate of X.509",
        ),
        (&first.key, &first.certificate, "are certfile and keyfile swapped?"),
        (&first.certificate, &other.key, "is not the key of the certificate"),
        (&first.certificate, "garbage", "there is no key in it"),
        (
            &first.certificate,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "is encrypted with a password, which is not supported; decrypt it",
        ),
        (&old.certificate, &old.key, "has expired (valid 2001-01-01T00:00:00Z - 2002-"),
    ] {
        std::fs::write(&certfile, certificate).unwrap();
        std::fs::write(&keyfile, key).unwrap();
        let directory = certfile.parent().unwrap().display().to_string();
        read_again(
            &broker,
            &options,
            &["ERROR ssl_options: the ", &directory, complaint, "certificates stay as they were"],
        );
        assert_eq!(shown(&broker), der(&first), "{complaint}");
    }
    std::fs::remove_file(&certfile).unwrap();
    read_again(&broker, &options, &["ERROR", &place, "cannot be read", "put it there"]);
    assert_eq!(shown(&broker), der(&first));
    other.write(broker.directory.path(), "server");
    wait_for(&broker, &other);
}

/// From then on, and not for those who are in.
#[test]
fn new_authorities_count_for_new_clients() {
    let broker = Broker::mutual();
    let ours = broker.authority.client("x");
    let dialect = Dialect::new(&broker.authority, Some(&ours));
    let mut client = crate::common::Client::connect(broker.tunnel(&dialect));
    let other = Authority::new("the next authority");
    std::fs::write(broker.path("ca.pem"), other.pem()).unwrap();
    let theirs = other.client("x");
    let next = Dialect::new(&broker.authority, Some(&theirs));
    let until = deadline();
    loop {
        let mut client = crate::common::Client::raw(broker.tunnel(&next));
        client.send_bytes(&leveret::amqp::PROTOCOL_HEADER);
        if client.next_of_any().is_some() {
            break;
        }
        assert!(now() < until, "the new authority never counts");
    }
    let mut late = crate::common::Client::raw(broker.tunnel(&dialect));
    late.send_bytes(&leveret::amqp::PROTOCOL_HEADER);
    late.expect_closed();
    client.round_trip(1);
}

/// The file is read when it changes, not each time that somebody looks.
#[test]
fn files_are_read_once_for_each_change() {
    let broker = Broker::start();
    for _ in 0..2 {
        let pair = new_pair(&broker);
        pair.write(broker.directory.path(), "server");
        wait_for(&broker, &pair);
    }
    let path = broker.path("server.pem").display().to_string();
    let read = said::with(&path).iter().filter(|line| line.contains("was read")).count();
    // By each of the three kinds of listeners, twice.
    assert_eq!(read, 6, "{:?}", said::with(&path));
}
