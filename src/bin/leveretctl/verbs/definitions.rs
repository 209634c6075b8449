//! How does everything that is defined leave the broker, and come back?

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::http::{Method, Request};
use crate::session::Session;
use crate::verb::{Group, Verb};

const ROW: Verb = Verb::of(Group::Definitions);

/// The verbs.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "export_definitions",
        arguments: &[("<file_path|->", "where to, - for standard output")],
        options: &["format"],
        seconds: 300,
        summary: "Exports definitions in JSON; with -p only those of one virtual host",
        run: export_definitions,
        ..ROW
    },
    Verb {
        name: "import_definitions",
        arguments: &[("[<file_path|->]", "where from, - or nothing for standard input")],
        options: &["format"],
        seconds: 300,
        summary: "Imports definitions in JSON; with -p into one virtual host",
        run: import_definitions,
        ..ROW
    },
];

/// Writes what is defined to a file.
///
/// # Errors
/// The broker refuses, or the file cannot be written.
pub fn export_definitions(session: &mut Session<'_>) -> Result<(), Failure> {
    check_format(session)?;
    let path = session.given.argument(0);
    let directory = Path::new(path).parent().filter(|path| !path.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| path != "-" && !directory.is_dir()) {
        let text = format!("Bad argument: Directory {} does not exist", directory.display());
        return Err(Failure::bad_argument(text));
    }
    if path != "-" {
        session.banner(&format!("Exporting definitions in JSON to a file at \"{path}\" ..."))?;
    }
    let request = request(session, Method::Get);
    let answer = session.patiently(|session| session.send(&request))?;
    if !answer.is_success() {
        return Err(Failure::answered(&answer));
    }
    if path == "-" {
        return session.print_raw(&answer.body);
    }
    write(path, &answer.body).map_err(|error| {
        let text = format!("Failed to write definitions to '{path}': {error}");
        Failure::error(Exit::InputOutput, text)
    })?;
    session.done(None)
}

/// Reads what is to be defined from a file.
///
/// # Errors
/// The broker refuses, or the file cannot be read.
pub fn import_definitions(session: &mut Session<'_>) -> Result<(), Failure> {
    check_format(session)?;
    let path = session.given.arguments().first().map_or("-", String::as_str);
    if path != "-" && !Path::new(path).exists() {
        return Err(Failure::bad_argument(format!("Bad argument: File {path} does not exist")));
    }
    session.banner(&match path {
        "-" => "Importing definitions in JSON from standard input ...".to_owned(),
        _ => format!("Importing definitions in JSON from a file at \"{path}\" ..."),
    })?;
    let read = match path {
        "-" => {
            let mut text = Vec::new();
            io::stdin().lock().read_to_end(&mut text).map(|_| text)
        }
        _ => fs::read(path),
    };
    let text = read.map_err(|error| {
        let text = format!("Failed to read definitions from '{path}': {error}");
        Failure::error(Exit::DataError, text)
    })?;
    // A mistake is found here rather than half-way through.
    if let Err(error) = serde_json::from_slice::<Value>(&text) {
        let text = format!("Failed to deserialise input (format: JSON) (error: {error})");
        return Err(Failure::error(Exit::DataError, text));
    }
    let request = request(session, Method::Post).bytes(text);
    let answer = session.patiently(|session| session.send(&request))?;
    if !answer.is_success() {
        return Err(Failure::answered(&answer));
    }
    session.remark("Successfully imported definitions.")
}

fn request(session: &Session<'_>, method: Method) -> Request {
    match session.given.text("vhost") {
        Some(vhost) => Request::new(method, &["definitions", vhost]),
        None => Request::new(method, &["definitions"]),
    }
}

fn check_format(session: &Session<'_>) -> Result<(), Failure> {
    match session.given.text("format") {
        None | Some("json" | "JSON") => Ok(()),
        Some(_) => Err(Failure::usage("Format should be json")),
    }
}

/// Writes a file that only its owner reads: there are password hashes in it.
fn write(path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut open = OpenOptions::new();
    let mut file = open.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
