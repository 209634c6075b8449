//! When has a connection been silent for too long, and when has it to show a sign of life?
//!
//! AMQP 0-9-1 section 4.2.7. Any traffic counts. Owns no timer: it says when it wants to be
//! asked again.

use std::time::{Duration, Instant};

/// The time limits of one connection.
#[derive(Debug)]
pub struct Heartbeat {
    rule: Rule,
    received_at: Instant,
    sent_at: Instant,
    /// The client is blocked and may not be able to send.
    paused: bool,
}

#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Something has to be over by then: the handshake, or a close.
    By(Instant),
    /// Both sides promised a sign of life in each interval.
    Every(Duration),
    /// No limit.
    Off,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Send a heartbeat frame.
    Beat,
    /// Close the socket: nothing came for two and a half intervals, or a time limit is over.
    Over,
}

/// How long a handshake may take.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

impl Heartbeat {
    /// The limit of a connection that is not open yet.
    pub fn handshake(now: Instant) -> Self {
        let rule = Rule::By(now + HANDSHAKE_WITHIN);
        Self { rule, received_at: now, sent_at: now, paused: false }
    }

    /// The interval was negotiated, in seconds; 0 = off.
    pub fn negotiated(&mut self, seconds: u16, now: Instant) {
        self.received_at = now;
        self.rule = match seconds {
            0 => Rule::Off,
            seconds => Rule::Every(Duration::from_secs(u64::from(seconds))),
        };
    }

    /// From now on only this limit counts.
    pub fn over_by(&mut self, limit: Instant) {
        self.rule = Rule::By(limit);
    }

    /// Something came.
    #[inline]
    pub fn received(&mut self, now: Instant) {
        self.received_at = now;
    }

    /// Nobody listened for some time until now: what is silent since then is not held against the
    /// client.
    pub fn resumed(&mut self, now: Instant) {
        if let Rule::Every(_) = self.rule {
            self.received_at = now;
        }
    }

    /// Something was sent.
    #[inline]
    pub fn sent(&mut self, now: Instant) {
        self.sent_at = now;
    }

    /// The client is blocked from now on (`true`), or no more (`false`).
    pub fn pause(&mut self, paused: bool, now: Instant) {
        if self.paused != paused {
            self.paused = paused;
            self.received_at = now;
        }
    }

    /// When [`Heartbeat::due`] will say something new; `None` = never.
    pub fn next(&self) -> Option<Instant> {
        match self.rule {
            Rule::By(limit) => Some(limit),
            Rule::Every(interval) => {
                let beat = self.sent_at + interval / 2;
                let gone = self.received_at + interval * 5 / 2;
                Some(if self.paused { beat } else { beat.min(gone) })
            }
            Rule::Off => None,
        }
    }

    /// What is due at this time.
    pub fn due(&self, now: Instant) -> Due {
        match self.rule {
            Rule::By(limit) if now >= limit => Due::Over,
            Rule::By(_) | Rule::Off => Due::Nothing,
            Rule::Every(interval) if !self.paused && now >= self.received_at + interval * 5 / 2 => {
                Due::Over
            }
            Rule::Every(interval) if now >= self.sent_at + interval / 2 => Due::Beat,
            Rule::Every(_) => Due::Nothing,
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_beat_is_due_after_half_an_interval_of_sending_nothing() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::handshake(start);
        heartbeat.negotiated(10, start);
        heartbeat.sent(start);
        assert_eq!(heartbeat.next(), Some(start + secs(5)));
        assert_eq!(heartbeat.due(start + secs(4)), Due::Nothing);
        assert_eq!(heartbeat.due(start + secs(5)), Due::Beat);
        heartbeat.sent(start + secs(5));
        assert_eq!(heartbeat.due(start + secs(9)), Due::Nothing);
    }

    #[test]
    fn two_and_a_half_silent_intervals_end_the_connection_unless_it_is_held_back() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::handshake(start);
        heartbeat.negotiated(10, start);
        heartbeat.sent(start + secs(24));
        assert_eq!(heartbeat.due(start + secs(24)), Due::Nothing);
        assert_eq!(heartbeat.due(start + secs(25)), Due::Over);
        heartbeat.pause(true, start + secs(15));
        heartbeat.sent(start + secs(99));
        assert_eq!(heartbeat.due(start + secs(100)), Due::Nothing);
        heartbeat.pause(false, start + secs(100));
        assert_eq!(heartbeat.due(start + secs(101)), Due::Nothing);
        heartbeat.sent(start + secs(124));
        assert_eq!(heartbeat.due(start + secs(124)), Due::Nothing);
        assert_eq!(heartbeat.due(start + secs(125)), Due::Over);
    }

    #[test]
    fn who_did_not_listen_does_not_call_the_client_silent() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::handshake(start);
        heartbeat.resumed(start + secs(11));
        assert_eq!(heartbeat.due(start + secs(11)), Due::Over, "a handshake goes on by itself");
        heartbeat.negotiated(10, start);
        heartbeat.resumed(start + secs(60));
        heartbeat.sent(start + secs(84));
        assert_eq!(heartbeat.due(start + secs(84)), Due::Nothing);
        assert_eq!(heartbeat.due(start + secs(85)), Due::Over);
    }

    #[test]
    fn a_handshake_has_ten_seconds_and_zero_switches_heartbeats_off() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::handshake(start);
        assert_eq!(heartbeat.due(start + secs(9)), Due::Nothing);
        assert_eq!(heartbeat.due(start + secs(10)), Due::Over);
        heartbeat.negotiated(0, start);
        assert_eq!(heartbeat.next(), None);
        assert_eq!(heartbeat.due(start + secs(100_000)), Due::Nothing);
    }
}
