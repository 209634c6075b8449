//! What does a verb work with? What was given, the broker, and where results go.

use std::io::Write;
use std::path::Path;

use leveret::tls::Trust;
use serde_json::{Map, Value, json};

use crate::failure::{Exit, Failure};
use crate::http::{Answer, Client, Request, Target, Trouble};
use crate::options::Given;
use crate::output::{Cell, Column, Formatter, Sheet, Term};
use crate::terminal;
use crate::verb::Verb;

/// One run of one verb.
pub struct Session<'a> {
    /// The command line.
    pub given: &'a Given,
    /// The program's name, as it was called.
    pub program: &'a str,
    verb: &'a Verb,
    formatter: Formatter,
    target: Target,
    client: Client,
    /// The name of the node, once we know it.
    node: Option<String>,
    out: &'a mut dyn Write,
    terminal: bool,
}

/// A list that a verb prints.
pub struct Listing<'a> {
    /// What is said before it.
    pub banner: String,
    /// Where it comes from.
    pub segments: &'a [&'a str],
    /// See [`Sheet::stream`].
    pub stream: bool,
    /// Whether a table may begin with the names.
    pub headers: bool,
}

impl<'a> Session<'a> {
    /// Nothing is sent before a verb asks for something.
    ///
    /// # Errors
    /// The options say something that makes no sense.
    pub fn new(
        given: &'a Given,
        program: &'a str,
        verb: &'a Verb,
        out: &'a mut dyn Write,
        terminal: bool,
    ) -> Result<Session<'a>, Failure> {
        let target = match given.text("uri") {
            Some(uri) => Target::parse(uri)
                .map_err(|error| Failure::usage(format!("Invalid --uri: {error}")))?,
            None => {
                let usual = || usual_directory(|directory| Path::new(directory).exists());
                Target::in_directory(given.text("data-dir").unwrap_or_else(usual))
            }
        };
        let trust = Trust::chosen(given.text("cacert"), given.flag("insecure"));
        let client = Client::new(target.clone(), Some(given.limit(verb.seconds))).trusting(trust);
        let formatter = given.formatter()?;
        Ok(Session { given, program, verb, formatter, target, client, node: None, out, terminal })
    }

    /// What is done.
    pub fn verb(&self) -> &Verb {
        self.verb
    }

    /// Begins something new that may take as long as everything so far.
    pub fn renew(&mut self) {
        self.client.renew(self.given.limit(self.verb.seconds));
    }

    /// Where the broker is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How results are printed.
    pub fn formatter(&self) -> Formatter {
        self.formatter
    }

    /// Says what is about to happen, unless only results are wanted.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn banner(&mut self, text: &str) -> Result<(), Failure> {
        if !self.given.quiet() && !self.formatter.is_for_programs() {
            self.print(text)?;
        }
        Ok(())
    }

    /// Prints a line of the result.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn print(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        Ok(self.out.flush()?)
    }

    /// Prints `object` whole, if programs want it so; whether they do.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn object(&mut self, object: &Value) -> Result<bool, Failure> {
        let text = match self.formatter {
            Formatter::Json => object.to_string(),
            Formatter::Erlang => Term::of(object).pretty(),
            Formatter::Table | Formatter::PrettyTable | Formatter::Csv => return Ok(false),
        };
        self.print(&text).map(|()| true)
    }

    /// Prints `bytes` as they are.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn print_raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes)?;
        Ok(self.out.flush()?)
    }

    /// Prints a line of the result that is only said to people: programs have the exit code.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn remark(&mut self, text: &str) -> Result<(), Failure> {
        if self.given.quiet() { Ok(()) } else { self.done(Some(text)) }
    }

    /// Says that it worked, with what there is to say; silence is enough for people.
    ///
    /// # Errors
    /// Standard output is gone, or the broker.
    pub fn done(&mut self, text: Option<&str>) -> Result<(), Failure> {
        match self.formatter {
            Formatter::Json => {}
            Formatter::Erlang => {
                let term = text.map(|text| Cell::from(text).erlang());
                return term.map_or(Ok(()), |term| self.print(&term.pretty()));
            }
            Formatter::Table | Formatter::PrettyTable | Formatter::Csv => {
                return text.map_or(Ok(()), |text| self.print(text));
            }
        }
        let mut result = Map::new();
        result.insert("node".to_owned(), json!(self.node()?));
        result.insert("result".to_owned(), json!("ok"));
        if let Some(text) = text {
            result.insert("value".to_owned(), json!(text));
        }
        self.print(&Value::Object(result).to_string())
    }

    /// The name of the node.
    ///
    /// # Errors
    /// The broker does not say, or another one was meant.
    pub fn node(&mut self) -> Result<String, Failure> {
        if let Some(node) = &self.node {
            return Ok(node.clone());
        }
        let request = Request::get(&["overview"]).query("columns", "node");
        let overview = body(&self.send_now(&request)?)?;
        let node = overview.get("node").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(meant) = self.given.text("node").filter(|meant| *meant != node) {
            let text = format!(
                "Error: unable to perform an operation on node '{meant}'. The broker at {} is the \
                 node '{node}', and there is no other one. Leave --node away, or choose the broker \
                 with --data-dir or --uri.",
                self.target
            );
            return Err(Failure::plain(Exit::Unavailable, text));
        }
        self.node = Some(node.clone());
        Ok(node)
    }

    /// Sends `request`; the answer, whatever it says.
    ///
    /// # Errors
    /// There is none, or this is not the node that was meant.
    pub fn send(&mut self, request: &Request) -> Result<Answer, Failure> {
        if self.given.flag("node") {
            self.node()?;
        }
        self.send_now(request)
    }

    /// Sends `request`; the body of the answer, which must be a success.
    ///
    /// # Errors
    /// It is none.
    pub fn ask(&mut self, request: &Request) -> Result<Value, Failure> {
        let answer = self.send(request)?;
        body(&answer)
    }

    /// Sends `request`; `None` when what it is about does not exist.
    ///
    /// # Errors
    /// Anything else is wrong.
    pub fn find(&mut self, request: &Request) -> Result<Option<Value>, Failure> {
        let answer = self.send(request)?;
        if answer.status == 404 { Ok(None) } else { body(&answer).map(Some) }
    }

    /// Sends `request` about the virtual host that was given.
    ///
    /// # Errors
    /// It failed; a virtual host that is missing is said to be.
    pub fn ask_in_vhost(&mut self, request: &Request) -> Result<Value, Failure> {
        let answer = self.send(request)?;
        if answer.status == 404 {
            return Err(self.missing(Failure::answered(&answer)));
        }
        body(&answer)
    }

    /// Why something in the virtual host was not found: because there is no such virtual host, or
    /// else `otherwise`.
    pub fn missing(&mut self, otherwise: Failure) -> Failure {
        let vhost = self.given.vhost();
        match self.find(&Request::get(&["vhosts", vhost]).query("columns", "name")) {
            Ok(None) => Failure::no_vhost(vhost),
            // Whoever may not ask about virtual hosts knows as much as before.
            Ok(Some(_)) | Err(_) => otherwise,
        }
    }

    /// It took too long.
    fn timed_out(&self) -> Failure {
        let text = format!(
            "Error: operation {} on the broker at {} timed out. Timeout value used: {}",
            self.verb.name,
            self.target,
            self.given.limit(self.verb.seconds).as_secs()
        );
        Failure::plain(Exit::TemporaryFailure, text)
    }

    /// Prints the list that the API has at some place.
    ///
    /// # Errors
    /// It failed; a place that is missing belongs to a virtual host that is.
    pub fn list(&mut self, listing: &Listing<'_>) -> Result<(), Failure> {
        self.banner(&listing.banner)?;
        let request = Request::get(listing.segments);
        let found = match listing.segments.contains(&self.given.vhost()) {
            true => self.ask_in_vhost(&request)?,
            false => self.ask(&request)?,
        };
        let objects: Vec<Value> = in_order(&found).into_iter().cloned().collect();
        self.rows(listing, &objects)
    }

    /// Prints `objects` in the columns that were asked for.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn rows(&mut self, listing: &Listing<'_>, objects: &[Value]) -> Result<(), Failure> {
        let columns = self.columns()?;
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let row = |object| columns.iter().map(|column| column.of(object)).collect();
        let rows: Vec<Vec<Cell>> = objects.iter().map(row).collect();
        self.sheet(&names, &rows, listing.headers, listing.stream)
    }

    /// Prints `rows` below `names`, which a table has only if `headers`; see [`Sheet::stream`].
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn sheet(
        &mut self,
        names: &[&str],
        rows: &[Vec<Cell>],
        headers: bool,
        stream: bool,
    ) -> Result<(), Failure> {
        let headers = headers && self.given.headers();
        let sheet = Sheet { names, rows, headers, stream, terminal: self.terminal };
        sheet.print(self.formatter, self.out)?;
        Ok(self.out.flush()?)
    }

    /// The columns that were asked for.
    ///
    /// # Errors
    /// One is unknown.
    pub fn columns(&self) -> Result<Vec<&'static Column>, Failure> {
        self.verb.listed(self.given)
    }

    /// Does the work of another verb, in another virtual host if need be, and prints as it always
    /// does.
    ///
    /// # Errors
    /// It failed.
    pub fn run_also(&mut self, verb: &Verb, vhost: Option<&str>) -> Result<(), Failure> {
        let given = self.given.about(vhost);
        let mut session = Session::new(&given, self.program, verb, self.out, self.terminal)?;
        (verb.run)(&mut session)
    }

    /// The status with which the broker answers; `None` when nobody does.
    ///
    /// # Errors
    /// The time is over, or that is no broker.
    pub fn probe(&mut self) -> Result<Option<u16>, Failure> {
        match self.client.send(&Request::get(&["whoami"])) {
            Ok(answer) => Ok(Some(answer.status)),
            Err(Trouble::Unreachable(_) | Trouble::Broken(_)) if !self.client.is_late() => Ok(None),
            Err(Trouble::Unreachable(_) | Trouble::Broken(_)) => Err(self.timed_out()),
            Err(trouble @ (Trouble::TimedOut | Trouble::Nonsense(_) | Trouble::Untrusted(_))) => {
                Err(self.failed(&trouble))
            }
        }
    }

    /// Does work that may be long; somebody at a terminal sees that it goes on.
    pub fn patiently<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let life = terminal::progress(None, self.given.quiet());
        let done = work(self);
        life.finish_and_clear();
        done
    }

    /// Checks that the time is not over.
    ///
    /// # Errors
    /// It is.
    pub fn in_time(&self) -> Result<(), Failure> {
        if self.client.is_late() { Err(self.timed_out()) } else { Ok(()) }
    }

    /// `text` as a heading, where that can be seen.
    pub fn bold(&self, text: &str) -> String {
        if self.terminal { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn send_now(&mut self, request: &Request) -> Result<Answer, Failure> {
        if request.has_gap() {
            // The path would lead to something else.
            return Err(Failure::bad_argument("Bad argument: a name cannot be an empty string"));
        }
        self.client.send(request).map_err(|trouble| self.failed(&trouble))
    }

    /// What to say about an answer that never came.
    fn failed(&self, trouble: &Trouble) -> Failure {
        let target = &self.target;
        let text = match trouble {
            Trouble::TimedOut => return self.timed_out(),
            Trouble::Unreachable(error) => format!(
                "Error: unable to connect to the broker at {target}: {error}. Is it running there? \
                 Choose a broker with --data-dir or --uri."
            ),
            Trouble::Broken(error) => format!("Error: the broker at {target} broke off: {error}"),
            Trouble::Untrusted(text) => format!(
                "Error: the broker at {target} cannot be trusted: {text}. Name the CA of its \
                 certificate with --cacert, and in --uri a host that the certificate is for."
            ),
            Trouble::Nonsense(text) => format!("Error: what is at {target} is no broker: {text}"),
        };
        Failure::plain(Exit::Unavailable, text)
    }
}

/// Where a broker keeps its data if nothing else is said: where one begins that is started by hand,
/// and if nothing is there, where packages put it.
fn usual_directory(is_there: impl Fn(&str) -> bool) -> &'static str {
    const BY_HAND: &str = "./leveret-data";
    const INSTALLED: &str = "/var/lib/leveret";
    if !is_there(BY_HAND) && is_there(INSTALLED) { INSTALLED } else { BY_HAND }
}

impl Listing<'_> {
    /// One of the lists that can be long; they print nothing when there is nothing.
    pub fn stream<'a>(banner: String, segments: &'a [&'a str]) -> Listing<'a> {
        Listing { banner, segments, stream: true, headers: true }
    }

    /// One of the short ones.
    pub fn short<'a>(banner: String, segments: &'a [&'a str]) -> Listing<'a> {
        Listing { banner, segments, stream: false, headers: true }
    }
}

/// The objects of a list, in an order that is the same each time; brokers promise none.
pub fn in_order(list: &Value) -> Vec<&Value> {
    let text = |object: &Value, place| {
        object.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut objects: Vec<&Value> = list.as_array().into_iter().flatten().collect();
    objects.sort_by_cached_key(|object| ORDER.map(|place| text(object, place)));
    objects
}

/// Where an object has what its place in a list depends on, the weightiest first.
const ORDER: [&str; 10] = [
    "/vhost",
    "/component",
    "/name",
    "/source",
    "/destination",
    "/routing_key",
    "/user",
    "/exchange",
    "/queue/name",
    "/consumer_tag",
];

/// The body of an answer, which must be a success.
fn body(answer: &Answer) -> Result<Value, Failure> {
    if !answer.is_success() {
        return Err(Failure::answered(answer));
    }
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    answer.json().ok_or_else(|| Failure::error(Exit::Software, "the broker's answer is not JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_broker_by_hand_goes_before_that_of_an_installed_one() {
        for (there, expected) in [
            ("", "./leveret-data"),
            ("./leveret-data", "./leveret-data"),
            ("./leveret-data /var/lib/leveret", "./leveret-data"),
            ("/var/lib/leveret", "/var/lib/leveret"),
        ] {
            let is_there = |directory: &str| there.split(' ').any(|known| known == directory);
            assert_eq!(usual_directory(is_there), expected, "{there}");
        }
    }
}
