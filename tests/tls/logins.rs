//! Who does a certificate say that somebody is?

use rcgen::{CertificateParams, DnType, DnValue, SanType};

use crate::authority::{Dialect, client, named};
use crate::broker::{Broker, Files};
use crate::common::{Client, Options as Login, connection};
use crate::said;
use leveret::amqp::{PROTOCOL_HEADER, TableBuf};
use leveret::daemon::Config;
use leveret::session::Mechanisms;
use leveret::tls::{LoginFrom, SanType as OurSanType};

/// A broker whose first user has this name.
fn broker(user: &str, change: impl FnOnce(&mut Config)) -> Broker {
    let files = Files::new();
    let mut config = files.config(&files.mutual());
    config.default_user = user.to_owned();
    change(&mut config);
    files.start(config)
}

fn from(login_from: LoginFrom) -> impl FnOnce(&mut Config) {
    move |config| config.tls.options.login_from = login_from
}

/// Logs in with a certificate; the mechanisms that were offered.
fn log_in(broker: &Broker, params: Option<CertificateParams>) -> (Client, String) {
    let pair = params.map(|params| broker.authority.issue(params));
    let dialect = Dialect::new(&broker.authority, pair.as_ref());
    let mut client = Client::raw(broker.tunnel(&dialect));
    let offered = answer_start(&mut client, b"EXTERNAL", b"");
    (client, offered)
}

fn answer_start(client: &mut Client, mechanism: &[u8], response: &[u8]) -> String {
    client.send_bytes(&PROTOCOL_HEADER);
    let start = client.expect::<crate::common::Start>(0);
    let properties: TableBuf = Login::default().properties;
    let client_properties = properties.table();
    let locale = b"en_US";
    client.send(0, connection::StartOk { client_properties, mechanism, response, locale });
    start.mechanisms
}

fn expect_in(mut client: Client) {
    client.tune(&Login::default());
    client.send(0, connection::Open { virtual_host: b"/" });
    client.expect::<crate::common::ConnectionOpenOk>(0);
    client.open(1);
    client.round_trip(1);
}

const REFUSAL: &str = "ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL. \
                       For details see the broker logfile.";

/// The last part first, with RabbitMQ's short names and escapes.
#[test]
fn by_default_the_whole_subject_is_the_name() {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in [
        (DnType::CountryName, "DE"),
        (DnType::OrganizationName, "Shop, Inc"),
        (DnType::OrganizationalUnitName, "#1 "),
        (DnType::CustomDnType(vec![2, 5, 4, 42]), "Jörg"),
        (DnType::CustomDnType(vec![1, 2, 3, 4]), "odd"),
        (DnType::CommonName, "order \"service\"+<a>;b\\"),
    ] {
        params.distinguished_name.push(kind, DnValue::Utf8String(value.to_owned()));
    }
    params.extended_key_usages = client("").extended_key_usages;
    let name = "CN=order \\\"service\\\"\\+\\<a\\>\\;b\\\\,1.2.3.4=odd,GIVENNAME=J\\C3\\B6rg,\
                OU=\\#1\\ ,O=Shop\\, Inc,C=DE";
    let broker = broker(name, |_| ());
    let (client, offered) = log_in(&broker, Some(params));
    assert_eq!(offered, "PLAIN AMQPLAIN EXTERNAL");
    expect_in(client);
}

#[test]
fn the_common_name_is_it_where_that_is_said() {
    let broker = broker("shop", from(LoginFrom::CommonName));
    expect_in(log_in(&broker, Some(client("shop"))).0);
    let (mut other, _) = log_in(&broker, Some(client("shopper")));
    other.expect_connection_error(403, REFUSAL);
    said::wait_for(&["login of user 'shopper' refused: no such user"]);
}

#[test]
fn alternative_names_are_found_by_type_and_index() {
    let names = || {
        vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::Rfc822Name("a@b.example".try_into().unwrap()),
            SanType::URI("urn:shop:1".try_into().unwrap()),
            SanType::DnsName("b.example".try_into().unwrap()),
            SanType::IpAddress([10, 1, 2, 3].into()),
            SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3], "shop@domain".into())),
        ]
    };
    for (kind, index, user) in [
        (OurSanType::Dns, 0, "a.example"),
        (OurSanType::Dns, 1, "b.example"),
        (OurSanType::Email, 0, "a@b.example"),
        (OurSanType::Uri, 0, "urn:shop:1"),
        (OurSanType::Ip, 0, "10.1.2.3"),
        (OurSanType::OtherName, 0, "shop@domain"),
    ] {
        let broker = broker(user, from(LoginFrom::SubjectAlternativeName(kind, index)));
        expect_in(log_in(&broker, Some(named(client("x"), names()))).0);
    }
    let broker = broker("x", from(LoginFrom::SubjectAlternativeName(OurSanType::Dns, 2)));
    let (mut none, _) = log_in(&broker, Some(named(client("x"), names())));
    none.expect_connection_error(403, REFUSAL);
    said::wait_for(&["WARN", "login with a certificate refused: no name found"]);
}

#[test]
fn without_a_certificate_a_login_is_refused_and_a_password_is_still_good() {
    let broker = broker("guest", |_| ());
    let (mut none, offered) = log_in(&broker, None);
    assert_eq!(offered, "PLAIN AMQPLAIN EXTERNAL");
    none.expect_connection_error(403, REFUSAL);
    said::wait_for(&["refused: connection peer presented no TLS (x.509) certificate"]);
    drop(broker.connect());
}

#[test]
fn external_is_offered_only_where_certificates_are_looked_at() {
    let broker = Broker::start();
    for address in [broker.server.address(), broker.tunnel(&broker.dialect())] {
        let mut client = Client::raw(address);
        assert_eq!(answer_start(&mut client, b"EXTERNAL", b""), "PLAIN AMQPLAIN");
        let text = "COMMAND_INVALID - invalid authentication mechanism 'EXTERNAL'";
        client.expect_connection_error(503, text);
    }
    let mutual = Broker::mutual();
    let mut client = Client::raw(mutual.server.address());
    assert_eq!(answer_start(&mut client, b"PLAIN", b"\0guest\0guest"), "PLAIN AMQPLAIN");
}

#[test]
fn only_the_mechanisms_that_were_named_are_open() {
    let external = Mechanisms { plain: false, amqplain: false, external: true };
    let broker = broker("CN=shop", |config| config.mechanisms = external);
    let (client, offered) = log_in(&broker, Some(client("shop")));
    assert_eq!(offered, "EXTERNAL");
    expect_in(client);
    let mut client = Client::raw(broker.tunnel(&broker.dialect()));
    answer_start(&mut client, b"PLAIN", b"\0CN=shop\0guest");
    client.expect_connection_error(503, "invalid authentication mechanism 'PLAIN'");
}

/// The name counts, and what the client answers does not.
#[test]
fn nobody_chooses_another_name() {
    let broker = broker("CN=shop", |_| ());
    let pair = broker.authority.client("other");
    let dialect = Dialect::new(&broker.authority, Some(&pair));
    let mut liar = Client::raw(broker.tunnel(&dialect));
    answer_start(&mut liar, b"EXTERNAL", b"CN=shop");
    liar.expect_connection_error(403, REFUSAL);
    said::wait_for(&["login of user 'CN=other' refused: no such user"]);
}

#[test]
fn rights_and_vhosts_are_those_of_the_user() {
    let broker = broker("CN=shop", |config| config.default_permissions.configure = "^mine".into());
    let (mut client, _) = log_in(&broker, Some(client("shop")));
    client.tune(&Login::default());
    client.send(0, connection::Open { virtual_host: b"elsewhere" });
    client.expect_connection_error(530, "NOT_ALLOWED - vhost elsewhere not found");
    let (mut client, _) = log_in(&broker, Some(crate::authority::client("shop")));
    client.tune(&Login::default());
    client.send(0, connection::Open { virtual_host: b"/" });
    client.expect::<crate::common::ConnectionOpenOk>(0);
    client.open(1);
    client.queue_named(1, "mine", leveret::amqp::Table::EMPTY);
    client.send(1, crate::common::named("yours"));
    client.expect_channel_error(1, 403, "for user 'CN=shop'");
}
