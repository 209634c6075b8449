//! Who asks, and may that user ask this?
//!
//! Basic authentication against the broker's users. Whoever comes by the Unix socket owns the
//! broker's files and is let in without a password. Failed logins are logged with their peer, and
//! a peer that fails often has its next ones looked at later: [`Logins`] remembers a bounded number
//! of peers.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use log::warn;

use super::call::Right;
use super::response::Response;
use super::sessions::{Secret, Sessions};
use crate::amqp::Name;
use crate::broker::users::LoginBy;
use crate::broker::users::user::LoginRefusal;
use crate::broker::{Broker, User, Users, VhostKey};

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An address.
    Address(SocketAddr),
    /// An address, at a port where nothing but metrics is served.
    Scraper(SocketAddr),
    /// The Unix socket, which only the owner of the broker's process may open.
    Owner,
}

impl Origin {
    /// Who counts as the same peer: an address; of version 6 all of a network, since whoever has
    /// one of its addresses has the others, too. `None` is the owner.
    pub fn neighbourhood(self) -> Option<IpAddr> {
        let address = match self {
            Self::Address(address) | Self::Scraper(address) => address.ip().to_canonical(),
            Self::Owner => return None,
        };
        Some(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(_) if address.is_loopback() => address,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        })
    }

    /// Whether it gets nothing but metrics.
    pub fn is_scraper(self) -> bool {
        matches!(self, Self::Scraper(_))
    }

    /// Where from, as far as failed logins are concerned.
    fn peer(self) -> IpAddr {
        self.neighbourhood().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Whether it is on this host.
    pub fn is_loopback(self) -> bool {
        self.peer().is_loopback()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) | Self::Scraper(address) => address.fmt(out),
            Self::Owner => out.write_str("the Unix socket"),
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user's name.
    pub name: Name,
    /// Its tags at the time.
    pub tags: Vec<String>,
    /// It came by the Unix socket, and needs to be no user of the broker.
    pub is_owner: bool,
    /// What a session was opened with by this request.
    pub session: Option<Secret>,
}

impl Caller {
    fn owner() -> Self {
        let tags = vec!["administrator".to_owned()];
        Self { name: Name::from("owner"), tags, is_owner: true, session: None }
    }

    /// Somebody who was not asked.
    pub fn anyone() -> Self {
        Self { name: Name::default(), tags: Vec::new(), is_owner: false, session: None }
    }

    /// A user.
    pub fn user(user: &User) -> Self {
        let (name, tags) = (user.name.clone(), user.tags.clone());
        Self { name, tags, is_owner: false, session: None }
    }

    fn has(&self, tags: &[&str]) -> bool {
        self.tags.iter().any(|tag| tags.contains(&tag.as_str()))
    }

    /// Whether it sees what is no vhost's.
    pub fn is_monitor(&self) -> bool {
        self.has(&["monitoring", "administrator"])
    }

    /// Whether it sees what is in the vhost, where vhosts are listed together.
    pub fn sees(&self, users: &Users, vhost: &[u8]) -> bool {
        self.is_monitor() || users.find(&self.name).is_some_and(|user| user.may_enter(vhost))
    }

    /// Whether what is in a vhost is in a list that is of the vhost `wanted`, or of all that it
    /// sees. What is in one that was deleted goes by and by, and nobody sees it any more.
    pub fn lists(&self, broker: &Broker, wanted: Option<VhostKey>, vhost: VhostKey) -> bool {
        let found = broker.topology().vhost(vhost).filter(|vhost| !vhost.leaving);
        found.is_some_and(|found| match wanted {
            Some(wanted) => wanted == vhost,
            None => self.sees(broker.users(), &found.name),
        })
    }

    /// 401 unless it has this right.
    ///
    /// # Errors
    /// In RabbitMQ's words.
    pub fn check(&self, right: Right) -> Result<(), Response> {
        let (has, lacks) = match right {
            Right::Anyone | Right::Login | Right::Logout => return Ok(()),
            Right::Management => (
                self.has(&["management", "policymaker", "monitoring", "administrator"]),
                "Not management user",
            ),
            Right::Monitoring => (self.is_monitor(), "Not monitor user"),
            Right::Policymaker => (
                self.has(&["policymaker", "administrator"]),
                "User not authorised to access object",
            ),
            Right::Administrator => (self.has(&["administrator"]), "Not administrator user"),
        };
        if has { Ok(()) } else { Err(Response::not_authorised(lacks)) }
    }
}

/// Whether a request is let in.
#[derive(Debug, PartialEq, Eq)]
pub enum Login {
    /// As this user.
    Granted(Caller),
    /// It is not.
    Refused(Response),
    /// It is looked at then: too many from there failed.
    Later(Instant),
}

/// Which peers failed to log in of late, and who logged in by form.
#[derive(Debug, Default)]
pub struct Logins {
    /// The one that failed last comes last.
    failed: VecDeque<(IpAddr, Failures)>,
    /// Logins by form that are still good.
    pub sessions: Sessions,
}

/// How often a peer failed, less one for every [`FORGIVEN_EVERY`].
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    since: Instant,
}

/// So many peers that failed are remembered; the one that failed longest ago is forgotten.
const PEERS_MAX: usize = 256;

/// A peer may fail so often before it has to wait.
const FREE_FAILURES: u32 = 10;

/// How long until one failure is forgotten.
const FORGIVEN_EVERY: Duration = Duration::from_secs(1);

/// How long a login waits for each failure too many, and at most.
const DELAY_PER_FAILURE: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(2);

impl Logins {
    /// Looks at a request's credentials; `has_waited`: it was told to come later, and did.
    pub fn check(
        &mut self,
        users: &mut Users,
        origin: Origin,
        authorization: Option<&[u8]>,
        has_waited: bool,
        now: Instant,
    ) -> Login {
        let Some(authorization) = authorization else {
            return match origin {
                Origin::Address(_) | Origin::Scraper(_) => {
                    Login::Refused(challenge(Response::empty(401)))
                }
                // Who says who it is wants to be taken for that.
                Origin::Owner => Login::Granted(Caller::owner()),
            };
        };
        let Some((name, password)) = credentials(authorization) else {
            if let Some(later) = self.later(origin, has_waited, now) {
                return later;
            }
            self.note_failure(origin.peer(), now);
            return Login::Refused(Response::empty(400));
        };
        self.check_password(users, origin, (&name, &password), has_waited, now)
    }

    /// Looks at a name and a password, wherever a request has them.
    pub fn check_password(
        &mut self,
        users: &mut Users,
        origin: Origin,
        (name, password): (&[u8], &[u8]),
        has_waited: bool,
        now: Instant,
    ) -> Login {
        if let Some(later) = self.later(origin, has_waited, now) {
            return later;
        }
        match users.log_in(LoginBy::Http, name, password, origin.is_loopback()) {
            Ok(user) => Login::Granted(Caller::user(user)),
            Err(reason) => {
                warn!(
                    "{origin}: login of user '{}' to the HTTP API refused: {reason}",
                    shown(name)
                );
                self.note_failure(origin.peer(), now);
                let told = match reason {
                    LoginRefusal::LoopbackOnly => "User can only log in via localhost",
                    LoginRefusal::UnknownUser | LoginRefusal::WrongPassword => "Login failed",
                };
                Login::Refused(challenge(Response::error(401, "not_authorized", told)))
            }
        }
    }

    /// That a login from there has to wait, unless it did.
    fn later(&self, origin: Origin, has_waited: bool, now: Instant) -> Option<Login> {
        let delay = self.delay(origin.peer(), now);
        (!has_waited && !delay.is_zero()).then(|| Login::Later(now + delay))
    }

    /// How long a login from there has to wait.
    fn delay(&self, from: IpAddr, now: Instant) -> Duration {
        let found = self.failed.iter().find(|(peer, _)| *peer == from);
        let count = found.map_or(0, |(_, failures)| failures.left(now));
        (DELAY_PER_FAILURE * count.saturating_sub(FREE_FAILURES)).min(DELAY_MAX)
    }

    fn note_failure(&mut self, from: IpAddr, now: Instant) {
        let found = self.failed.iter().position(|(peer, _)| *peer == from);
        let before = found.and_then(|index| self.failed.remove(index));
        let count = before.map_or(0, |(_, failures)| failures.left(now)).saturating_add(1);
        if self.failed.len() >= PEERS_MAX {
            self.failed.pop_front();
        }
        self.failed.push_back((from, Failures { count, since: now }));
    }
}

impl Failures {
    fn left(&self, now: Instant) -> u32 {
        let forgiven =
            now.saturating_duration_since(self.since).as_secs() / FORGIVEN_EVERY.as_secs();
        self.count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

/// A name that somebody sent, as the log may show it.
fn shown(name: &[u8]) -> String {
    const BYTES_MAX: usize = 255;
    name[..name.len().min(BYTES_MAX)].escape_ascii().to_string()
}

fn challenge(response: Response) -> Response {
    response.header("www-authenticate", "Basic realm=\"RabbitMQ Management\"")
}

/// User and password of basic authentication (RFC 7617); another scheme is a login without either.
fn credentials(authorization: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut words = authorization.splitn(2, |&byte| byte == b' ');
    if !words.next()?.eq_ignore_ascii_case(b"basic") {
        return Some((Vec::new(), Vec::new()));
    }
    let mut decoded = STANDARD.decode(words.next()?.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let password = decoded.split_off(colon + 1);
    decoded.truncate(colon);
    Some((decoded, password))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::broker::User;
    use crate::broker::users::password::PasswordHash;

    const HERE: Origin =
        Origin::Address(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1));

    fn users() -> Users {
        let mut users = Users::new();
        users.put(Users::first_user("guest", "guest", "/").unwrap());
        let hash = PasswordHash::create(b"a:b").unwrap();
        users.put(User::new(Name::from("mon"), Some(hash), vec!["monitoring".to_owned()]));
        users
    }

    fn basic(text: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(text)).into_bytes()
    }

    fn elsewhere(last: u8) -> Origin {
        Origin::Address(SocketAddr::from(([192, 0, 2, last], 1)))
    }

    #[test]
    fn who_knows_the_password_is_let_in_with_its_tags() {
        let (mut users, mut logins, now) = (users(), Logins::default(), Instant::now());
        let mut login =
            |origin, text: &[u8]| logins.check(&mut users, origin, Some(text), false, now);
        let Login::Granted(caller) = login(elsewhere(1), &basic("mon:a:b")) else { panic!() };
        assert!(caller.is_monitor() && caller.check(Right::Management).is_ok());
        assert!(caller.check(Right::Administrator).is_err());
        assert!(matches!(login(HERE, &basic("guest:guest")), Login::Granted(_)));
        let Login::Refused(refused) = login(elsewhere(1), &basic("guest:guest")) else { panic!() };
        let text = String::from_utf8(refused.body).unwrap();
        assert!(text.contains("User can only log in via localhost"), "{text}");
    }

    #[test]
    fn who_does_not_is_told_to_log_in() {
        let (mut users, mut logins, now) = (users(), Logins::default(), Instant::now());
        let Login::Refused(asked) = logins.check(&mut users, HERE, None, false, now) else {
            panic!()
        };
        assert_eq!((asked.status, asked.body.len()), (401, 0));
        assert_eq!(asked.headers[0].0, "www-authenticate");
        for (text, status) in [
            (basic("guest:"), 401),
            (basic("ghost:guest"), 401),
            (b"Bearer abc".to_vec(), 401),
            (b"Basic !!!".to_vec(), 400),
            (b"Basic".to_vec(), 400),
            (basic("guest"), 400),
        ] {
            let login = logins.check(&mut users, HERE, Some(&text), false, now);
            assert!(matches!(login, Login::Refused(response) if response.status == status));
        }
    }

    #[test]
    fn the_owner_needs_no_password() {
        let mut logins = Logins::default();
        let login = logins.check(&mut Users::new(), Origin::Owner, None, false, Instant::now());
        let Login::Granted(caller) = login else { panic!() };
        assert!(caller.is_owner && caller.check(Right::Administrator).is_ok());
    }

    /// Whether a password is right can be asked there, too.
    #[test]
    fn who_gives_a_name_at_the_socket_is_taken_for_that_user() {
        let (mut users, mut logins, now) = (users(), Logins::default(), Instant::now());
        let right = logins.check(&mut users, Origin::Owner, Some(&basic("mon:a:b")), false, now);
        let Login::Granted(caller) = right else { panic!() };
        assert!(!caller.is_owner && caller.name.as_bytes() == b"mon");
        let wrong = logins.check(&mut users, Origin::Owner, Some(&basic("mon:wrong")), false, now);
        assert!(matches!(wrong, Login::Refused(response) if response.status == 401));
    }

    #[test]
    fn whoever_fails_often_is_looked_at_later_and_others_are_not() {
        let (mut users, mut logins, now) = (users(), Logins::default(), Instant::now());
        let wrong = basic("mon:wrong");
        for _ in 0..=FREE_FAILURES {
            let login = logins.check(&mut users, elsewhere(1), Some(&wrong), false, now);
            assert!(matches!(login, Login::Refused(_)));
        }
        let right = basic("mon:a:b");
        let mut login =
            |last, waited, at| logins.check(&mut users, elsewhere(last), Some(&right), waited, at);
        assert_eq!(login(1, false, now), Login::Later(now + DELAY_PER_FAILURE));
        assert!(matches!(login(2, false, now), Login::Granted(_)));
        assert!(matches!(login(1, true, now), Login::Granted(_)));
        assert!(matches!(login(1, false, now + FORGIVEN_EVERY), Login::Granted(_)));
    }

    /// One who has a whole network at hand is one all the same.
    #[test]
    fn addresses_of_one_network_are_one_peer() {
        let of = |text: &str| Origin::Address(SocketAddr::new(text.parse().unwrap(), 1));
        let same = |one: &str, other: &str| of(one).neighbourhood() == of(other).neighbourhood();
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::2"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(same("::ffff:10.0.0.1", "10.0.0.1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
        assert!(!same("::1", "::2"));
        let (mut users, mut logins, now) = (users(), Logins::default(), Instant::now());
        for last in 0..=FREE_FAILURES {
            let from = of(&format!("2001:db8:1:2::{last}"));
            logins.check(&mut users, from, Some(&basic("mon:wrong")), false, now);
        }
        let right = basic("mon:a:b");
        let login = logins.check(&mut users, of("2001:db8:1:2::ffff"), Some(&right), false, now);
        assert!(matches!(login, Login::Later(_)));
        // At the host itself only guest may log in, by either version.
        let login = logins.check(&mut users, of("::1"), Some(&basic("guest:guest")), false, now);
        assert!(matches!(login, Login::Granted(_)));
    }

    #[test]
    fn peers_that_fail_are_remembered_in_bounded_memory() {
        let (mut users, mut logins, now) = (users(), Logins::default(), Instant::now());
        for number in 0..10_000_u32 {
            let origin = Origin::Address(SocketAddr::from((number.to_be_bytes(), 1)));
            logins.check(&mut users, origin, Some(&basic("a:b")), true, now);
        }
        assert_eq!(logins.failed.len(), PEERS_MAX);
    }
}
