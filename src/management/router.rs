//! Which path and method lead to which resource?

use super::call::{Action, Right, Route};
use super::request::{Method, Request};
use super::response::Response;
use super::{page, resources};

/// All resources of the HTTP API, in the order of their files.
const API: &[&[Route]] = &[
    resources::aliveness::ROUTES,
    resources::auth_attempts::ROUTES,
    resources::bindings::ROUTES,
    resources::channels::ROUTES,
    resources::cluster_name::ROUTES,
    resources::connections::ROUTES,
    resources::consumers::ROUTES,
    resources::definitions::ROUTES,
    resources::exchanges::ROUTES,
    resources::extensions::ROUTES,
    resources::features::ROUTES,
    resources::health::ROUTES,
    resources::limits::ROUTES,
    resources::login::ROUTES,
    resources::nodes::ROUTES,
    resources::overview::ROUTES,
    resources::parameters::ROUTES,
    resources::permissions::ROUTES,
    resources::policies::ROUTES,
    resources::queues::ROUTES,
    resources::settings::ROUTES,
    resources::users::ROUTES,
    resources::version::ROUTES,
    resources::vhosts::ROUTES,
    resources::whoami::ROUTES,
];

/// Those of metrics.
const METRICS: &[&[Route]] = &[resources::metrics::ROUTES, resources::object_metrics::ROUTES];

/// What the paths to each begin with.
const TREES: [(&[u8], &[&[Route]]); 4] =
    [(b"api", API), (METRICS_PREFIX, METRICS), (b"", &[page::ROOT]), (b"page", &[page::FILES])];

const METRICS_PREFIX: &[u8] = b"metrics";

/// Where a request leads.
#[derive(Clone, Copy)]
pub struct Found {
    route: &'static Route,
    /// Who may ask for it.
    pub right: Right,
    /// What does it.
    pub action: Action,
}

impl Found {
    /// What stands in the path where the row has a `*`.
    pub fn parts<'a>(&self, request: &'a Request) -> Vec<&'a [u8]> {
        let named = self.route.path.split('/').zip(request.path.iter().skip(1));
        named.filter(|(pattern, _)| *pattern == "*").map(|(_, part)| part.as_slice()).collect()
    }
}

/// Finds what a request is for.
///
/// # Errors
/// 404, 405, or 200 for who only asks what may be done.
pub fn find(request: &Request) -> Result<Found, Response> {
    let first = request.path.first().map_or(&b""[..], Vec::as_slice);
    let tree = TREES.iter().find(|(prefix, _)| first == *prefix);
    let routes = tree.into_iter().flat_map(|(_, table)| table.iter().copied().flatten());
    let mut matching =
        routes.filter(|route| matches(route, request.path.get(1..).unwrap_or_default()));
    let route = matching.next().ok_or_else(Response::not_found)?;
    let wanted = if request.method == Method::Head { Method::Get } else { request.method };
    match route.methods.iter().find(|(method, _, _)| *method == wanted) {
        Some(&(_, right, action)) => Ok(Found { route, right, action }),
        None => {
            let status = if wanted == Method::Options { 200 } else { 405 };
            Err(Response::empty(status).header("allow", allowed(route)))
        }
    }
}

/// Whether a request is for metrics, if for anything.
pub fn is_of_metrics(request: &Request) -> bool {
    request.path.first().is_some_and(|first| first == METRICS_PREFIX)
}

/// Whether the segments behind the prefix are those of the row.
fn matches(route: &Route, path: &[Vec<u8>]) -> bool {
    let mut pattern = route.path.split('/').filter(|word| !word.is_empty());
    let same = |part: &Vec<u8>| {
        pattern.next().is_some_and(|word| {
            (word == "*" && !part.is_empty()) || word.as_bytes() == part.as_slice()
        })
    };
    path.iter().all(same) && pattern.next().is_none()
}

/// What may be done there, as RabbitMQ lists it.
fn allowed(route: &Route) -> String {
    const ORDER: [Method; 4] = [Method::Get, Method::Put, Method::Post, Method::Delete];
    let has = |wanted: &Method| route.methods.iter().any(|(method, _, _)| method == wanted);
    let head = has(&Method::Get).then_some(Method::Head);
    let methods = head.into_iter().chain(ORDER.into_iter().filter(has)).chain([Method::Options]);
    methods.map(Method::name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::request::{Head, parse};
    use super::*;

    fn request(line: &str) -> Request {
        match parse(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes(), 0) {
            Ok(Head::Complete(request, ..)) => *request,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refusal(line: &str) -> (u16, Option<String>) {
        let response = find(&request(line)).err().expect(line);
        (response.status, response.headers.first().map(|(_, value)| value.clone()))
    }

    #[test]
    fn a_path_leads_to_its_resource_with_what_it_names() {
        let asked = request("GET /api/queues/%2F/a%2Fb");
        let found = find(&asked).ok().unwrap();
        assert_eq!(found.parts(&asked), [&b"/"[..], b"a/b"]);
        assert!(find(&request("HEAD /api/whoami/")).is_ok());
        let asked = request("GET /api/vhosts/*");
        assert_eq!(find(&asked).ok().unwrap().parts(&asked), [b"*"]);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for path in [
            "/page",
            "/page/",
            "/page/a/b",
            "/api",
            "/api/nope",
            "/whoami",
            "/api/whoami/x",
            "/api//queues",
            "/API/whoami",
            "/metrics/whoami",
            "/api/metrics",
        ] {
            assert_eq!(refusal(&format!("GET {path}")).0, 404, "{path}");
        }
    }

    #[test]
    fn another_method_is_told_what_may_be_done() {
        let allow = |text: &str| Some(text.to_owned());
        assert_eq!(refusal("POST /api/whoami"), (405, allow("HEAD, GET, OPTIONS")));
        assert_eq!(refusal("PATCH /api/users/a"), (405, allow("HEAD, GET, PUT, DELETE, OPTIONS")));
        assert_eq!(refusal("OPTIONS /api/overview"), (200, allow("HEAD, GET, OPTIONS")));
    }

    /// The first row that matches answers: one that stands behind it would never.
    #[test]
    fn no_path_stands_there_twice() {
        let mut seen = BTreeSet::new();
        for (prefix, table) in TREES {
            for route in table.iter().copied().flatten() {
                assert!(seen.insert((prefix, route.path)), "{}", route.path);
            }
        }
    }
}
