//! Who gets in, and who does not?

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, StreamOwned};

use crate::authority::{Authority, Dialect, Pair, client, expired, server};
use crate::broker::{Broker, Files};
use crate::common::PATIENCE;
use crate::said;
use leveret::amqp::PROTOCOL_HEADER;
use leveret::tls::{Options, Versions};

/// A stream over TLS, which may not be able to begin.
pub fn stream(
    broker: &Broker,
    dialect: &Dialect,
) -> StreamOwned<rustls::ClientConnection, TcpStream> {
    let socket = TcpStream::connect(broker.server.tls_address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(dialect.begin(), socket)
}

/// Whether the broker takes somebody in who speaks like this, with what was agreed on, or what went
/// wrong.
fn attempt(broker: &Broker, dialect: &Dialect) -> Result<ProtocolVersion, String> {
    let mut stream = stream(broker, dialect);
    let mut first = [0; 8];
    stream
        .write_all(&PROTOCOL_HEADER)
        .and_then(|()| stream.read_exact(&mut first))
        .map_err(|error| error.to_string())?;
    // A method on channel 0: connection.start.
    assert_eq!(first[..3], [1, 0, 0]);
    Ok(stream.conn.protocol_version().unwrap())
}

#[test]
fn both_versions_are_spoken_and_each_alone_where_it_is_said() {
    let files = Files::new();
    let all = files.options(&files.authority.server(&["localhost"]));
    let config = files.config(&all);
    let mut broker = files.start(config.clone());
    for (tls12, tls13) in [(true, true), (true, false), (false, true)] {
        let options = Options { versions: Versions { tls12, tls13 }, ..all.clone() };
        let Broker { server, authority, directory } = broker;
        server.stop().unwrap();
        let mut config = config.clone();
        config.tls.options = options;
        broker = Files { directory, authority }.start(config);
        let authority = &broker.authority;
        for (version, is_spoken) in [(&TLS12, tls12), (&TLS13, tls13)] {
            let outcome = attempt(&broker, &Dialect::of_versions(authority, None, &[version]));
            let expected = is_spoken.then_some(version.version);
            assert_eq!(outcome.as_ref().ok(), expected.as_ref(), "{outcome:?}");
        }
        let best = if tls13 { &TLS13 } else { &TLS12 };
        assert_eq!(attempt(&broker, &broker.dialect()), Ok(best.version));
    }
    said::wait_for(&["it offers no version of TLS that is spoken here"]);
}

#[test]
fn a_client_that_does_not_trust_the_certificate_says_so_in_the_log() {
    let broker = Broker::start();
    let stranger = Authority::new("somebody else");
    let refused = attempt(&broker, &Dialect::new(&stranger, None)).unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    said::wait_for(&["WARN", "it does not trust our certificate (UnknownCA)"]);
    let refused = attempt(&broker, &broker.dialect().to("other.example")).unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
    said::wait_for(&["WARN", "it does not trust our certificate (BadCertificate)"]);
    assert!(attempt(&broker, &broker.dialect()).is_ok(), "others are served");
}

#[test]
fn every_kind_of_key_works() {
    for key in [
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
        rcgen::KeyPair::from_pem(include_str!("rsa2048.pem")).unwrap(),
    ] {
        let files = Files::new();
        let pair = files.authority.issue_for(server(&["localhost"]), &key);
        let config = files.config(&files.options(&pair));
        let broker = files.start(config);
        assert!(attempt(&broker, &broker.dialect()).is_ok());
        let old = Dialect::of_versions(&broker.authority, None, &[&TLS12]);
        assert!(attempt(&broker, &old).is_ok());
    }
}

/// As RabbitMQ does it: who has only its own certificate in certfile shows those of cacertfile that
/// lead to the root with it.
#[test]
fn certificates_between_ours_and_the_root_are_shown_from_both_files() {
    for is_in_certfile in [true, false] {
        let files = Files::new();
        let middle = files.authority.below("in between");
        let below = middle.below("further below");
        let mut pair = below.server(&["localhost"]);
        // In no order.
        let others = middle.pem() + &files.authority.pem() + &below.pem();
        if is_in_certfile {
            pair.certificate = pair.certificate + &below.pem() + &middle.pem();
        }
        let mut options = files.options(&pair);
        if !is_in_certfile {
            std::fs::write(files.path("others.pem"), others).unwrap();
            options.cacertfile = Some(files.path("others.pem"));
        }
        let config = files.config(&options);
        let broker = files.start(config);
        assert!(attempt(&broker, &broker.dialect()).is_ok(), "{is_in_certfile}");
    }
}

#[test]
fn who_asks_for_another_host_gets_the_certificate_for_that() {
    let files = Files::new();
    let mut options = files.options(&files.authority.server(&["localhost"]));
    for (key, host) in [("mq.example", "mq.example"), ("*.shop.example", "*.shop.example")] {
        let (certfile, keyfile) =
            files.authority.server(&[host]).write(files.directory.path(), &key.replace('*', "all"));
        let pair = leveret::tls::Pair { certfile: Some(certfile), keyfile: Some(keyfile) };
        options.sni.insert(key.to_owned(), pair);
    }
    let config = files.config(&options);
    let broker = files.start(config);
    for (host, is_good) in [
        ("localhost", true),
        ("mq.example", true),
        ("MQ.Example", true),
        ("eu.shop.example", true),
        ("a.eu.shop.example", false),
        ("shop.example", false),
        ("other.example", false),
    ] {
        let outcome = attempt(&broker, &broker.dialect().to(host));
        assert_eq!(outcome.is_ok(), is_good, "{host}: {outcome:?}");
    }
}

#[test]
fn certificates_of_clients_are_looked_at_where_that_is_wanted() {
    for is_needed in [true, false] {
        let files = Files::new();
        let options = Options { fail_if_no_peer_cert: is_needed, ..files.mutual() };
        let config = files.config(&options);
        let broker = files.start(config);
        let stranger = Authority::new("a stranger");
        let ours = |params| Some(broker.authority.issue(params));
        let case = |pair: Option<Pair>, is_good: bool, said: &str| {
            for version in [&TLS12, &TLS13] {
                let dialect = Dialect::of_versions(&broker.authority, pair.as_ref(), &[version]);
                let mark = said::mark();
                let outcome = attempt(&broker, &dialect);
                assert_eq!(outcome.is_ok(), is_good, "{said}: {outcome:?}");
                if !is_good {
                    said::wait_since(mark, &["WARN", said]);
                }
            }
        };
        case(ours(client("shop")), true, "");
        case(None, !is_needed, "it showed no certificate, and has to");
        case(Some(stranger.client("shop")), false, "its certificate is from no CA in cacertfile");
        case(ours(expired(client("shop"))), false, "its certificate has expired");
        case(ours(server(&["localhost"])), false, "its certificate is not one for clients");
        let mut long = broker.authority.below("1");
        let mut chain = long.pem();
        for level in 0..options.depth + 1 {
            long = long.below(&format!("level {level}"));
            chain = long.pem() + &chain;
        }
        let mut deep = long.client("shop");
        deep.certificate += &chain;
        case(Some(deep), false, "came with too many others");
    }
}

/// Reads may hold what was decrypted before the client asks for more: nothing stays behind.
#[test]
fn whatever_the_sizes_of_records_nothing_stays_behind() {
    let broker = Broker::start();
    let mut client = broker.connect();
    let queue = client.shared_queue(1);
    client.confirm_select(1);
    for (number, size) in [0, 1, 15, 16_383, 16_384, 16_385, 70_000, 400_000].iter().enumerate() {
        client.publish(1, "", &queue, &"x".repeat(*size));
        client.expect_confirms(1, number as u64 + 1, number as u64 + 1);
    }
    let mut consumer = broker.connect();
    consumer.consume(1, &queue);
    let bodies = consumer.expect_bodies(1, 8);
    assert_eq!(bodies.len(), 8);
}

#[test]
fn a_handshake_may_take_only_so_long() {
    let files = Files::new();
    let mut config = files.config(&files.options(&files.authority.server(&["localhost"])));
    config.tls.handshake_ms = 50;
    let broker = files.start(config);
    let hello = crate::hostile::hello(&broker.dialect());
    for part in [&hello[..0], &hello[..20], &hello[..]] {
        let mut socket = TcpStream::connect(broker.server.tls_address()).unwrap();
        socket.write_all(part).unwrap();
        let peer = socket.local_addr().unwrap();
        let line = said::wait_for(&[&peer.to_string(), "handshake took longer than 50 ms"]);
        assert!(line.starts_with("WARN"), "{line}");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Whatever it was sent, the end comes.
        crate::hostile::expect_end(&mut socket);
        assert_eq!(said::about(peer).len(), 1, "{:?}", said::about(peer));
    }
    // Who is in time stays.
    let mut client = broker.connect();
    let late = TcpStream::connect(broker.server.tls_address()).unwrap();
    said::wait_for(&[&late.local_addr().unwrap().to_string(), "handshake took longer than 50 ms"]);
    client.round_trip(1);
}
