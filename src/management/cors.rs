//! Which other sites' pages may read what this API answers in a browser?
//!
//! None, unless the configuration names them; then as RabbitMQ tells browsers. Imports `request`.

use std::collections::BTreeSet;

use super::request::{Method, Request};

/// What the configuration says of other sites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Origins, such as `https://example.org`; `*` is every one.
    pub origins: BTreeSet<String>,
    /// For how many seconds a browser may remember what it was told.
    pub max_age_s: u32,
}

/// RabbitMQ's.
const MAX_AGE_S: u32 = 1800;

impl Default for Cors {
    fn default() -> Self {
        Self { origins: BTreeSet::new(), max_age_s: MAX_AGE_S }
    }
}

/// Names and values of headers.
pub type Headers = Vec<(&'static str, String)>;

impl Cors {
    /// What the answer to a request says besides; `methods` is what may be done there, where that
    /// is asked.
    pub fn headers(&self, request: &Request, methods: Option<&str>) -> Headers {
        let Some(origin) = self.allowed(request) else {
            return Vec::new();
        };
        let mut headers = vec![
            ("access-control-allow-origin", origin.to_owned()),
            ("access-control-allow-credentials", "true".to_owned()),
        ];
        if let (Method::Options, Some(methods)) = (request.method, methods) {
            headers.push(("access-control-allow-methods", methods.to_owned()));
            headers.push(("access-control-max-age", self.max_age_s.to_string()));
            let wanted = request.header("access-control-request-headers");
            if let Some(wanted) = wanted.and_then(|wanted| std::str::from_utf8(wanted).ok()) {
                headers.push(("access-control-allow-headers", wanted.to_owned()));
            }
        }
        headers
    }

    /// Whether whoever asks may connect for good: no page of another site may that is not named.
    /// Who says nothing of pages is no browser.
    pub fn lets_in(&self, request: &Request) -> bool {
        if request.header("origin").is_none() {
            return true;
        }
        let host = request.header("host").unwrap_or_default();
        let is_own = request.only_header("origin").is_some_and(|origin| {
            ["http://", "https://"].iter().any(|scheme| {
                origin
                    .strip_prefix(scheme.as_bytes())
                    .is_some_and(|site| site.eq_ignore_ascii_case(host))
            })
        });
        is_own || self.allowed(request).is_some()
    }

    /// Where the page comes from that asks, if it may.
    fn allowed<'a>(&self, request: &'a Request) -> Option<&'a str> {
        if self.origins.is_empty() {
            return None;
        }
        // Of a page of nowhere, or of two places, nobody knows whose it is.
        let origin = std::str::from_utf8(request.only_header("origin")?).ok()?;
        if origin == "null" {
            return None;
        }
        (self.origins.contains(origin) || self.origins.contains("*")).then_some(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::{Head, parse};
    use super::*;

    fn request(method: &str, headers: &str) -> Request {
        let text = format!("{method} /api/whoami HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        match parse(text.as_bytes(), 0) {
            Ok(Head::Complete(request, ..)) => *request,
            other => panic!("{other:?}"),
        }
    }

    fn cors(origins: &[&str]) -> Cors {
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        Cors { origins, ..Cors::default() }
    }

    fn allowed(cors: &Cors, headers: &str) -> Option<String> {
        let found = cors.headers(&request("GET", headers), Some("GET"));
        let mut found = found.into_iter();
        let origin = found.next().map(|(name, value)| {
            assert_eq!(name, "access-control-allow-origin");
            value
        });
        assert_eq!(found.next().is_some(), origin.is_some(), "credentials go with it");
        assert_eq!(found.next(), None);
        origin
    }

    #[test]
    fn only_pages_that_were_named_may_read_answers() {
        let a = "Origin: https://a\r\n";
        assert_eq!(allowed(&Cors::default(), a), None);
        assert_eq!(allowed(&cors(&["https://a"]), a).as_deref(), Some("https://a"));
        for other in [
            "",
            "Origin: https://b\r\n",
            "Origin: http://a\r\n",
            "Origin: https://a.b\r\n",
            "Origin: https://a:8080\r\n",
            "Origin: HTTPS://A\r\n",
            "Origin: null\r\n",
            "Origin: https://a, https://b\r\n",
            "Origin: https://a\r\nOrigin: https://a\r\n",
        ] {
            assert_eq!(allowed(&cors(&["https://a", "null"]), other), None, "{other}");
        }
    }

    #[test]
    fn a_star_is_every_page_that_is_of_somewhere() {
        let all = cors(&["*"]);
        let found = allowed(&all, "Origin: https://anywhere:1\r\n");
        assert_eq!(found.as_deref(), Some("https://anywhere:1"));
        assert_eq!(allowed(&all, "Origin: null\r\n"), None);
        assert_eq!(allowed(&all, ""), None);
    }

    #[test]
    fn a_browser_is_told_what_it_may_ask() {
        let asked = "Origin: https://a\r\nAccess-Control-Request-Method: PUT\r\n\
                     Access-Control-Request-Headers: authorization, x-y\r\n";
        let found = cors(&["https://a"]).headers(&request("OPTIONS", asked), Some("GET, PUT"));
        let expected = [
            ("access-control-allow-origin", "https://a"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-max-age", "1800"),
            ("access-control-allow-headers", "authorization, x-y"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name, value.to_owned())));
        let found = cors(&["https://b"]).headers(&request("OPTIONS", asked), Some("GET, PUT"));
        assert_eq!(found, []);
    }
}
