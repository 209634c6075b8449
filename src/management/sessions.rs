//! Who logged in by the page's form, and is that login still good?
//!
//! A session is a random secret in a cookie that scripts cannot read and other sites cannot send.
//! Sessions live in memory, in a bounded number, and each use looks at the user as it is now: one
//! that was deleted, or whose password was changed, has none left. Imports `request`.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::request::{Method, Request};
use crate::amqp::Name;
use crate::broker::users::password::PasswordHash;
use crate::broker::{User, Users};

/// All that are open.
#[derive(Debug)]
pub struct Sessions {
    /// The one that was used last comes last.
    open: VecDeque<Session>,
    /// A session ends so long after the login, whatever happens.
    age_max: Duration,
}

struct Session {
    /// Of the secret, which is nowhere here: how long a comparison takes tells nothing of it.
    digest: [u8; 32],
    user: Name,
    /// What the user's password was.
    password: Option<PasswordHash>,
    opened: Instant,
    used: Instant,
}

/// The secret of a session, as its client keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    /// How long it is good at most.
    age_max: Duration,
}

/// So many sessions are open at a time; the one that was used longest ago makes room.
pub const SESSIONS_MAX: usize = 256;

/// So many of them are one user's.
pub const SESSIONS_PER_USER_MAX: usize = 16;

/// A session ends when nobody used it for so long; an open page does all the time.
pub const IDLE_MAX: Duration = Duration::from_secs(60 * 60);

/// How long a session lasts at most, unless the configuration says something else.
pub const AGE_MAX_MINUTES: u32 = 8 * 60;

/// The cookie's name.
const COOKIE: &str = "leveret_session";

/// Nobody guesses that many bits.
const SECRET_BYTES: usize = 32;

/// Which the page sends with whatever it asks, and no other site's page can.
const OWN_HEADER: &str = "x-requested-with";

impl Default for Sessions {
    fn default() -> Self {
        Self { open: VecDeque::new(), age_max: minutes(AGE_MAX_MINUTES) }
    }
}

fn minutes(minutes: u32) -> Duration {
    Duration::from_secs(60 * u64::from(minutes))
}

impl Sessions {
    /// A session ends so many minutes after the login, also one that is open.
    pub fn limit_age(&mut self, age_max_minutes: u32) {
        self.age_max = minutes(age_max_minutes);
    }

    /// Opens one for a user who just logged in.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn open(&mut self, user: &User, now: Instant) -> Result<Secret, getrandom::Error> {
        let mut random = [0; SECRET_BYTES];
        getrandom::fill(&mut random)?;
        let age_max = self.age_max;
        let secret = Secret { text: URL_SAFE_NO_PAD.encode(random), age_max };
        self.open.retain(|session| !session.is_over(age_max, now));
        let own = |session: &&Session| session.user == user.name;
        if self.open.iter().filter(own).count() >= SESSIONS_PER_USER_MAX
            && let Some(oldest) = self.open.iter().position(|session| own(&session))
        {
            self.open.remove(oldest);
        }
        if self.open.len() >= SESSIONS_MAX {
            self.open.pop_front();
        }
        let (name, password) = (user.name.clone(), user.password.clone());
        let digest = digest(secret.text.as_bytes());
        self.open.push_back(Session { digest, user: name, password, opened: now, used: now });
        Ok(secret)
    }

    /// The user whose session a request's cookie is of, if that is still good.
    pub fn user<'a>(
        &mut self,
        users: &'a Users,
        request: &Request,
        now: Instant,
    ) -> Option<&'a User> {
        let mut session = self.take(request)?;
        let user = users.find(&session.user)?;
        if session.is_over(self.age_max, now) || user.password != session.password {
            return None;
        }
        session.used = now;
        self.open.push_back(session);
        Some(user)
    }

    /// Ends the session of a request's cookie.
    pub fn close(&mut self, request: &Request) {
        self.take(request);
    }

    /// Takes the session out that a request's cookie is of.
    fn take(&mut self, request: &Request) -> Option<Session> {
        let digest = digest(cookie(request)?);
        let at = self.open.iter().position(|session| session.digest == digest)?;
        self.open.remove(at)
    }
}

impl Session {
    fn is_over(&self, age_max: Duration, now: Instant) -> bool {
        let since = |then| now.saturating_duration_since(then);
        since(self.used) >= IDLE_MAX || since(self.opened) >= age_max
    }
}

impl Secret {
    /// The header that has a browser keep it until it is closed, or the session is too old.
    pub fn set_cookie(&self) -> String {
        let (secret, seconds) = (&self.text, self.age_max.as_secs());
        format!("{COOKIE}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict")
    }
}

/// The header that has a browser forget it.
pub fn clear_cookie() -> String {
    format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Session of {}", self.user.as_bytes().escape_ascii())
    }
}

/// Whether the page itself says that it sent this.
pub fn is_the_pages(request: &Request) -> bool {
    request.header(OWN_HEADER).is_some()
}

/// Whether a session may do this: reading is harmless, since no other site sees the answer; for
/// what changes something, the request has to come from the page. A cookie goes with requests from
/// other ports of the same host, so that `SameSite` is not enough.
pub fn is_trusted(request: &Request) -> bool {
    let reads = matches!(request.method, Method::Get | Method::Head | Method::Options);
    reads || is_the_pages(request) || sender(request) == Sender::SameOrigin
}

/// Whether a browser says that another site's page sent this.
pub fn is_foreign(request: &Request) -> bool {
    !is_the_pages(request) && sender(request) == Sender::Other
}

#[derive(PartialEq, Eq)]
enum Sender {
    SameOrigin,
    Other,
    /// No browser, or an old one.
    Unsaid,
}

fn sender(request: &Request) -> Sender {
    match (request.header("sec-fetch-site"), request.header("origin")) {
        (Some(b"same-origin"), _) => Sender::SameOrigin,
        // The user typed it.
        (Some(b"none"), _) | (None, None) => Sender::Unsaid,
        (Some(_), _) => Sender::Other,
        (None, Some(origin)) => {
            let host = origin.splitn(2, |&byte| byte == b'/').nth(1).unwrap_or_default();
            let is_same = host.strip_prefix(b"/") == request.header("host");
            if is_same { Sender::SameOrigin } else { Sender::Other }
        }
    }
}

/// The secret that a request brings.
fn cookie(request: &Request) -> Option<&[u8]> {
    let headers = request.headers.iter().filter(|(name, _)| name == "cookie");
    let mut pairs = headers.flat_map(|(_, value)| value.split(|&byte| byte == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"=")?;
        (!value.is_empty()).then_some(value)
    })
}

fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::super::request::{Head, parse};
    use super::*;

    fn users() -> Users {
        let mut users = Users::new();
        for name in ["ann", "ben"] {
            users.put(Users::first_user(name, name, "/").unwrap());
        }
        users
    }

    fn request(method: &str, headers: &str) -> Request {
        let text = format!("{method} /api/x HTTP/1.1\r\nHost: here:1\r\n{headers}\r\n");
        match parse(text.as_bytes(), 0) {
            Ok(Head::Complete(request, ..)) => *request,
            other => panic!("{headers}: {other:?}"),
        }
    }

    fn with_cookie(secret: &Secret) -> Request {
        let cookie = secret.set_cookie();
        let pair = cookie.split(';').next().unwrap();
        request("GET", &format!("Cookie: a=b; {pair}; c\r\n"))
    }

    fn open(sessions: &mut Sessions, users: &Users, name: &str, now: Instant) -> Request {
        with_cookie(&sessions.open(users.find(name.as_bytes()).unwrap(), now).unwrap())
    }

    #[test]
    fn a_session_is_its_users_until_it_is_closed() {
        let (users, mut sessions, now) = (users(), Sessions::default(), Instant::now());
        let [ann, ben] = ["ann", "ben"].map(|name| open(&mut sessions, &users, name, now));
        for _ in 0..3 {
            assert_eq!(sessions.user(&users, &ann, now).unwrap().name, Name::from("ann"));
            assert_eq!(sessions.user(&users, &ben, now).unwrap().name, Name::from("ben"));
        }
        sessions.close(&ann);
        assert!(sessions.user(&users, &ann, now).is_none());
        assert!(sessions.user(&users, &ben, now).is_some());
    }

    #[test]
    fn a_session_ends_when_it_is_idle_or_old() {
        let (users, mut sessions, start) = (users(), Sessions::default(), Instant::now());
        let idle = open(&mut sessions, &users, "ann", start);
        assert!(sessions.user(&users, &idle, start + IDLE_MAX).is_none());
        let used = open(&mut sessions, &users, "ann", start);
        let step = IDLE_MAX - Duration::from_secs(1);
        let mut now = start;
        let end = start + minutes(AGE_MAX_MINUTES);
        while now + step < end {
            now += step;
            assert!(sessions.user(&users, &used, now).is_some());
        }
        assert!(sessions.user(&users, &used, end).is_none());
    }

    #[test]
    fn a_session_lasts_as_long_as_it_may_also_when_that_changes() {
        let (users, mut sessions, start) = (users(), Sessions::default(), Instant::now());
        let before = open(&mut sessions, &users, "ann", start);
        sessions.limit_age(2);
        let secret = sessions.open(users.find(b"ben").unwrap(), start).unwrap();
        assert!(secret.set_cookie().contains("; Max-Age=120;"), "{}", secret.set_cookie());
        let nearly = start + Duration::from_secs(119);
        assert!(sessions.user(&users, &before, nearly).is_some());
        assert!(sessions.user(&users, &with_cookie(&secret), nearly).is_some());
        let over = start + Duration::from_secs(120);
        assert!(sessions.user(&users, &with_cookie(&secret), over).is_none());
        assert!(sessions.user(&users, &before, over).is_none());
    }

    #[test]
    fn a_session_ends_with_its_user_and_its_password() {
        let (mut users, mut sessions, now) = (users(), Sessions::default(), Instant::now());
        let [ann, ben] = ["ann", "ben"].map(|name| open(&mut sessions, &users, name, now));
        users.put(Users::first_user("ann", "new", "/").unwrap());
        users.remove(b"ben");
        assert!(sessions.user(&users, &ann, now).is_none());
        assert!(sessions.user(&users, &ben, now).is_none());
        users.put(Users::first_user("ben", "ben", "/").unwrap());
        assert!(sessions.user(&users, &ben, now).is_none());
    }

    #[test]
    fn sessions_are_bounded_in_number_and_for_each_user() {
        let (mut users, mut sessions, now) = (users(), Sessions::default(), Instant::now());
        let ben = open(&mut sessions, &users, "ben", now);
        let anns: Vec<_> =
            (0..=SESSIONS_PER_USER_MAX).map(|_| open(&mut sessions, &users, "ann", now)).collect();
        let good = |sessions: &mut Sessions, request| sessions.user(&users, request, now).is_some();
        assert!(!good(&mut sessions, &anns[0]) && good(&mut sessions, &anns[1]));
        assert!(good(&mut sessions, &ben), "another user's are none of ann's business");
        for number in 0..SESSIONS_MAX * 2 {
            let name = format!("user {number}");
            users.put(Users::first_user(&name, &name, "/").unwrap());
            open(&mut sessions, &users, &name, now);
        }
        assert_eq!(sessions.open.len(), SESSIONS_MAX);
    }

    #[test]
    fn what_changes_something_has_to_come_from_the_page() {
        for (headers, trusted, foreign) in [
            ("", false, false),
            ("X-Requested-With: leveret\r\n", true, false),
            ("Sec-Fetch-Site: same-origin\r\n", true, false),
            ("Sec-Fetch-Site: same-site\r\nOrigin: http://here:1\r\n", false, true),
            ("Sec-Fetch-Site: cross-site\r\n", false, true),
            ("Sec-Fetch-Site: none\r\n", false, false),
            ("Origin: http://here:1\r\n", true, false),
            ("Origin: https://here:1\r\n", true, false),
            ("Origin: http://here:2\r\n", false, true),
            ("Origin: null\r\n", false, true),
            ("Origin: http://here:1.evil\r\n", false, true),
        ] {
            let post = request("POST", headers);
            assert_eq!((is_trusted(&post), is_foreign(&post)), (trusted, foreign), "{headers}");
            assert!(is_trusted(&request("GET", headers)));
        }
    }

    #[test]
    fn a_broken_cookie_is_nobodys() {
        let (users, mut sessions, now) = (users(), Sessions::default(), Instant::now());
        open(&mut sessions, &users, "ann", now);
        for text in [
            "",
            "=",
            ";;;",
            "leveret_session",
            "leveret_session=",
            "xleveret_session=a",
            "leveret_session=\u{ff}",
            "leveret_session=a; leveret_session=b",
        ] {
            let asked = request("GET", &format!("Cookie: {text}\r\n"));
            assert!(sessions.user(&users, &asked, now).is_none(), "{text}");
        }
        let long = format!("Cookie: leveret_session={}\r\n", "x".repeat(12_000));
        assert!(sessions.user(&users, &request("GET", &long), now).is_none());
    }

    #[test]
    fn a_secret_is_not_printed() {
        let (users, mut sessions, now) = (users(), Sessions::default(), Instant::now());
        let secret = sessions.open(users.find(b"ann").unwrap(), now).unwrap();
        assert!(secret.set_cookie().contains(&secret.text) && secret.text.len() >= 22);
        assert!(!format!("{secret:?} {sessions:?}").contains(&secret.text));
    }
}
