//! How is a long text found in a request's body, and read, without anybody else waiting?
//!
//! A request's body is an object. The one text in it that may be long is looked for byte by byte
//! and taken apart in pieces; the rest, which has to be short, is an object that is read at once.

use std::ops::Range;

/// So much is looked through, or read, at a time.
pub const PIECE_BYTES: usize = 64 * 1024;

/// What is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoJson;

/// Looks for the text of one field of an object. That the object is one is not its business: what
/// is left of it without that text is read afterwards.
#[derive(Debug, Default)]
pub struct Search {
    /// So much was looked through.
    at: usize,
    depth: u32,
    /// Where the text began in which it stands.
    text: Option<usize>,
    is_escaped: bool,
    /// What stands next is a field's value, and whether that is the wanted one.
    is_value: bool,
    is_wanted: bool,
    found: Option<Range<usize>>,
}

impl Search {
    /// Goes on through the next piece; whether that was the last one.
    pub fn go_on(&mut self, body: &[u8], field: &str) -> bool {
        let end = body.len().min(self.at + PIECE_BYTES);
        for (at, &byte) in body.iter().enumerate().take(end).skip(self.at) {
            match self.text {
                Some(begin) => self.in_text(body, begin, at, field),
                None => match byte {
                    b'"' => self.text = Some(at + 1),
                    b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    b':' if self.depth == 1 => self.is_value = true,
                    b',' if self.depth == 1 => self.is_value = false,
                    _ => {}
                },
            }
        }
        self.at = end;
        end == body.len()
    }

    fn in_text(&mut self, body: &[u8], begin: usize, at: usize, field: &str) {
        match body[at] {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => {
                self.text = None;
                if self.depth != 1 {
                    return;
                }
                if !self.is_value {
                    self.is_wanted = body[begin..at] == *field.as_bytes();
                } else if self.is_wanted {
                    self.found = Some(begin..at);
                }
            }
            _ => {}
        }
    }

    /// Where the text stands, between its quotes.
    pub fn found(&self) -> Option<Range<usize>> {
        self.found.clone()
    }
}

/// Reads the next piece of a text in JSON from its escapes, and says where the one after it begins.
///
/// # Errors
/// When it is no such text.
pub fn read_piece(raw: &[u8]) -> Result<(String, usize), NoJson> {
    let end = boundary(raw);
    let mut quoted = Vec::with_capacity(end + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(&raw[..end]);
    quoted.push(b'"');
    serde_json::from_slice(&quoted).map(|text| (text, end)).map_err(|_| NoJson)
}

/// Where a piece may end: not within a character, an escape, or the two that make one character.
fn boundary(raw: &[u8]) -> usize {
    let is_high = |at: usize| {
        matches!(
            raw.get(at..at + 4),
            Some([b'd' | b'D', b'8'..=b'9' | b'a'..=b'b' | b'A'..=b'B', ..])
        )
    };
    let mut at = 0;
    while at < raw.len() {
        let is_inside = raw[at] & 0b1100_0000 == 0b1000_0000;
        if at >= PIECE_BYTES && !is_inside {
            return at;
        }
        at += match raw.get(at..at + 2) {
            Some(b"\\u") if is_high(at + 2) => 12,
            Some(b"\\u") => 6,
            Some([b'\\', _]) => 2,
            Some(_) | None => 1,
        };
    }
    raw.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(body: &str) -> Option<String> {
        let mut search = Search::default();
        while !search.go_on(body.as_bytes(), "payload") {}
        search.found().map(|range| body[range].to_owned())
    }

    #[test]
    fn the_text_is_found_wherever_it_stands() {
        let long = "x".repeat(200_000);
        for (body, found) in [
            (r#"{"payload": "a"}"#.to_owned(), Some("a".to_owned())),
            (
                r#"{"a": "payload", "payload" : "b\"{[:,", "c": 1}"#.into(),
                Some(r#"b\"{[:,"#.into()),
            ),
            (r#"{"a": {"payload": "inner"}, "b": ["payload", "x"]}"#.into(), None),
            (r#"{"payload": {"payload": "x"}, "z": "y"}"#.into(), None),
            (r#"{"payload": 5, "z": "y"}"#.into(), None),
            (r#"{"payload": "one", "payload": "two"}"#.into(), Some("two".into())),
            (format!(r#"{{"x": "{long}", "payload": "{long}"}}"#), Some(long.clone())),
            ("\"payload\"".into(), None),
            ("]]]}{\"payload\":\"x".into(), None),
        ] {
            assert_eq!(find(&body), found);
        }
    }

    #[test]
    fn pieces_make_the_text_whatever_is_cut() {
        let mut text = String::new();
        for number in 0..30_000 {
            text.push_str(["é", "\u{1f430}", "\"", "\\", "\n", "plain", "\u{7}"][number % 7]);
        }
        let written = json!(text).to_string();
        // All of it in escapes of 16 bits.
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        for raw in [&written[1..written.len() - 1], &escaped] {
            for skipped in ["", "a", "bc", "def", "ghijk"] {
                let (raw, expected) = (format!("{skipped}{raw}"), format!("{skipped}{text}"));
                let (mut at, mut read) = (0, String::new());
                while at < raw.len() {
                    let (piece, bytes) = read_piece(&raw.as_bytes()[at..]).unwrap();
                    assert!(bytes <= PIECE_BYTES + 12);
                    read.push_str(&piece);
                    at += bytes;
                }
                assert_eq!(read, expected);
            }
        }
        for wrong in ["\\", "\\x", "\\u12", "\\ud83d", "\u{1}", "a\"b"] {
            assert_eq!(read_piece(wrong.as_bytes()), Err(NoJson), "{wrong:?}");
        }
        assert_eq!(read_piece(b"\xff"), Err(NoJson));
    }
}
