//! What does a request look like? The one place that writes paths.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::target::Credentials;

/// One request of the management API.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    login: Option<Credentials>,
    reason: Option<String>,
    body: Option<Vec<u8>>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To be told.
    Get,
    /// That it exists like this.
    Put,
    /// That something is done, each time anew.
    Post,
    /// That it is gone.
    Delete,
}

impl Request {
    /// A request for the resource below `/api` that `segments` lead to; each is one step of the
    /// path, whatever characters it has.
    pub fn new(method: Method, segments: &[&str]) -> Request {
        let mut path = String::from("/api");
        for segment in segments {
            path.push('/');
            match *segment {
                // A path could not lead there: these two are steps up and none.
                "." => path.push_str("%2E"),
                ".." => path.push_str("%2E%2E"),
                other => encode(other, &mut path),
            }
        }
        Request { method, path, login: None, reason: None, body: None }
    }

    /// To be told about what `segments` lead to.
    pub fn get(segments: &[&str]) -> Request {
        Request::new(Method::Get, segments)
    }

    /// To be told what Prometheus asks for; not below `/api`.
    pub fn metrics() -> Request {
        Request { path: "/metrics".to_owned(), ..Request::get(&[]) }
    }

    /// Adds a parameter to the path.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Request {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        encode(name, &mut self.path);
        self.path.push('=');
        encode(value, &mut self.path);
        self
    }

    /// Sends `value` along.
    #[must_use]
    pub fn json(self, value: &Value) -> Request {
        self.bytes(value.to_string().into_bytes())
    }

    /// Sends `json` along as it is.
    #[must_use]
    pub fn bytes(mut self, json: Vec<u8>) -> Request {
        self.body = Some(json);
        self
    }

    /// Logs in as somebody else than usual.
    #[must_use]
    pub fn login(mut self, credentials: Credentials) -> Request {
        self.login = Some(credentials);
        self
    }

    /// Says why; the broker passes it on to the client whose connection it closes.
    #[must_use]
    pub fn reason(mut self, text: &str) -> Request {
        let header = |c: char| if c.is_control() { ' ' } else { c };
        self.reason = Some(text.chars().map(header).collect());
        self
    }

    /// Whether a step of the path has no name.
    pub fn has_gap(&self) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        path.ends_with('/') || path.contains("//")
    }

    /// Whether it may be sent twice to the same effect.
    pub fn may_repeat(&self) -> bool {
        self.method != Method::Post
    }

    /// Its bytes on the wire, to `host`, as `usual` unless it logs in itself.
    pub fn encoded(&self, host: &str, usual: Option<&Credentials>) -> Vec<u8> {
        let method = match self.method {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        };
        let mut head = format!("{method} {} HTTP/1.1\r\nhost: {host}\r\n", self.path);
        // RabbitMQ offers nothing but JSON, and refuses requests for it where it answers nothing.
        head.push_str("accept: */*\r\nuser-agent: leveretctl\r\n");
        if let Some(Credentials { user, password }) = self.login.as_ref().or(usual) {
            let login = STANDARD.encode(format!("{user}:{password}"));
            head.push_str(&format!("authorization: Basic {login}\r\n"));
        }
        if let Some(reason) = &self.reason {
            head.push_str(&format!("x-reason: {reason}\r\n"));
        }
        let body = self.body.as_deref().unwrap_or_default();
        if self.body.is_some() {
            head.push_str("content-type: application/json\r\n");
        }
        if self.body.is_some() || matches!(self.method, Method::Put | Method::Post) {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

/// Writes `text` so that nothing in it has a meaning in a path.
fn encode(text: &str, path: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte));
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_line(request: &Request) -> String {
        let text = String::from_utf8(request.encoded("h", None)).unwrap();
        text.lines().next().unwrap().to_owned()
    }

    #[test]
    fn each_segment_is_one_step_whatever_it_holds() {
        for (segment, encoded) in [
            ("/", "%2F"),
            ("a/b", "a%2Fb"),
            ("a b+c", "a%20b%2Bc"),
            ("é", "%C3%A9"),
            ("?x=1&y#z", "%3Fx%3D1%26y%23z"),
            ("%2F", "%252F"),
            ("a\r\nb", "a%0D%0Ab"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("a..b-_~", "a..b-_~"),
            ("", ""),
        ] {
            let line = first_line(&Request::get(&["queues", segment]));
            assert_eq!(line, format!("GET /api/queues/{encoded} HTTP/1.1"));
        }
    }

    #[test]
    fn parameters_follow_the_path() {
        let request =
            Request::new(Method::Delete, &["q"]).query("if-empty", "true").query("a&", "=");
        assert_eq!(first_line(&request), "DELETE /api/q?if-empty=true&a%26=%3D HTTP/1.1");
    }

    #[test]
    fn bodies_have_a_length_and_reasons_no_line_ends() {
        let credentials = Credentials { user: "u".to_owned(), password: "é".to_owned() };
        let request = Request::new(Method::Put, &["x"])
            .json(&serde_json::json!({"a": "é"}))
            .reason("no\r\nmore: x")
            .login(credentials);
        let text = String::from_utf8(request.encoded("h", None)).unwrap();
        let expected = "PUT /api/x HTTP/1.1\r\nhost: h\r\naccept: */*\r\n\
                        user-agent: leveretctl\r\nauthorization: Basic dTrDqQ==\r\n\
                        x-reason: no  more: x\r\ncontent-type: application/json\r\n\
                        content-length: 10\r\n\r\n{\"a\":\"é\"}";
        assert_eq!(text, expected);
        let empty =
            String::from_utf8(Request::new(Method::Put, &["x"]).encoded("h", None)).unwrap();
        assert!(empty.ends_with("content-length: 0\r\n\r\n"), "{empty}");
    }
}
