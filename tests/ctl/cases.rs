//! Does each verb of `leveretctl` ask the broker for the right thing, and print what comes back as
//! rabbitmqctl does? Without a broker: the answers are RabbitMQ's, recorded.

// A test that cannot go on ends, also in its helpers.
#![allow(clippy::unwrap_used)]
// Whatever is waited for must come some time.
#![allow(clippy::disallowed_methods)]

mod access;
mod case;
mod errors;
mod formats;
mod hostile;
mod messages;
mod node;
mod objects;
mod others;
mod rules;
mod server;
mod shells;
mod terminals;
mod tls;

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use case::Case;

const PROGRAM: &str = env!("CARGO_BIN_EXE_leveretctl");

fn all() -> impl Iterator<Item = &'static Case> {
    [
        access::CASES,
        errors::CASES,
        formats::CASES,
        messages::CASES,
        node::CASES,
        objects::CASES,
        others::CASES,
        rules::CASES,
    ]
    .into_iter()
    .flatten()
}

fn check(cases: &[Case]) {
    let program = Path::new(PROGRAM);
    let differences: Vec<String> =
        cases.iter().flat_map(|case| case.differences(program)).collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn messages_that_wait() {
    check(messages::CASES);
}

#[test]
fn users_permissions_and_vhosts() {
    check(access::CASES);
}

#[test]
fn policies_parameters_limits_and_settings() {
    check(rules::CASES);
}

#[test]
fn queues_exchanges_connections_and_messages() {
    check(objects::CASES);
}

#[test]
fn status_checks_and_definitions() {
    check(node::CASES);
}

#[test]
fn what_goes_wrong_is_said_and_has_a_code() {
    check(errors::CASES);
}

#[test]
fn every_format_is_rabbitmqctls() {
    check(formats::CASES);
}

#[test]
fn clusters_plugins_diagnostics_and_rabbitmqadmin() {
    check(others::CASES);
}

#[test]
fn every_verb_of_rabbitmqs_tools_has_an_answer() {
    for verb in others::RABBITMQ.split_whitespace() {
        let output = Command::new(PROGRAM).args(["help", verb]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let known = help.contains("Usage") || help.starts_with(&format!("'{verb}' does nothing"));
        assert!(known && output.status.success(), "{verb}: {help}");
    }
}

#[test]
fn every_verb_has_a_case() {
    let help = Command::new(PROGRAM).arg("help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let lines = help.lines().filter_map(|line| line.strip_prefix("   "));
    let verbs: BTreeSet<&str> = lines.filter_map(|line| line.split(' ').next()).collect();
    let tried: BTreeSet<String> = all().flat_map(|case| case::words(case.line)).collect();
    let missing: Vec<_> = verbs.iter().filter(|verb| !tried.contains(**verb)).collect();
    assert!(verbs.len() >= 80 && missing.is_empty(), "{missing:?}");
}

#[test]
fn by_the_name_of_rabbitmqctl_it_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("rabbitmqctl");
    symlink(PROGRAM, &program).unwrap();
    let case = Case {
        line: "add_user u p",
        asks: &[
            ("GET /api/users/u", 404, ""),
            ("PUT /api/users/u {\"password\":\"p\",\"tags\":\"\"}", 201, ""),
        ],
        stdout: "Adding user \"u\" ...\nDone. Don't forget to grant the user permissions to some \
                 virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.\n",
        ..Case::NONE
    };
    assert_eq!(case.differences(&program), Vec::<String>::new());
    let help = Command::new(&program).args(["help", "list_users"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("\nrabbitmqctl [<general options>] list_users"), "{help}");
}
