//! Which messages are in a queue, for somebody who leaves them as they are?
//!
//! They are looked at in the order in which they would be taken, from either end, all or those
//! that a filter lets through. A request looks at a bounded number; where it stopped is in the
//! answer for who asks for pages.

use serde_json::{Map, json};

use super::queue_messages::{PAYLOAD_BYTES_MAX, Style, Writer, base64, browsable, bytes_max};
use crate::amqp::{Properties, Value};
use crate::broker::flow::blind;
use crate::broker::{Broker, QueueKey, RecordRef};
use crate::management::body;
use crate::management::call::{Answer, Call, Context, Outcome, PIECE_BYTES_MAX, Progress, Work};
use crate::management::request::Request;
use crate::management::response::Response;

/// So many are shown unless the request says, and at most.
const SHOWN: u64 = 100;
const SHOWN_MAX: u64 = 1000;

/// So many are looked at for a filter unless the request says, and at most.
const LOOKED_AT: u64 = 10_000;
const LOOKED_AT_MAX: u64 = 100_000;

/// A text that is looked for has at most so many bytes.
const WANTED_BYTES_MAX: usize = 255;

/// What it costs to look at a message, beside its body.
const WORK_PER_LOOK: usize = 5;

/// Looks at messages and leaves them as they are.
pub fn browse(call: &mut Call<'_, '_>) -> Outcome {
    let request = call.request;
    let count = number(request, "count")?.unwrap_or(SHOWN).min(SHOWN_MAX);
    let truncate = number(request, "truncate")?;
    let encoding = request.parameter("encoding").unwrap_or("auto");
    let style = Style {
        base64: base64(Some(&json!(encoding)))?,
        bytes_max: truncate.map_or(PAYLOAD_BYTES_MAX, |bytes| bytes_max(bytes.cast_signed())),
    };
    let filter = Filter::of(request)?;
    let to_look_at = match filter.is_none() {
        true => count,
        false => number(request, "scan")?.unwrap_or(LOOKED_AT).min(LOOKED_AT_MAX),
    };
    let from = number(request, "from")?;
    let key = browsable(call)?;
    let from = match (call.has_flag("last"), from) {
        (true, None) => call.context.broker.end_of_line(key).saturating_sub(to_look_at),
        (true, Some(_)) => {
            return Err(Response::bad_request("either from or last may be there, not both"));
        }
        (false, from) => from.unwrap_or(0),
    };
    let is_paged = call.has_flag("paged");
    Ok(Answer::Later(Box::new(Browse {
        key,
        filter,
        from,
        left: count,
        to_look_at,
        looked_at: 0,
        is_paged,
        has_begun: false,
        writer: Writer::new(style),
    })))
}

fn number(request: &Request, name: &str) -> Result<Option<u64>, Response> {
    let Some(text) = request.parameter(name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| body::refuse(&json!(["not_integer", text])))
}

/// What a message has to have to be shown; all of it.
#[derive(Default)]
struct Filter {
    contains: Option<Needle>,
    /// A header's name, and its value as text.
    header: Option<(String, Option<String>)>,
    routing_key: Option<String>,
}

impl Filter {
    fn of(request: &Request) -> Result<Self, Response> {
        let wanted = |name: &str| match request.parameter(name) {
            Some(text) if text.len() > WANTED_BYTES_MAX => {
                let text = format!("{name} has at most {WANTED_BYTES_MAX} bytes");
                Err(Response::bad_request(&text))
            }
            other => Ok(other.map(str::to_owned)),
        };
        let header = wanted("header")?.map(|header| match header.split_once(':') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (header, None),
        });
        let contains = wanted("contains")?.map(|text| Needle::new(text.into_bytes()));
        Ok(Self { contains, header, routing_key: wanted("routing_key")? })
    }

    /// Whether it lets everything through.
    fn is_none(&self) -> bool {
        self.contains.is_none() && self.header.is_none() && self.routing_key.is_none()
    }

    fn takes(&self, broker: &mut Broker, at: RecordRef) -> bool {
        let record = broker.record(at);
        if self.routing_key.as_ref().is_some_and(|key| record.routing_key() != key.as_bytes()) {
            return false;
        }
        if let Some((name, value)) = &self.header {
            let properties = record.properties();
            let bytes = properties.len();
            let visible = blind::is_blind(properties).then(|| blind::visible(properties));
            let list = Properties::new(visible.as_deref().unwrap_or(properties)).list();
            let headers = list.unwrap_or_default().headers;
            let found = headers.and_then(|headers| headers.find(name.as_bytes()));
            let is_so = found
                .is_some_and(|found| value.as_ref().is_none_or(|value| is_text_of(value, &found)));
            broker.work.spend_bytes(bytes as u64);
            if !is_so {
                return false;
            }
        }
        let Some(needle) = &self.contains else {
            return true;
        };
        let body = broker.beginning_of_body(at, PAYLOAD_BYTES_MAX);
        // It is copied, and looked through byte by byte.
        broker.work.spend_bytes(4 * body.len() as u64);
        needle.is_in(&body)
    }
}

/// Whether a header's value is this when it is written out.
fn is_text_of(wanted: &str, value: &Value<'_>) -> bool {
    match (value.text(), value.integer(), value) {
        (Some(text), ..) => text == wanted.as_bytes(),
        (None, Some(number), _) => wanted.parse() == Ok(number),
        (None, None, Value::Bool(flag)) => wanted.parse() == Ok(*flag),
        (None, None, other) => other.to_string() == wanted,
    }
}

/// A text that is looked for in time that grows with what it is looked for in, whatever both are
/// (Knuth, Morris and Pratt).
struct Needle {
    text: Vec<u8>,
    /// How much of the beginning is also the end of what is before each place.
    borders: Vec<usize>,
}

impl Needle {
    fn new(text: Vec<u8>) -> Self {
        let mut borders = vec![0; text.len()];
        let mut border = 0;
        for place in 1..text.len() {
            while border > 0 && text[place] != text[border] {
                border = borders[border - 1];
            }
            border += usize::from(text[place] == text[border]);
            borders[place] = border;
        }
        Self { text, borders }
    }

    fn is_in(&self, body: &[u8]) -> bool {
        let mut matched = 0;
        for byte in body {
            if matched == self.text.len() {
                break;
            }
            while matched > 0 && *byte != self.text[matched] {
                matched = self.borders[matched - 1];
            }
            matched += usize::from(*byte == self.text[matched]);
        }
        matched == self.text.len()
    }
}

struct Browse {
    key: QueueKey,
    filter: Filter,
    /// The next position.
    from: u64,
    /// So many are still to be shown.
    left: u64,
    /// So many are looked at, and were.
    to_look_at: u64,
    looked_at: u64,
    /// The answer says where the next one goes on.
    is_paged: bool,
    has_begun: bool,
    writer: Writer,
}

impl Browse {
    /// Looks at the next message, and shows it if the filter lets it through; how far the request
    /// is if it does not go on at once.
    fn look(&mut self, broker: &mut Broker, piece: &mut Vec<u8>) -> Option<Progress> {
        if broker.work.is_done() || piece.len() >= PIECE_BYTES_MAX {
            return Some(Progress::Unfinished);
        }
        let enough = self.left == 0 || self.looked_at >= self.to_look_at || self.writer.is_full();
        let seen = if enough { None } else { broker.look(self.key, self.from, 1).pop() };
        let Some(seen) = seen else {
            self.end(piece, enough);
            return Some(Progress::Finished);
        };
        broker.work.spend(WORK_PER_LOOK);
        self.looked_at += 1;
        self.from = seen.position + 1;
        if !self.filter.takes(broker, seen.at) {
            return None;
        }
        self.left -= 1;
        let published_ms = broker.record(seen.at).published_ms();
        let age_ms = broker.clock_ms().saturating_sub(published_ms);
        let mut more = Map::new();
        more.insert("id".into(), seen.id.0.to_string().into());
        more.insert("redelivered".into(), (seen.deliveries > 0).into());
        more.insert("position".into(), seen.position.into());
        more.insert("age_ms".into(), age_ms.into());
        self.writer.write(broker, seen.at, more, piece);
        None
    }

    fn end(&self, piece: &mut Vec<u8>, is_more: bool) {
        self.writer.end(piece);
        if self.is_paged {
            let next = is_more.then_some(self.from);
            let rest = format!(
                r#","next":{},"scanned":{}}}"#,
                next.map_or("null".to_owned(), |next| next.to_string()),
                self.looked_at
            );
            piece.extend_from_slice(rest.as_bytes());
        }
    }
}

impl Work for Browse {
    fn go_on(&mut self, context: &mut Context<'_>, piece: &mut Vec<u8>) -> Progress {
        if self.is_paged && !self.has_begun {
            self.has_begun = true;
            piece.extend_from_slice(br#"{"messages":"#);
        }
        loop {
            if let Some(progress) = self.look(context.broker, piece) {
                return progress;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_where_it_is_and_nowhere_else() {
        let mut random = 1_u32;
        let mut letters = |count: usize| -> Vec<u8> {
            let letter = |_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b'a' + u8::from(random >> 16 & 3 == 0)
            };
            (0..count).map(letter).collect()
        };
        for round in 0..20_000 {
            let (text, body) = (letters(round % 9), letters(round % 31));
            let expected =
                text.is_empty() || body.windows(text.len()).any(|part| part == text.as_slice());
            assert_eq!(Needle::new(text.clone()).is_in(&body), expected, "{text:?} {body:?}");
        }
    }

    #[test]
    fn a_header_is_what_it_is_when_it_is_written_out() {
        for (wanted, value, is_it) in [
            ("a", Value::LongString(b"a"), true),
            ("a", Value::LongString(b"ab"), false),
            ("5", Value::I32(5), true),
            ("5", Value::LongString(b"5"), true),
            ("5", Value::I64(50), false),
            ("true", Value::Bool(true), true),
            ("true", Value::Bool(false), false),
        ] {
            assert_eq!(is_text_of(wanted, &value), is_it, "{wanted} {value:?}");
        }
    }
}
