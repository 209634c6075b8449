//! Does a client that reads every answer with strict types understand this broker?
//!
//! `leveret-tools reads|writes API NODE AMQP_PORT` calls what `rabbitmq_http_client` offers as
//! guest: the reading calls against what stands there, or the writing calls on a vhost of its
//! own. Each call that fails, and each field that came without a value though the broker promises
//! one, is a line; the exit code is 1 if there is any. tests/interop starts it.

mod absent;
mod reads;
mod report;
mod writes;

use std::env;
use std::process::ExitCode;

use rabbitmq_http_client::blocking_api::Client;

use report::Report;

/// A client as all calls take it.
type Api = Client<String, &'static str, &'static str>;

/// Where the broker is.
struct Place {
    /// The address of the HTTP API, with `/api`.
    api: String,
    /// The name of the node.
    node: String,
    /// The port of AMQP.
    amqp_port: u16,
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let [task, api, node, amqp_port] = words.as_slice() else {
        eprintln!("usage: leveret-tools reads|writes API NODE AMQP_PORT");
        return ExitCode::from(2);
    };
    let Ok(amqp_port) = amqp_port.parse() else {
        eprintln!("leveret-tools: not a port: {amqp_port}");
        return ExitCode::from(2);
    };
    let place = Place { api: api.clone(), node: node.clone(), amqp_port };
    let client = Client::new(place.api.clone(), "guest", "guest");
    let mut report = Report::default();
    match task.as_str() {
        "reads" => reads::all(&client, &place, &mut report),
        "writes" => writes::all(&client, &place, &mut report),
        _ => {
            eprintln!("leveret-tools: no such task: {task}");
            return ExitCode::from(2);
        }
    }
    report.close()
}
