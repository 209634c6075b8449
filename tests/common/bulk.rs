//! How does a test publish and take very many messages? Many at a time, each time on a channel of
//! its own, `helper`, whose number is free.

use super::client::{Client, encode_publish};
use super::owned::Delivery;
use super::verbs::persistent;
use super::{ChannelCloseOk, basic, channel};

/// So many messages, or bytes of bodies, go in one write.
const BURST_MAX: usize = 500;
const BURST_BYTES_MAX: usize = 1 << 20;
/// More confirms than that are waited for before the next burst.
const UNCONFIRMED_MAX: u64 = 2000;

impl Client {
    /// Publishes persistent messages to a queue and returns when all of them are confirmed.
    pub fn confirm_all(
        &mut self,
        helper: u16,
        queue: &str,
        bodies: impl IntoIterator<Item = Vec<u8>>,
    ) {
        self.open(helper);
        self.confirm_select(helper);
        let (mut sent, mut confirmed) = (0, 0);
        let (mut out, mut burst) = (Vec::new(), 0);
        for body in bodies {
            let publish = basic::Publish { routing_key: queue.as_bytes(), ..Default::default() };
            let frame_bytes_max = self.frame_bytes_max;
            encode_publish(&mut out, helper, publish, &persistent(), &body, frame_bytes_max);
            sent += 1;
            burst += 1;
            if burst >= BURST_MAX || out.len() >= BURST_BYTES_MAX {
                self.send_bytes(&out);
                out.clear();
                burst = 0;
                let wanted = sent - sent.min(UNCONFIRMED_MAX);
                confirmed = self.take_confirms(helper, confirmed + 1, wanted);
            }
        }
        self.send_bytes(&out);
        self.expect_confirms(helper, confirmed + 1, sent);
        self.close_channel(helper);
    }

    /// Receives everything that is ready and gives it back: how it would be received next.
    pub fn look_at_all(&mut self, helper: u16, queue: &str) -> Vec<Delivery> {
        let ready = self.inspect(1, queue).messages;
        self.open(helper);
        self.consume(helper, queue);
        let deliveries = (0..ready).map(|_| self.expect_delivery(helper)).collect();
        // Its answer shows that nothing more came.
        let close = channel::Close { reply_code: 200, ..Default::default() };
        self.call::<ChannelCloseOk>(helper, close);
        deliveries
    }

    /// Takes the first `count` messages and acks them; nothing that comes later brings them back.
    pub fn settle_first(&mut self, helper: u16, queue: &str, count: u16) -> Vec<Delivery> {
        if count == 0 {
            // As a prefetch count it would be no limit.
            return Vec::new();
        }
        self.open(helper);
        self.prefetch(helper, count);
        let tag = self.consume(helper, queue);
        let deliveries: Vec<_> = (0..count).map(|_| self.expect_delivery(helper)).collect();
        let late = self.cancel(helper, &tag);
        assert!(late.is_empty(), "{} came beyond the prefetch count", late.len());
        // All that is outstanding.
        self.send(helper, basic::Ack { delivery_tag: 0, multiple: true });
        self.round_trip(helper);
        self.close_channel(helper);
        deliveries
    }

    /// Takes everything that is ready; how much that was.
    pub fn empty(&mut self, helper: u16, queue: &str) -> u32 {
        let ready = self.inspect(1, queue).messages;
        self.open(helper);
        self.consume_no_ack(helper, queue);
        for _ in 0..ready {
            self.expect_delivery(helper);
        }
        self.close_channel(helper);
        ready
    }
}
