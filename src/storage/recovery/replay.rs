//! What is alive, and in which order is it told? Definitions in the order of their ids, then every
//! (record, queue) pair in the order of the messages' ids: records lie in that order but for those
//! that compaction moved.

use std::sync::Arc;

use crate::storage::file::segment::HEADER_BYTES;
use crate::storage::log::define::{definition_at, definition_slot};
use crate::storage::log::ring::Ring;
use crate::storage::log::segment::Counted;
use crate::storage::log::view::Record;
use crate::storage::record::message::{Message, Piece};
use crate::storage::record::statement::SETTLED;
use crate::storage::record::{self, HEAD_BYTES, Kind, in_file};
use crate::storage::recovery::report::Recovered;
use crate::storage::store::Store;
use crate::storage::types::{Entry, MessageId, RecordRef, SlotRef};

/// What is to be handed over after recovery.
#[derive(Default)]
pub(in crate::storage) struct Replay {
    /// Segments in their order, each with the parts that were skipped.
    pub(super) walks: Vec<(u32, Vec<(u32, u32)>)>,
    /// Records that are out of order, by id.
    relocated: Vec<(MessageId, RecordRef)>,
    /// Records with definitions, by id.
    definitions: Vec<(u64, RecordRef)>,
}

/// What the log held when it was opened: keys and their payloads.
#[derive(Debug, Default)]
pub struct Definitions {
    bytes: Vec<u8>,
    /// Where a key ends and where its payload does.
    ends: Vec<(usize, usize)>,
}

impl Definitions {
    /// Key and payload of each, in the order in which the keys were first defined.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut at = 0;
        self.ends.iter().map(move |&(key, payload)| {
            let begin = std::mem::replace(&mut at, payload);
            (&self.bytes[begin..key], &self.bytes[key..payload])
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn push(&mut self, (key, payload): (&[u8], &[u8])) {
        self.bytes.extend_from_slice(key);
        let key = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.ends.push((key, self.bytes.len()));
    }
}

impl Replay {
    /// Takes over where records lie that are out of order or define something; by the number of
    /// the segment among those that were read, `indices` tells those that count.
    pub(super) fn take_places(
        &mut self,
        ring: &Ring,
        indices: &[Option<u32>],
        relocated: Vec<(MessageId, usize, u32)>,
        definitions: Vec<(u64, usize, u32)>,
    ) {
        let place = |n: usize, offset: u32| {
            indices[n].map(|index| RecordRef { segment: ring.key(index), offset })
        };
        let relocated = relocated.into_iter();
        self.relocated = relocated.filter_map(|(id, n, at)| Some((id, place(n, at)?))).collect();
        let definitions = definitions.into_iter();
        self.definitions =
            definitions.filter_map(|(id, n, at)| Some((id, place(n, at)?))).collect();
        // Stable: the later one of the same id is the later one of the log.
        self.relocated.sort_by_key(|(id, _)| *id);
        self.definitions.sort_by_key(|(id, _)| *id);
    }

    /// The definitions that are alive.
    pub(super) fn living_definitions(&self, ring: &Ring) -> impl Iterator<Item = RecordRef> {
        let is_alive = |at: &RecordRef| {
            ring.deliveries(at.segment.index(), definition_slot(ring, *at)) != SETTLED
        };
        self.definitions.iter().map(|(_, at)| *at).filter(is_alive)
    }

    /// Whether a piece is where a record says.
    pub(super) fn has_piece(&self, ring: &Ring, piece: Piece) -> bool {
        let Some(&index) = ring.by_sequence.get(&piece.sequence) else {
            return false;
        };
        let segment = ring.segment(index);
        let Some(at) = piece.offset.checked_sub(in_file(HEAD_BYTES)) else {
            return false;
        };
        let in_gap = |gaps: &[(u32, u32)]| gaps.iter().any(|g| g.0 <= at && at < g.1);
        // There are many segments, and few of them are damaged.
        let is_skipped = segment.damaged
            && self.walks.iter().any(|(walked, gaps)| *walked == index && in_gap(gaps));
        if at < HEADER_BYTES || at >= segment.end || is_skipped {
            return false;
        }
        let frame = record::frame(segment.map.slice(at, segment.end));
        frame.is_some_and(|frame| {
            frame.kind == Kind::Piece && frame.content().len() == piece.bytes as usize
        })
    }
}

/// See [`Store::take_definitions`].
pub(in crate::storage) fn take_definitions(store: &mut Store) -> Definitions {
    let mut found = Definitions::default();
    let places = match store.replay_mut() {
        Some(replay) => std::mem::take(&mut replay.definitions),
        None => return found,
    };
    for &(_, at) in &places {
        let slot = definition_slot(&store.durable, at);
        if store.durable.deliveries(at.segment.index(), slot) == SETTLED {
            continue;
        }
        store.durable.count_definition(at, Counted::add);
        let key = definition_at(&store.durable, at).0.to_vec();
        // Of two that last, because the end of the older one was not said yet, the newer counts.
        store.define_with(&key, at);
    }
    for (_, at) in places {
        let (key, _) = definition_at(&store.durable, at);
        if store.find_definition(key) == Some(at) {
            found.push(definition_at(&store.durable, at));
        }
    }
    found
}

/// See [`Store::replay`].
pub(in crate::storage) fn replay(
    ring: &mut Ring,
    replay: Replay,
    keep: &mut dyn FnMut(Recovered<'_>) -> bool,
) {
    let mut relocated = replay.relocated.into_iter().peekable();
    for (index, gaps) in replay.walks {
        let segment = ring.segment(index);
        if segment.live == segment.holds {
            continue;
        }
        let (map, end, key) = (Arc::clone(&segment.map), segment.end, ring.key(index));
        map.read_ahead(true);
        let mut at = HEADER_BYTES;
        while at < end {
            if let Some((_, next)) = gaps.iter().find(|(from, _)| *from == at) {
                at = *next;
                continue;
            }
            let Some(frame) = record::frame(map.slice(at, end)) else {
                break;
            };
            for (offset, message) in frame.messages().filter(|(_, m)| !m.is_relocated()) {
                while let Some((_, moved)) = relocated.next_if(|(id, _)| *id < message.id()) {
                    hand_over_at(ring, moved, keep);
                }
                let at = RecordRef { segment: key, offset: at + offset };
                hand_over(ring, at, message, keep);
            }
            at += frame.span;
        }
        map.read_ahead(ring.directory.reads_ahead);
        if let Err(error) = map.release_pages() {
            log::debug!("giving pages back: {error}");
        }
    }
    for (_, moved) in relocated {
        hand_over_at(ring, moved, keep);
    }
}

fn hand_over_at(ring: &mut Ring, at: RecordRef, keep: &mut dyn FnMut(Recovered<'_>) -> bool) {
    let segment = ring.segment(at.segment.index());
    let map = Arc::clone(&segment.map);
    let rest = map.slice(at.offset, segment.end);
    hand_over(ring, at, Message::at_start_of(rest), keep);
}

fn hand_over(
    ring: &mut Ring,
    at: RecordRef,
    message: Message<'_>,
    keep: &mut dyn FnMut(Recovered<'_>) -> bool,
) {
    let index = at.segment.index();
    let first_slot = message.first_slot();
    for n in 0..message.queue_count() {
        let deliveries = ring.deliveries(index, first_slot + n);
        if deliveries == SETTLED {
            continue;
        }
        let record = Record { ring, segment: at.segment, message };
        let slot = SlotRef { segment: at.segment, slot: first_slot + n };
        let entry = Entry { id: message.id(), at };
        let queue = message.queue(n);
        if !keep(Recovered { entry, slot, queue, deliveries, record }) {
            ring.settle(index, first_slot + n);
        }
    }
}
