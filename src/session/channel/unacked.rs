//! Which deliveries of a channel are not settled yet?

use std::collections::VecDeque;

use crate::broker::Unsettled;

/// The deliveries of one channel that its client has not settled, sorted by delivery tag.
#[derive(Debug, Default)]
pub struct Unacked {
    last_tag: u64,
    unsettled: VecDeque<(u64, Unsettled)>,
}

impl Unacked {
    /// The tag of a delivery that needs no acknowledgement.
    #[inline]
    pub fn tag_settled(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    /// Keeps a delivery; its tag.
    #[inline]
    pub fn keep(&mut self, unsettled: Unsettled) -> u64 {
        self.last_tag += 1;
        self.unsettled.push_back((self.last_tag, unsettled));
        self.last_tag
    }

    /// Takes the delivery with this tag; `None` when it is unknown or settled.
    #[inline]
    pub fn take(&mut self, tag: u64) -> Option<Unsettled> {
        if self.unsettled.front().is_some_and(|&(first, _)| first == tag) {
            return self.unsettled.pop_front().map(|(_, unsettled)| unsettled);
        }
        let place = self.unsettled.binary_search_by_key(&tag, |&(tag, _)| tag).ok()?;
        self.unsettled.remove(place).map(|(_, unsettled)| unsettled)
    }

    /// Whether `tag` with `multiple` means something: it is that of a delivery, or 0, which means
    /// all so far.
    pub fn knows(&self, tag: u64) -> bool {
        tag == 0 || self.unsettled.binary_search_by_key(&tag, |&(tag, _)| tag).is_ok()
    }

    /// Takes the oldest delivery with its tag.
    #[inline]
    pub fn take_first(&mut self) -> Option<(u64, Unsettled)> {
        self.unsettled.pop_front()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// The newest tag so far.
    pub fn last_tag(&self) -> u64 {
        self.last_tag
    }

    /// The tag of the oldest delivery.
    pub fn first_tag(&self) -> Option<u64> {
        self.unsettled.front().map(|&(tag, _)| tag)
    }

    /// All deliveries, the oldest first.
    pub fn into_deliveries(self) -> VecDeque<(u64, Unsettled)> {
        self.unsettled
    }

    /// Puts deliveries back that a rolled-back transaction had settled.
    pub fn put_back(&mut self, deliveries: impl IntoIterator<Item = (u64, Unsettled)>) {
        self.unsettled.extend(deliveries);
        self.unsettled.make_contiguous().sort_unstable_by_key(|&(tag, _)| tag);
    }

    /// The deliveries that wait to be settled, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Unsettled> {
        self.unsettled.iter().map(|(_, unsettled)| unsettled)
    }
}
