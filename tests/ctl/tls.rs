//! Does it speak TLS, and with nobody whom it cannot trust? With a broker, since no recording can
//! tell.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use leveret::daemon::{Config, Server, Tls};
use leveret::tls::Options;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A broker with the HTTP API over TLS, with a certificate for localhost that is its own authority.
fn start(directory: &Path) -> Server {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let (certfile, keyfile) = (directory.join("server.pem"), directory.join("server.key"));
    std::fs::write(&certfile, certificate.pem()).unwrap();
    std::fs::write(&keyfile, key.serialize_pem()).unwrap();
    let options =
        Options { certfile: Some(certfile), keyfile: Some(keyfile), ..Options::default() };
    let tls = Tls { management: Some(ANY), management_options: options, ..Tls::default() };
    Server::start(Config {
        data_dir: directory.join("data"),
        listeners: vec![ANY],
        management: None,
        prometheus: None,
        tls,
        ..Config::default()
    })
    .unwrap()
}

fn run(directory: &TempDir, line: &[&str], uri: &str) -> Output {
    let mut command = Command::new(super::PROGRAM);
    command.current_dir(directory.path()).args(["--uri", uri]).args(line);
    command.output().unwrap()
}

#[test]
fn a_broker_over_tls_is_asked_if_it_can_be_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path());
    let port = server.https_address().unwrap().port();
    let uri = format!("https://guest:guest@localhost:{port}");
    let elsewhere = format!("https://guest:guest@127.0.0.1:{port}");
    let list = ["list_vhosts", "-q"];
    for trust in [&["--cacert", "server.pem"][..], &["--insecure"]] {
        let output = run(&directory, &[&list[..], trust].concat(), &uri);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "name\n/\n", "{trust:?}");
    }
    // A long answer.
    let output = run(&directory, &["report", "--cacert", "server.pem"], &uri);
    assert!(output.status.success() && output.stdout.len() > 500);
    for (trust, uri, why) in [
        (&["--cacert", "server.pem"][..], &elsewhere, "not valid for name"),
        (&["--cacert", "none.pem"], &uri, "cannot be read"),
        (&["--cacert", "server.key"], &uri, "there is a key in it, and no certificate"),
    ] {
        let output = run(&directory, &[&list[..], trust].concat(), uri);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("cannot be trusted") && said.contains(why), "{said}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(69), 0));
    }
    // The system does not know the authority, or knows none.
    let output = run(&directory, &list, &uri);
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot be trusted"));
}
