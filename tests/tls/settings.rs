//! What does the daemon say of settings of TLS and of the files that they name?

use std::process::{Command, Stdio};

use crate::authority::{Authority, Pair, expired, server};
use crate::broker::Files;

/// Checks a configuration; its exit code, and what it said.
fn check(files: &Files, text: &str) -> (Option<i32>, String) {
    let path = files.path("leveret.conf");
    std::fs::write(&path, text.replace('@', &files.directory.path().display().to_string()))
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_leveret"))
        .arg("--check-config")
        .arg("--config")
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

const TLS: &str = "listeners.ssl.default = 0\nssl_options.certfile = @/server.pem\n\
                   ssl_options.keyfile = @/server.key\n";

fn with(pair: &Pair) -> Files {
    let files = Files::new();
    pair.write(files.directory.path(), "server");
    files
}

#[test]
fn good_certificates_are_good() {
    let authority = Authority::new("a");
    let files = with(&authority.server(&["localhost", "mq.example"]));
    for more in [
        "",
        "ssl_options.cacertfile = @/ca.pem\nssl_options.verify = verify_peer\n\
         ssl_options.fail_if_no_peer_cert = true\nssl_options.depth = 2\n",
        "ssl_options.versions.1 = tlsv1.2\nssl_options.versions.2 = tlsv1.3\n",
        "management.ssl.port = 0\nprometheus.ssl.port = 0\nssl_handshake_timeout = 5000\n",
        "management.ssl.port = 15671\nmanagement.ssl.ip = 127.0.0.1\n",
        "management.ssl.port = 15671\nmanagement.ssl.certfile = @/server.pem\n\
         management.ssl.keyfile = @/server.key\n",
        "ssl_options.sni.mq.example.certfile = @/server.pem\n\
         ssl_options.sni.mq.example.keyfile = @/server.key\n",
        "ssl_cert_login_from = common_name\nauth_mechanisms.1 = EXTERNAL\n",
        "ssl_cert_login_from = subject_alternative_name\nssl_cert_login_san_type = email\n\
         ssl_cert_login_san_index = 1\n",
    ] {
        let outcome = check(&files, &(TLS.to_owned() + more));
        assert_eq!(outcome, (Some(0), "the configuration is good\n".to_owned()), "{more}");
    }
}

/// What RabbitMQ knows and means nothing here is named, once each.
#[test]
fn keys_that_mean_nothing_are_named() {
    let files = with(&Authority::new("a").server(&["localhost"]));
    for key in [
        "ssl_options.honor_cipher_order",
        "ssl_options.honor_ecc_order",
        "ssl_options.client_renegotiation",
        "ssl_options.secure_renegotiate",
        "ssl_options.reuse_sessions",
        "ssl_options.ciphers.1",
        "ssl_options.dhfile",
        "ssl_options.log_level",
        "management.ssl.honor_cipher_order",
        "management.ssl.ciphers.1",
        "prometheus.ssl.honor_cipher_order",
    ] {
        let (code, said) = check(&files, &format!("{TLS}{key} = true\n"));
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
        let expected = format!("leveret.conf:4: {key} means nothing here: ");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn what_is_wrong_with_a_setting_is_said() {
    let files = with(&Authority::new("a").server(&["localhost"]));
    for (line, complaint) in [
        ("ssl_options.verify = yes", "ssl_options.verify wants verify_peer or verify_none"),
        (
            "ssl_options.versions.1 = tlsv1.1",
            "wants tlsv1.2 or tlsv1.3 (older ones are not spoken)",
        ),
        ("ssl_options.depth = 11", "a whole number from 0 to 10 certificates"),
        ("ssl_options.password = x", "decrypt it with 'openssl pkey'"),
        ("ssl_options.crl_check = true", "lists of revoked certificates are not read"),
        ("ssl_options.certfle = x", "did you mean ssl_options.certfile?"),
        (
            "ssl_cert_login_from = name",
            "distinguished_name, common_name or subject_alternative_name",
        ),
        ("ssl_cert_login_san_type = host", "dns, ip, email, uri or other_name"),
        ("auth_mechanisms.1 = RABBIT-CR-DEMO", "PLAIN, AMQPLAIN or EXTERNAL"),
        ("ssl_handshake_timeout = 0", "a whole number from 1 to 10000 milliseconds"),
        ("listeners.ssl.default = mq:5671", "an address and a port as in 127.0.0.1:5671"),
        ("ssl_options.sni.*.certfile = x", "a host in the key"),
    ] {
        let (code, said) = check(&files, &format!("{line}\n"));
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains("leveret.conf:1: ") && said.contains(complaint), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_what_to_do() {
    let authority = Authority::new("a");
    let good = authority.server(&["localhost"]);
    let other = authority.server(&["localhost"]);
    let pem = |label: &str, body: &str| {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let case = |certificate: &str, key: &str, more: &str, complaints: &[&str]| {
        let pair = Pair { certificate: certificate.to_owned(), key: key.to_owned() };
        let (code, said) = check(&with(&pair), &(TLS.to_owned() + more));
        assert_eq!(code, Some(78), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        for complaint in complaints {
            assert!(said.contains(complaint), "{said}\nlacks {complaint}");
        }
    };
    let (certificate, key) = (good.certificate.as_str(), good.key.as_str());
    case(
        "",
        key,
        "",
        &["/server.pem: there is no certificate in it", "-----BEGIN CERTIFICATE-----"],
    );
    case(&pem("CERTIFICATE", "***"), key, "", &["/server.pem: is not PEM"]);
    case(&pem("CERTIFICATE", "AAAA"), key, "", &["/server.pem: is not a certificate of X.509"]);
    case(key, certificate, "", &["/server.pem: ", "are certfile and keyfile swapped?"]);
    case(certificate, &other.key, "", &["/server.key: is not the key of the certificate"]);
    case(certificate, certificate, "", &["/server.key: ", "are certfile and keyfile swapped?"]);
    case(
        certificate,
        &pem("ENCRYPTED PRIVATE KEY", "AAAA"),
        "",
        &["decrypt it with 'openssl pkey"],
    );
    case(certificate, &pem("PRIVATE KEY", "AAAA"), "", &["/server.key: cannot be used"]);
    let old = authority.issue(expired(server(&["localhost"])));
    case(&old.certificate, &old.key, "", &["/server.pem: has expired", "renew it"]);
    let more = "ssl_options.cacertfile = @/none.pem\n";
    case(
        certificate,
        key,
        more,
        &["/none.pem: cannot be read", "put it there or correct the path"],
    );
    let more = "ssl_options.verify = verify_peer\n";
    case(
        certificate,
        key,
        more,
        &["ssl_options.verify = verify_peer needs ssl_options.cacertfile"],
    );
    let more = "ssl_options.sni.mq.example.certfile = @/server.pem\n";
    case(certificate, key, more, &["ssl_options.sni.mq.example.keyfile is missing"]);
    let more = "ssl_options.sni.mq.example.certfile = @/server.pem\n\
                ssl_options.sni.mq.example.keyfile = @/server.key\n";
    case(certificate, key, more, &["is not for the host mq.example, but for localhost"]);
    let (code, said) = check(&with(&good), "management.ssl.port = 15671\n");
    assert_eq!(code, Some(78));
    assert!(said.contains("management.ssl.certfile is missing"), "{said}");
}

/// An old certificate is no reason to be gone: those who speak without TLS are served.
#[test]
fn a_broker_whose_certificate_has_expired_starts_and_says_so() {
    let files = Files::new();
    let pair = files.authority.issue(expired(server(&["localhost"])));
    let config = files.config(&files.options(&pair));
    let broker = files.start(config);
    let path = broker.path("server.pem").display().to_string();
    crate::said::wait_for(&["ERROR", &path, "has expired"]);
    broker.plain().round_trip(1);
}
