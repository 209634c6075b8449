//! By what does a request say who sends it: credentials, a form, or the cookie of a session?
//!
//! Credentials in the header come first, so that tools get what they say. All passwords are looked
//! at by [`Logins`], wherever they stand.

use std::time::Instant;

use serde_json::Value;

use super::authentication::{Caller, Login, Logins, Origin};
use super::call::Right;
use super::request::{Request, form_fields};
use super::response::Response;
use super::sessions;
use crate::broker::Users;

/// A form of a login has at most so many bytes.
pub const FORM_BYTES_MAX: u64 = 4096;

/// Who sends this; `has_waited`: it was told to come later, and did. A form's body is there.
pub fn check(
    logins: &mut Logins,
    users: &mut Users,
    origin: Origin,
    (request, right): (&Request, Right),
    has_waited: bool,
    now: Instant,
) -> Login {
    let login = match right {
        Right::Login => log_in(logins, users, origin, request, has_waited, now),
        Right::Logout => log_out(logins, request),
        Right::Anyone
        | Right::Management
        | Right::Monitoring
        | Right::Policymaker
        | Right::Administrator => {
            let authorization = request.header("authorization");
            let in_session = authorization.is_none().then(|| {
                let user = logins.sessions.user(users, request, now)?;
                let may_come = origin.is_loopback() || !users.is_loopback_only(&user.name);
                let caller = Caller::user(user);
                // A session is for those who may open one now.
                let is_good = may_come && caller.check(Right::Management).is_ok();
                if !is_good {
                    logins.sessions.close(request);
                }
                is_good.then_some(caller)
            });
            match in_session.flatten() {
                Some(caller) if sessions::is_trusted(request) => Login::Granted(caller),
                Some(_) => Login::Refused(forbidden()),
                None => logins.check(users, origin, authorization, has_waited, now),
            }
        }
    };
    match login {
        // The page asks itself; at this header its browser would.
        Login::Refused(mut response) if sessions::is_the_pages(request) => {
            response.headers.retain(|(name, _)| *name != "www-authenticate");
            Login::Refused(response)
        }
        Login::Granted(_) | Login::Refused(_) | Login::Later(_) => login,
    }
}

fn log_in(
    logins: &mut Logins,
    users: &mut Users,
    origin: Origin,
    request: &Request,
    has_waited: bool,
    now: Instant,
) -> Login {
    // Nobody is to find out too late that somebody else logged him in.
    if sessions::is_foreign(request) {
        return Login::Refused(forbidden());
    }
    let Some((name, password)) = form(&request.body) else {
        let text = "username and password are wanted, in a form or in JSON";
        return Login::Refused(Response::bad_request(text));
    };
    let credentials = (name.as_bytes(), password.as_bytes());
    let login = logins.check_password(users, origin, credentials, has_waited, now);
    let Login::Granted(mut caller) = login else {
        return login;
    };
    if let Err(response) = caller.check(Right::Management) {
        return Login::Refused(response);
    }
    let opened = users.find(&caller.name).map(|user| logins.sessions.open(user, now));
    caller.session = opened.and_then(Result::ok);
    match caller.session {
        Some(_) => Login::Granted(caller),
        None => Login::Refused(Response::error(503, "no_session", "no random bytes: try again")),
    }
}

fn log_out(logins: &mut Logins, request: &Request) -> Login {
    if !sessions::is_trusted(request) {
        return Login::Refused(forbidden());
    }
    logins.sessions.close(request);
    Login::Granted(Caller::anyone())
}

fn forbidden() -> Response {
    let text = "this comes from another site's page: with a session, send X-Requested-With";
    Response::error(403, "forbidden", text)
}

/// Name and password of a form, as HTML or JSON sends it.
fn form(body: &[u8]) -> Option<(String, String)> {
    if let Ok(Value::Object(object)) = serde_json::from_slice(body) {
        let field = |name: &str| object.get(name)?.as_str().map(str::to_owned);
        return Some((field("username")?, field("password")?));
    }
    let fields = form_fields(body)?;
    let field = |wanted: &str| {
        let found = fields.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone())
    };
    Some((field("username")?, field("password")?))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::net::SocketAddr;

    use super::super::request::{Head, Method, parse};
    use super::*;

    fn request(body: &str) -> Request {
        let head = "POST /api/login HTTP/1.1\r\nHost: h\r\n\r\n";
        let Ok(Head::Complete(mut request, ..)) = parse(head.as_bytes(), 0) else { panic!() };
        request.body = body.as_bytes().to_vec();
        *request
    }

    /// Whoever guesses passwords gains nothing by guessing them in the form.
    #[test]
    fn logins_that_fail_by_form_and_by_header_count_together() {
        let mut users = Users::new();
        users.put(Users::first_user("guest", "guest", "/").unwrap());
        let (mut logins, now) = (Logins::default(), Instant::now());
        let origin = Origin::Address(SocketAddr::from(([127, 0, 0, 1], 1)));
        let wrong = request("username=guest&password=wrong");
        let right = request("username=guest&password=guest");
        let by_form = |logins: &mut Logins, users: &mut Users, asked: &Request, has_waited| {
            check(logins, users, origin, (asked, Right::Login), has_waited, now)
        };
        for _ in 0..5 {
            let login = by_form(&mut logins, &mut users, &wrong, false);
            assert!(matches!(login, Login::Refused(response) if response.status == 401));
            let header = Some(&b"Basic Z3Vlc3Q6d3Jvbmc="[..]);
            let login = logins.check(&mut users, origin, header, false, now);
            assert!(matches!(login, Login::Refused(response) if response.status == 401));
        }
        assert!(matches!(by_form(&mut logins, &mut users, &wrong, false), Login::Refused(_)));
        assert!(
            matches!(by_form(&mut logins, &mut users, &right, false), Login::Later(at) if at > now)
        );
        let Login::Granted(caller) = by_form(&mut logins, &mut users, &right, true) else {
            panic!()
        };
        assert!(caller.session.is_some());
    }

    /// A cookie that was carried away is worth no more than the password of that user there.
    #[test]
    fn a_session_of_a_user_of_this_host_is_none_elsewhere() {
        let mut users = Users::new();
        users.put(Users::first_user("guest", "guest", "/").unwrap());
        let (mut logins, now) = (Logins::default(), Instant::now());
        let secret = logins.sessions.open(users.find(b"guest").unwrap(), now).unwrap();
        let mut asked = request("");
        let cookie = secret.set_cookie().split(';').next().unwrap().as_bytes().to_vec();
        asked.method = Method::Get;
        asked.headers.push(("cookie".to_owned(), cookie));
        let mut from = |address: [u8; 4]| {
            let origin = Origin::Address(SocketAddr::from((address, 1)));
            check(&mut logins, &mut users, origin, (&asked, Right::Management), false, now)
        };
        assert!(matches!(from([127, 0, 0, 1]), Login::Granted(_)));
        assert!(matches!(from([192, 0, 2, 1]), Login::Refused(_)));
        assert!(matches!(from([127, 0, 0, 1]), Login::Refused(_)), "it ended there");
    }

    #[test]
    fn a_form_is_read_as_html_and_json_send_it() {
        let wanted = Some(("a&b".to_owned(), "ü %+".to_owned()));
        assert_eq!(form("username=a%26b&password=%C3%BC+%25%2b".as_bytes()), wanted);
        assert_eq!(
            form("x=1&password=%c3%bc%20%25%2B&username=a%26b&username=c".as_bytes()),
            wanted
        );
        assert_eq!(form(r#"{"username": "a&b", "password": "ü %+"}"#.as_bytes()), wanted);
        assert_eq!(form(b"username=&password="), Some((String::new(), String::new())));
        for body in [
            &b""[..],
            b"username=a",
            b"{\"username\": \"a\"}",
            b"username=a&password=%zz",
            b"{\"username\": 1, \"password\": 2}",
            b"[]",
            b"\xff\0",
            b"username=%ff&password=a",
        ] {
            assert_eq!(form(body), None, "{}", body.escape_ascii());
        }
    }
}
