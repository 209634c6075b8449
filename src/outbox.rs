//! What waits to be sent to a client, whatever protocol it speaks?
//!
//! Small things are copied into one buffer; large bodies are slices of the message log that
//! are sent from where they lie. Owns no socket: it lends slices and is told how much went.
//! Imports nothing of the crate.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Bytes on their way out, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    inline: Vec<u8>,
    /// How much of `inline` is sent.
    inline_sent: usize,
    /// Bodies that stand between two parts of `inline`, oldest first.
    bodies: VecDeque<Placed>,
    body_bytes: usize,
}

#[derive(Debug)]
struct Placed {
    /// The body follows the byte of `inline` before this one.
    after: usize,
    body: Bytes,
}

/// How many slices one write gathers.
pub const SLICES_MAX: usize = 64;

/// A sent prefix longer than this is cut off while the rest waits.
const SENT_BYTES_MAX: usize = 256 * 1024;

impl Outbox {
    /// The buffer that frames are appended to.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.inline
    }

    /// Appends bytes of the log without copying them.
    pub fn push_shared(&mut self, body: Bytes) {
        self.body_bytes += body.len();
        self.bodies.push_back(Placed { after: self.inline.len(), body });
    }

    /// Moves the first `bytes` of what waits behind all that waits in another outbox; of bodies of
    /// the log nothing is copied.
    ///
    /// # Panics
    /// When fewer wait.
    pub fn move_to(&mut self, other: &mut Outbox, bytes: usize) {
        let (mut at, mut left) = (self.inline_sent, bytes);
        for placed in &self.bodies {
            let inline = (placed.after - at).min(left);
            other.inline.extend_from_slice(&self.inline[at..at + inline]);
            at += inline;
            left -= inline;
            if left == 0 {
                break;
            }
            let body = placed.body.len().min(left);
            other.push_shared(placed.body.slice(..body));
            left -= body;
        }
        other.inline.extend_from_slice(&self.inline[at..at + left]);
        self.advance(bytes);
    }

    /// Bytes that wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.inline.len() - self.inline_sent + self.body_bytes
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that waits, when no body of the log is part of it.
    #[inline]
    pub fn plain(&self) -> Option<&[u8]> {
        self.bodies.is_empty().then(|| &self.inline[self.inline_sent..])
    }

    /// The first slices to send, at most [`SLICES_MAX`]; how many there are.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut count = 0;
        let mut at = self.inline_sent;
        for placed in &self.bodies {
            if count + 2 > SLICES_MAX {
                return count;
            }
            if placed.after > at {
                slices[count] = IoSlice::new(&self.inline[at..placed.after]);
                count += 1;
                at = placed.after;
            }
            slices[count] = IoSlice::new(&placed.body);
            count += 1;
        }
        if self.inline.len() > at && count < SLICES_MAX {
            slices[count] = IoSlice::new(&self.inline[at..]);
            count += 1;
        }
        count
    }

    /// The first `sent` bytes are with the kernel.
    #[inline]
    pub fn advance(&mut self, sent: usize) {
        if self.bodies.is_empty() && self.inline_sent + sent == self.inline.len() {
            self.inline.clear();
            self.inline_sent = 0;
        } else {
            self.advance_by_part(sent);
        }
    }

    fn advance_by_part(&mut self, mut sent: usize) {
        while sent > 0 {
            let inline_end = self.bodies.front().map_or(self.inline.len(), |placed| placed.after);
            let inline = (inline_end - self.inline_sent).min(sent);
            self.inline_sent += inline;
            sent -= inline;
            let Some(placed) = self.bodies.front_mut() else {
                break;
            };
            if self.inline_sent < placed.after {
                break;
            }
            let body = placed.body.len().min(sent);
            placed.body.advance(body);
            self.body_bytes -= body;
            sent -= body;
            if placed.body.is_empty() {
                self.bodies.pop_front();
            }
        }
        debug_assert_eq!(sent, 0, "more was sent than waited");
        self.reclaim();
    }

    /// Gives the buffer back; it must be empty.
    pub fn release_memory(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Whether the buffer holds memory that [`Outbox::release_memory`] would free.
    pub fn holds_memory(&self) -> bool {
        self.inline.capacity() > 0
    }

    fn reclaim(&mut self) {
        if self.inline_sent == self.inline.len() && self.bodies.is_empty() {
            self.inline.clear();
            self.inline_sent = 0;
        } else if self.inline_sent > SENT_BYTES_MAX {
            self.inline.drain(..self.inline_sent);
            for placed in &mut self.bodies {
                placed.after -= self.inline_sent;
            }
            self.inline_sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = outbox.slices(&mut slices);
            let gathered: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
            let take = gathered.len().min(step);
            all.extend_from_slice(&gathered[..take]);
            outbox.advance(take);
        }
        all
    }

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came_however_the_writes_are_cut() {
        for step in [1, 2, 3, 7, 64, 10_000] {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for i in 0..200u8 {
                let small = vec![i; usize::from(i % 5)];
                outbox.buffer().extend_from_slice(&small);
                expected.extend_from_slice(&small);
                if i % 3 == 0 {
                    let body = vec![255 - i; usize::from(i)];
                    outbox.push_shared(Bytes::from(body.clone()));
                    expected.extend_from_slice(&body);
                }
            }
            assert_eq!(outbox.len(), expected.len());
            assert_eq!(drain(&mut outbox, step), expected, "writes of {step} bytes");
        }
    }

    #[test]
    fn what_is_moved_leaves_in_its_order_and_the_rest_stays() {
        for step in [1, 2, 3, 7, 64, 999] {
            let (mut outbox, mut other) = (Outbox::default(), Outbox::default());
            let mut expected = Vec::new();
            for i in 0..60u8 {
                outbox.buffer().extend_from_slice(&vec![i; usize::from(i % 4)]);
                outbox.push_shared(Bytes::from(vec![255 - i; usize::from(i % 7)]));
                expected.extend(std::iter::repeat_n(i, usize::from(i % 4)));
                expected.extend(std::iter::repeat_n(255 - i, usize::from(i % 7)));
            }
            outbox.buffer().extend_from_slice(b"end");
            expected.extend_from_slice(b"end");
            let mut found = Vec::new();
            while !outbox.is_empty() {
                let bytes = outbox.len().min(step);
                let before = outbox.len();
                outbox.move_to(&mut other, bytes);
                assert_eq!((outbox.len(), other.len()), (before - bytes, bytes), "{step}");
                found.extend(drain(&mut other, 5));
            }
            assert_eq!(found, expected, "{step} at a time");
        }
    }

    #[test]
    fn a_body_of_the_log_is_moved_without_being_copied() {
        let (mut outbox, mut other) = (Outbox::default(), Outbox::default());
        let body = Bytes::from(vec![7; 1000]);
        outbox.push_shared(body.clone());
        outbox.move_to(&mut other, 600);
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        assert_eq!(other.slices(&mut slices), 1);
        assert_eq!((slices[0].as_ptr(), slices[0].len()), (body.as_ptr(), 600));
    }

    #[test]
    fn a_long_sent_prefix_is_cut_off_while_bodies_wait() {
        let mut outbox = Outbox::default();
        outbox.buffer().extend_from_slice(&vec![1; SENT_BYTES_MAX + 10]);
        outbox.push_shared(Bytes::from_static(b"body"));
        outbox.buffer().push(2);
        outbox.advance(SENT_BYTES_MAX + 5);
        let mut expected = vec![1; 5];
        expected.extend_from_slice(b"body\x02");
        assert_eq!(drain(&mut outbox, 3), expected);
    }

    #[test]
    fn an_empty_outbox_gives_its_memory_back() {
        let mut outbox = Outbox::default();
        outbox.buffer().extend_from_slice(b"x");
        outbox.release_memory();
        assert_eq!(outbox.len(), 1, "what waits is kept");
        outbox.advance(1);
        assert!(outbox.holds_memory());
        outbox.release_memory();
        assert!(!outbox.holds_memory());
    }
}
