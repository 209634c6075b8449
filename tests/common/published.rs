//! How does a test publish until the disk is full, and go on when it is not any more?

use super::client::Client;
use super::verbs::persistent;
use super::{Ack, Method, Unblocked};

/// How many messages go out before the publisher listens.
const BURST: u64 = 50;

/// What a publisher knows whose channel 2 confirms.
#[derive(Default)]
pub struct Published {
    /// How many messages it has sent.
    pub sent: u64,
    /// How many of them are confirmed.
    pub confirmed: u64,
    /// Whether the broker has said that it does not listen to it.
    pub is_blocked: bool,
}

impl Published {
    /// Publishes persistent messages until the broker says that the disk is full. `message` says
    /// for each number into which queue, and what.
    pub fn until_blocked<'a>(
        &mut self,
        client: &mut Client,
        message: impl Fn(u64) -> (&'a str, Vec<u8>),
    ) {
        while !self.is_blocked {
            for _ in 0..BURST {
                let (queue, body) = message(self.sent);
                client.publish_with(2, "", queue, &persistent(), &body);
                self.sent += 1;
            }
            while self.confirmed < self.sent && !self.is_blocked {
                self.listen(client);
            }
        }
    }

    /// Waits until the broker listens again and has confirmed everything.
    pub fn until_confirmed(&mut self, client: &mut Client) {
        while self.is_blocked || self.confirmed < self.sent {
            self.listen(client);
        }
    }

    fn listen(&mut self, client: &mut Client) {
        let event = client.next_of(&[0, 2]);
        if event.channel == 0 {
            self.is_blocked = matches!(event.method(), Method::ConnectionBlocked(_));
            if !self.is_blocked {
                event.expect::<Unblocked>();
            }
            return;
        }
        let ack = event.expect::<Ack>();
        let is_next = ack.tag == self.confirmed + 1 || (ack.multiple && ack.tag > self.confirmed);
        assert!(is_next && ack.tag <= self.sent, "{ack:?} after {}", self.confirmed);
        self.confirmed = ack.tag;
    }
}
