//! What do the records of the log say, and where does it end? Reads every segment that may count,
//! in order, with `pread` (a bad sector is an error with a path, not a signal), and gathers the
//! state of all slots.
//!
//! A bad record that lies before a durable mark is damage: it is reported and skipped, and the rest
//! counts. The first bad record past all marks is where the log ends: what stands behind it does
//! not count, whole or not.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::FixedState;

use super::files::{Candidate, Files, Reader, UNKNOWN, up_to};
use crate::storage::file::segment::HEADER_BYTES;
use crate::storage::log::ring::Ids;
use crate::storage::log::segment::{Counted, LargeRecord};
use crate::storage::record::message::Message;
use crate::storage::record::statement::{Inventory, Range, SETTLED, State};
use crate::storage::record::{self, ALIGN, Chain, END_BYTES, Frame, Kind, OldSlot, in_file};
use crate::storage::recovery::report::RecoveryProgress;
use crate::storage::types::{Damage, LogPos, MessageId, StorageError};

/// After anything but an orderly stop, ids go on this much further: what was lost, transient or not
/// durable yet, had ids of which nobody knows.
const IDS_SKIPPED: u64 = 1 << 32;

/// A segment that was read.
pub(super) struct Loaded {
    pub(super) number: u64,
    pub(super) salt: u64,
    pub(super) bytes: u32,
    pub(super) readable_bytes: u32,
    pub(super) chain: Chain,
    /// Its place in the log is a guess, and may be too low.
    is_guessed: bool,
    /// After the last record that counts.
    pub(super) end: u32,
    pub(super) slots: Vec<u8>,
    pub(super) large: Vec<LargeRecord>,
    /// Parts that were skipped: from, to.
    pub(super) gaps: Vec<(u32, u32)>,
    pub(super) pieces: u32,
    pub(super) piece_bytes: u32,
    pub(super) definitions: Counted,
    pub(super) speaks_of: BTreeSet<u64>,
    pub(super) restated_in: u64,
    pub(super) counts_unlogged: bool,
    /// It ends with an end record, or has no room for one.
    pub(super) is_sealed: bool,
    /// No inventory that came later leaves it out.
    pub(super) counts: bool,
}

/// What a record does beside taking slots; of the parts of a transaction it waits for the last.
#[derive(Default)]
struct Effects {
    said: Vec<Range>,
    replaced: Vec<OldSlot>,
    relocated: Vec<(MessageId, usize, u32)>,
    definitions: Vec<(u64, usize, u32)>,
    /// Segment, first slot, count: what goes if the last part never comes.
    slots: Vec<(usize, u32, u32)>,
    /// The segments of the parts.
    segments: BTreeSet<usize>,
}

/// Everything that counts, when all was read.
pub(super) struct FoundState {
    pub(super) loaded: Vec<Loaded>,
    pub(super) end: LogPos,
    /// Id, segment, offset.
    pub(super) relocated: Vec<(MessageId, usize, u32)>,
    pub(super) definitions: Vec<(u64, usize, u32)>,
    /// Slots that are settled without anything in the log that says so.
    pub(super) undone: Vec<Range>,
}

/// See the top of the file.
pub(super) struct Scan<'a, 'p> {
    files: &'a Files,
    pub(super) progress: Option<&'p mut dyn FnMut(RecoveryProgress)>,
    pub(super) loaded: Vec<Loaded>,
    by_sequence: HashMap<u64, usize, FixedState>,
    /// Sequence numbers of segments that count so far.
    counting: BTreeSet<u64>,
    buffer: Vec<u8>,
    /// The furthest durable mark of what counts.
    pub(super) durable: LogPos,
    /// The furthest durable mark there is, if it had to be looked for.
    furthest: Option<LogPos>,
    pub(super) ids: Ids,
    end: LogPos,
    clean_at: Option<LogPos>,
    inventory: Option<(u64, Inventory)>,
    parts: HashMap<u64, Effects>,
    /// Slots of transactions that never came to their end.
    undone: Vec<Range>,
    relocated: Vec<(MessageId, usize, u32)>,
    definitions: Vec<(u64, usize, u32)>,
    pub(super) damaged: Vec<Damage>,
    /// Numbers of segments that should be there and are not.
    pub(super) missing: Vec<u64>,
    pub(super) bytes: u64,
    has_ended: bool,
    /// Files that turned out not to count.
    dropped: Vec<u64>,
    /// Files with records past the end of the log, which never counted.
    pub(super) void: Vec<u64>,
}

impl<'a, 'p> Scan<'a, 'p> {
    pub(super) fn new(
        files: &'a Files,
        progress: Option<&'p mut dyn FnMut(RecoveryProgress)>,
    ) -> Scan<'a, 'p> {
        Scan {
            files,
            progress,
            loaded: Vec::new(),
            by_sequence: HashMap::default(),
            counting: BTreeSet::new(),
            buffer: Vec::new(),
            durable: LogPos::START,
            furthest: None,
            ids: Ids { next_message: 1, next_queue: 1 },
            end: LogPos::START,
            clean_at: None,
            inventory: None,
            parts: HashMap::new(),
            undone: Vec::new(),
            relocated: Vec::new(),
            definitions: Vec::new(),
            damaged: Vec::new(),
            missing: Vec::new(),
            bytes: 0,
            has_ended: false,
            dropped: Vec::new(),
            void: Vec::new(),
        }
    }

    /// Reads everything.
    pub(super) fn run(&mut self) -> Result<(), StorageError> {
        let files = self.files;
        let total = files.candidates.iter().map(|c| u64::from(c.readable_bytes)).sum();
        let mut done = 0;
        for (at, candidate) in files.candidates.iter().enumerate() {
            if candidate.is_void || self.has_ended {
                self.void.push(candidate.number);
            } else {
                self.read_segment(candidate, at)?;
            }
            done += u64::from(candidate.readable_bytes);
            if let Some(progress) = &mut self.progress {
                progress(RecoveryProgress { done_bytes: done, total_bytes: total });
            }
        }
        self.note_missing();
        self.keep_guessed();
        self.end_parts();
        if !self.is_clean() && !self.loaded.is_empty() {
            self.count_deliveries();
            self.ids.next_message += IDS_SKIPPED;
            self.ids.next_queue += IDS_SKIPPED;
        }
        Ok(())
    }

    fn read_segment(&mut self, candidate: &Candidate, at: usize) -> Result<(), StorageError> {
        let mut reader = Reader::open(
            candidate,
            std::mem::take(&mut self.buffer),
            self.files.directory.reads_ahead,
        )?;
        let n = self.loaded.len();
        let sequence = candidate.chain.sequence;
        self.by_sequence.insert(sequence, n);
        self.counting.insert(sequence);
        self.loaded.push(Loaded {
            number: candidate.number,
            salt: candidate.salt,
            bytes: candidate.bytes,
            readable_bytes: candidate.readable_bytes,
            chain: candidate.chain,
            is_guessed: candidate.is_guessed,
            end: HEADER_BYTES,
            slots: Vec::new(),
            large: Vec::new(),
            gaps: Vec::new(),
            pieces: 0,
            piece_bytes: 0,
            definitions: Counted::default(),
            speaks_of: BTreeSet::new(),
            restated_in: 0,
            counts_unlogged: false,
            is_sealed: false,
            counts: true,
        });
        // Where it ended, if the next segment says so.
        let next = self.files.candidates[at + 1..].iter().find(|next| !next.is_void);
        let next = next.filter(|next| next.chain.before == sequence);
        let next = next.filter(|next| next.chain.before_end != UNKNOWN);
        let limit = next.map_or(in_file(reader.size()), |next| next.chain.before_end);
        let result = self.walk(n, &mut reader, limit, next.is_some(), at);
        self.buffer = reader.into_buffer();
        self.note_cut(n);
        result
    }

    /// A file has its whole size before it has its name: if it has not, and the log ended in what
    /// is missing, no crash did that.
    fn note_cut(&mut self, n: usize) {
        let loaded = &self.loaded[n];
        let Loaded { readable_bytes, bytes, is_sealed, counts, .. } = *loaded;
        if readable_bytes < bytes && !is_sealed && loaded.gaps.is_empty() && counts {
            self.note_damage(n, readable_bytes, bytes);
        }
    }

    /// Takes whole records up to `limit`, which is where the segment ended if that is known.
    fn walk(
        &mut self,
        n: usize,
        reader: &mut Reader<'_>,
        limit: u32,
        ended_there: bool,
        candidate: usize,
    ) -> Result<(), StorageError> {
        let Loaded { salt, bytes, chain: Chain { sequence, .. }, .. } = self.loaded[n];
        let mut at = HEADER_BYTES;
        while at < limit && !self.loaded[n].is_sealed {
            let frame = record::read(up_to(reader.record_at(at)?, limit - at), salt, at);
            if let Some(frame) = frame
                && self.accept(n, at, frame)
            {
                at += frame.span;
                self.bytes += u64::from(frame.span);
                self.loaded[n].end = at;
                self.end = LogPos { sequence, offset: at };
                self.loaded[n].is_sealed = frame.kind == Kind::End || !has_room(bytes, at);
                continue;
            }
            let was_durable = self.furthest_mark(candidate)? > LogPos { sequence, offset: at };
            if !was_durable {
                // Torn, if it should have gone on here.
                self.has_ended = true;
                if at == HEADER_BYTES {
                    self.drop_segment(n);
                    self.void.push(self.loaded[n].number);
                }
                return Ok(());
            }
            let next = reader.next_record(at, limit)?;
            let durable = self.furthest_mark(candidate)?;
            let known_end = match ended_there {
                true => limit,
                false if durable.sequence == sequence => durable.offset.min(limit),
                false => at,
            };
            let to = next.unwrap_or(known_end.max(at));
            self.note_damage(n, at, to);
            self.loaded[n].end = to.min(reader.written_end()?).min(limit);
            self.end = LogPos { sequence, offset: to };
            if next.is_none() {
                return Ok(());
            }
            at = to;
        }
        // Where recovery sealed it, behind what the next segment says.
        let end = record::read(reader.record_at(at)?, salt, at);
        let end = end.filter(|frame| frame.kind == Kind::End);
        self.loaded[n].is_sealed |= end.is_some() || !has_room(bytes, at);
        Ok(())
    }

    fn note_damage(&mut self, n: usize, from: u32, to: u32) {
        let loaded = &mut self.loaded[n];
        loaded.gaps.push((from, to));
        self.damaged.push(Damage {
            path: self.files.directory.segment(loaded.number),
            offset: u64::from(from),
            skipped_bytes: u64::from(to - from),
            may_be: Vec::new(),
        });
    }

    /// The furthest durable mark in what is there from this segment on, whether it counts or not:
    /// whoever wrote it knew.
    fn furthest_mark(&mut self, from: usize) -> Result<LogPos, StorageError> {
        if let Some(furthest) = self.furthest {
            return Ok(furthest);
        }
        let mut furthest = self.durable;
        let mut spent = Vec::new();
        for candidate in &self.files.candidates[from..] {
            let mut reader = Reader::open(candidate, spent, self.files.directory.reads_ahead)?;
            let mut at = HEADER_BYTES;
            while let Some(next) = reader.next_record(at, u32::MAX)? {
                let frame = record::frame(reader.record_at(next)?).expect("it was just found");
                let here = LogPos { sequence: candidate.chain.sequence, offset: next };
                let is_known = |durable: &LogPos| candidate.is_guessed || *durable <= here;
                let known = frame.durable().filter(is_known);
                furthest = furthest.max(known.unwrap_or(LogPos::START));
                at = next + frame.span - in_file(ALIGN);
            }
            // The chain record itself, which the search begins behind.
            furthest = furthest.max(candidate.chain.durable);
            spent = reader.into_buffer();
        }
        self.furthest = Some(furthest);
        Ok(furthest)
    }

    /// Takes over what a whole record says; `false`: it cannot be one of ours.
    fn accept(&mut self, n: usize, at: u32, frame: Frame<'_>) -> bool {
        if let Some(durable) = frame.durable() {
            // Nothing knows of what comes behind it.
            let Loaded { chain: Chain { sequence, .. }, is_guessed, .. } = self.loaded[n];
            if !is_guessed && durable > (LogPos { sequence, offset: at }) {
                return false;
            }
            self.durable = self.durable.max(durable);
        }
        match frame.kind {
            Kind::Message | Kind::Transaction => return self.accept_messages(n, at, frame),
            Kind::Definition => return self.accept_definition(n, at, frame),
            Kind::Piece => {
                self.loaded[n].pieces += 1;
                self.loaded[n].piece_bytes += frame.span;
            }
            Kind::Settle => {
                for range in frame.statement().expect("it was checked") {
                    self.apply(n, range);
                }
            }
            Kind::State => self.accept_state(n, State::read(frame.content())),
            Kind::Mark | Kind::End => {}
            Kind::Chain => {
                let chain = frame.chain().expect("it is one");
                self.note_ids(chain.next_message, chain.next_queue);
            }
            Kind::Inventory => self.accept_inventory(n, Inventory::read(frame.content())),
            Kind::Clean => {
                let content = frame.content();
                self.note_ids(record::u64_at(content, 0), record::u64_at(content, 8));
                let sequence = self.loaded[n].chain.sequence;
                self.clean_at = Some(LogPos { sequence, offset: at + frame.span });
            }
        }
        true
    }

    fn accept_messages(&mut self, n: usize, at: u32, frame: Frame<'_>) -> bool {
        let mut next = self.loaded[n].slots.len();
        for (_, message) in frame.messages() {
            if (message.first_slot() as usize) < next {
                return false;
            }
            next = message.first_slot() as usize + message.slot_count() as usize;
        }
        let part = frame.part();
        if part.is_none() && frame.kind == Kind::Message {
            let message = Message { bytes: frame.bytes };
            self.take_slots(n, at, message);
            if let Some(old) = message.replaces() {
                self.settle(n, old);
            }
            self.note_places(n, at, message, None);
            return true;
        }
        let mut effects = Effects::default();
        for (offset, message) in frame.messages() {
            self.take_slots(n, at + offset, message);
            effects.slots.push((n, message.first_slot(), message.slot_count()));
            effects.replaced.extend(message.replaces());
            self.note_places(n, at + offset, message, Some(&mut effects));
        }
        effects.said.extend(frame.statement().expect("it was checked"));
        effects.segments.insert(n);
        match part {
            None => self.take_effect(n, effects),
            Some(part) => {
                self.note_spoken_of(n, &effects);
                let earlier = self.parts.remove(&part.number).unwrap_or_default();
                let mut all = earlier;
                all.said.extend(effects.said);
                all.replaced.extend(effects.replaced);
                all.relocated.extend(effects.relocated);
                all.definitions.extend(effects.definitions);
                all.slots.extend(effects.slots);
                all.segments.extend(effects.segments);
                self.note_ids(part.number.saturating_add(1), 0);
                if part.is_last {
                    // The others count only because of this one, which takes over what they say.
                    for &other in all.segments.iter().filter(|other| **other != n) {
                        let other = self.loaded[other].chain.sequence;
                        self.loaded[n].speaks_of.insert(other);
                    }
                    self.take_effect(n, all);
                } else {
                    self.parts.insert(part.number, all);
                }
            }
        }
        true
    }

    /// The record's slots, and what is to be known of its pieces and ids.
    fn take_slots(&mut self, n: usize, at: u32, message: Message<'_>) {
        let loaded = &mut self.loaded[n];
        // Slots of skipped records lie between.
        let (first, count) = (message.first_slot() as usize, message.slot_count());
        loaded.slots.resize(first, SETTLED);
        loaded.slots.resize(first + count as usize, 0);
        if message.is_large() && count > 0 {
            let first_slot = message.first_slot();
            loaded.large.push(LargeRecord { offset: at, first_slot, slots: count });
        }
        let queues = (0..message.queue_count()).map(|index| message.queue(index).0);
        let next_queue = queues.max().unwrap_or(0).saturating_add(1);
        self.note_ids(message.id().0.saturating_add(1), next_queue);
    }

    fn note_ids(&mut self, next_message: u64, next_queue: u64) {
        self.ids.next_message = self.ids.next_message.max(next_message);
        self.ids.next_queue = self.ids.next_queue.max(next_queue);
    }

    fn note_places(
        &mut self,
        n: usize,
        at: u32,
        message: Message<'_>,
        effects: Option<&mut Effects>,
    ) {
        let (relocated, definitions) = match effects {
            Some(effects) => (&mut effects.relocated, &mut effects.definitions),
            None => (&mut self.relocated, &mut self.definitions),
        };
        if message.is_relocated() {
            relocated.push((message.id(), n, at));
        }
        if message.definition().is_some() {
            definitions.push((message.id().0, n, at));
        }
    }

    /// What a part says of others it says itself, whichever record makes it count.
    fn note_spoken_of(&mut self, n: usize, effects: &Effects) {
        let replaced = effects.replaced.iter().map(|old| old.sequence);
        let spoken_of = effects.said.iter().map(|range| range.sequence).chain(replaced);
        let loaded = &mut self.loaded[n];
        let own = loaded.chain.sequence;
        loaded.speaks_of.extend(spoken_of.filter(|sequence| *sequence != own));
    }

    fn take_effect(&mut self, n: usize, effects: Effects) {
        for range in effects.said {
            self.apply(n, range);
        }
        for old in effects.replaced {
            self.settle(n, old);
        }
        self.relocated.extend(effects.relocated);
        self.definitions.extend(effects.definitions);
    }

    fn settle(&mut self, by: usize, OldSlot { sequence, slot }: OldSlot) {
        self.apply(by, Range { sequence, first: slot, count: 1, state: SETTLED });
    }

    fn apply(&mut self, by: usize, range: Range) {
        let own = self.loaded[by].chain.sequence;
        let Some(&n) = self.by_sequence.get(&range.sequence) else {
            // Its segment is free since: settled long ago.
            return;
        };
        if range.sequence != own {
            self.loaded[by].speaks_of.insert(range.sequence);
        }
        let slots = &mut self.loaded[n].slots;
        let to = slots.len().min((range.first as usize).saturating_add(range.count as usize));
        for slot in slots.get_mut(range.first as usize..to).unwrap_or_default() {
            if *slot != SETTLED {
                *slot = range.state;
            }
        }
    }

    fn accept_definition(&mut self, n: usize, at: u32, frame: Frame<'_>) -> bool {
        let definition = frame.definition().expect("it is one");
        let slot = definition.slot() as usize;
        if slot < self.loaded[n].slots.len() {
            return false;
        }
        self.loaded[n].slots.resize(slot, SETTLED);
        self.loaded[n].slots.push(0);
        self.loaded[n].definitions.add(frame.span);
        self.note_ids(definition.id().saturating_add(1), definition.next_queue());
        if let Some(old) = definition.replaces() {
            self.settle(n, old);
        }
        self.definitions.push((definition.id(), n, at));
        true
    }

    fn accept_state(&mut self, by: usize, state: Option<State<'_>>) {
        let state = state.expect("it was checked");
        let Some(&n) = self.by_sequence.get(&state.sequence) else {
            return;
        };
        // A transaction whose last part was freed since was there when this was written, and all
        // that it says of others was restated. Of one that never was, it is said that its messages
        // are settled.
        let is_there = |effects: &Effects| effects.segments.contains(&n);
        for (_, effects) in self.parts.extract_if(|_, effects| is_there(effects)) {
            self.relocated.extend(effects.relocated);
            self.definitions.extend(effects.definitions);
        }
        let sequence = self.loaded[by].chain.sequence;
        if by != n {
            self.loaded[by].speaks_of.insert(state.sequence);
        }
        self.loaded[n].restated_in = sequence;
        let slots = &mut self.loaded[n].slots;
        state.each(&mut |first, count, value| {
            let to = slots.len().min(first + count);
            for slot in slots.get_mut(first..to).unwrap_or_default() {
                if *slot != SETTLED {
                    *slot = value;
                }
            }
        });
    }

    fn accept_inventory(&mut self, n: usize, inventory: Option<Inventory>) {
        let inventory = inventory.expect("it was checked");
        let sequence = self.loaded[n].chain.sequence;
        let (mut at, mut left_out) = (0, Vec::new());
        for &(first, count) in &inventory.in_use {
            left_out.extend(self.counting.range(at..first.max(at)));
            at = first + count;
        }
        left_out.extend(self.counting.range(at..sequence.max(at)));
        for other in left_out {
            let n = self.by_sequence[&other];
            self.drop_segment(n);
            self.dropped.push(self.loaded[n].number);
        }
        self.inventory = Some((sequence, inventory));
    }

    /// A segment does not count, and neither does what became of it: a kill before its inventory
    /// was synced, and then a power cut, may have torn it.
    fn drop_segment(&mut self, n: usize) {
        let loaded = &mut self.loaded[n];
        if !loaded.gaps.is_empty() {
            let path = self.files.directory.segment(loaded.number);
            self.damaged.retain(|damage| damage.path != path);
        }
        loaded.counts = false;
        loaded.slots = Vec::new();
        loaded.large = Vec::new();
        self.by_sequence.remove(&loaded.chain.sequence);
        self.counting.remove(&loaded.chain.sequence);
    }

    /// Segments that should be there and are not.
    fn note_missing(&mut self) {
        let nothing = (0, Inventory::default());
        let (said_in, inventory) = self.inventory.as_ref().unwrap_or(&nothing);
        let is_there = |sequence: u64| {
            let found = self.files.candidates.binary_search_by_key(&sequence, |c| c.chain.sequence);
            found.is_ok()
        };
        let listed = inventory.in_use.iter().flat_map(|(first, count)| *first..first + count);
        let later = self.loaded.iter().filter(|l| l.counts && l.chain.sequence > *said_in);
        let named: BTreeSet<u64> = listed.chain(later.map(|l| l.chain.before)).collect();
        for sequence in named {
            if !is_there(sequence) {
                self.missing.push(sequence);
                let unknown = self.files.unknown();
                self.damaged.push(Damage {
                    path: self.files.directory.path.join(format!("segment {sequence} of the log")),
                    offset: 0,
                    skipped_bytes: 0,
                    may_be: unknown.map(|number| self.files.directory.segment(number)).collect(),
                });
            }
        }
        // One that was free when that was said may be the one that is missing.
        // A header lies within a sector: it is never torn.
        for &number in &self.files.broken {
            self.damaged.push(Damage {
                path: self.files.directory.segment(number),
                offset: 0,
                skipped_bytes: self.files.bytes_of(number),
                may_be: Vec::new(),
            });
        }
    }

    /// Where a segment is missing, a file of which nobody knows which one it was may be that one:
    /// it is left alone.
    fn keep_guessed(&mut self) {
        if self.missing.is_empty() {
            return;
        }
        let unknown: BTreeSet<u64> = self.files.unknown().collect();
        self.void.retain(|number| !unknown.contains(number));
        self.dropped.retain(|number| !unknown.contains(number));
    }

    /// Transactions whose last record never came do not count, unless it may have been damaged. The
    /// log is to say so: a restatement of one of their segments would be taken for their end.
    fn end_parts(&mut self) {
        for (_, effects) in std::mem::take(&mut self.parts) {
            if !self.damaged.is_empty() {
                let by = effects.slots.first().map_or(0, |(n, ..)| *n);
                self.take_effect(by, effects);
                continue;
            }
            for (n, first, count) in effects.slots {
                let slots = &mut self.loaded[n].slots;
                let slots = slots.get_mut(first as usize..(first + count) as usize);
                slots.unwrap_or_default().fill(SETTLED);
                let sequence = self.loaded[n].chain.sequence;
                self.undone.push(Range { sequence, first, count, state: SETTLED });
            }
        }
    }

    /// After anything but an orderly stop every message may have been delivered.
    fn count_deliveries(&mut self) {
        for loaded in &mut self.loaded {
            for slot in loaded.slots.iter_mut().filter(|slot| **slot == 0) {
                *slot = 1;
                loaded.counts_unlogged = true;
            }
        }
    }

    /// Whether the last thing that the log says is that it was stopped in an orderly way.
    pub(super) fn is_clean(&self) -> bool {
        self.clean_at == Some(self.end) && self.damaged.is_empty()
    }

    /// Numbers of files that are free. Where a segment is missing, one of which nothing but the
    /// header can be read may be that one.
    pub(super) fn free_numbers(&self, files: &Files) -> Vec<u64> {
        let spares = if self.missing.is_empty() { &files.spares[..] } else { &[] };
        spares.iter().chain(&self.dropped).copied().collect()
    }

    pub(super) fn into_found(self) -> FoundState {
        let Scan { loaded, end, relocated, definitions, undone, .. } = self;
        FoundState { loaded, end, relocated, definitions, undone }
    }
}

/// Whether an end record fits behind `at` in a file of this size.
fn has_room(file_bytes: u32, at: u32) -> bool {
    at as usize + END_BYTES <= file_bytes as usize
}
