//! How does the log say what became of slots, and which segments there are? Statements (ranges of
//! settled slots, counts of deliveries), the whole state of a segment, and the inventory. Numbers
//! are varints (LEB128), seven bits an octet, the lowest first.

use super::NUMBER_MAX;

/// The slot byte of a settled message.
pub(in crate::storage) const SETTLED: u8 = 255;
/// The highest number of deliveries that a slot counts.
pub(in crate::storage) const DELIVERIES_MAX: u8 = 254;

/// Slots of one segment that follow each other and have one thing in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(in crate::storage) struct Range {
    pub(in crate::storage) sequence: u64,
    pub(in crate::storage) first: u32,
    pub(in crate::storage) count: u32,
    /// [`SETTLED`], or how often they were delivered.
    pub(in crate::storage) state: u8,
}

impl Range {
    /// Makes the range longer by a neighbour that has the same state.
    #[inline]
    pub(in crate::storage) fn join(&mut self, other: Range) -> bool {
        let joins = self.sequence == other.sequence
            && self.state == other.state
            && self.first + self.count == other.first;
        if joins {
            self.count += other.count;
        }
        joins
    }
}

/// Appends a statement of these ranges, which are sorted: in runs of one segment, each run as
/// sequence, number of ranges, and for each range the gap from the one before, its count and its
/// state.
pub(in crate::storage) fn encode(out: &mut Vec<u8>, ranges: &[Range]) {
    for run in ranges.chunk_by(|a, b| a.sequence == b.sequence) {
        put_varint(out, run[0].sequence);
        put_varint(out, run.len() as u64);
        let mut at = 0;
        for range in run {
            // A settled range is the rule: it takes no octet of its own for that.
            let is_counted = range.state != SETTLED;
            put_varint(out, u64::from(range.first - at) << 1 | u64::from(is_counted));
            put_varint(out, u64::from(range.count));
            if is_counted {
                out.push(range.state);
            }
            at = range.first + range.count;
        }
    }
}

/// A statement that was checked.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Statement<'a> {
    rest: &'a [u8],
    sequence: u64,
    /// Ranges of this run that are to come.
    left: u64,
    at: u32,
}

impl<'a> Statement<'a> {
    /// `None`: it is not sound.
    pub(in crate::storage) fn read(bytes: &'a [u8]) -> Option<Statement<'a>> {
        let statement = Statement { rest: bytes, sequence: 0, left: 0, at: 0 };
        let mut check = statement;
        while !check.rest.is_empty() || check.left > 0 {
            check.step()?;
        }
        Some(statement)
    }

    fn step(&mut self) -> Option<Range> {
        if self.left == 0 {
            self.sequence = take_varint(&mut self.rest)?;
            self.left = take_varint(&mut self.rest)?;
            self.at = 0;
        }
        self.left = self.left.checked_sub(1)?;
        let gap = take_varint(&mut self.rest)?;
        let count = u32::try_from(take_varint(&mut self.rest)?).ok()?;
        let state = if gap & 1 == 0 { SETTLED } else { take_byte(&mut self.rest)? };
        let first = self.at.checked_add(u32::try_from(gap >> 1).ok()?)?;
        self.at = first.checked_add(count)?;
        Some(Range { sequence: self.sequence, first, count, state })
    }
}

impl Iterator for Statement<'_> {
    type Item = Range;

    fn next(&mut self) -> Option<Range> {
        if self.rest.is_empty() && self.left == 0 { None } else { self.step() }
    }
}

const RUNS: u8 = 0;
const BITMAP: u8 = 1;

/// Appends the state of all slots of a segment: as runs of equal states, or as a bit for each
/// slot and the counts apart, whichever is shorter.
pub(in crate::storage) fn encode_state(out: &mut Vec<u8>, sequence: u64, slots: &[u8]) {
    put_varint(out, sequence);
    put_varint(out, slots.len() as u64);
    let runs = || slots.chunk_by(|a, b| a == b);
    let counted = slots.iter().filter(|slot| **slot != SETTLED && **slot != 0).count();
    if runs().count() * 3 <= slots.len() / 8 + counted * 4 {
        out.push(RUNS);
        for run in runs() {
            put_varint(out, run.len() as u64);
            out.push(run[0]);
        }
        return;
    }
    out.push(BITMAP);
    for eight in slots.chunks(8) {
        let bit = |(n, slot): (usize, &u8)| u8::from(*slot == SETTLED) << n;
        out.push(eight.iter().enumerate().map(bit).fold(0, |all, bit| all | bit));
    }
    let mut at = 0;
    for (n, &slot) in slots.iter().enumerate() {
        if slot != SETTLED && slot != 0 {
            put_varint(out, (n - at) as u64);
            out.push(slot);
            at = n;
        }
    }
}

/// So many bytes a state takes at most, about.
pub(in crate::storage) fn state_bytes_max(slots: usize) -> usize {
    // The runs may be three bytes each where a bitmap would not be shorter.
    slots / 8 + 64
}

/// The state of all slots of a segment, checked.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct State<'a> {
    pub(in crate::storage) sequence: u64,
    count: usize,
    form: u8,
    rest: &'a [u8],
}

impl<'a> State<'a> {
    /// `None`: it is not sound.
    pub(in crate::storage) fn read(mut bytes: &'a [u8]) -> Option<State<'a>> {
        let sequence = take_varint(&mut bytes)?;
        let count = usize::try_from(take_varint(&mut bytes)?).ok()?;
        let form = take_byte(&mut bytes)?;
        // More slots than there are octets in a file would only be a way to ask for memory.
        let is_possible = form <= BITMAP && u32::try_from(count).is_ok();
        let state = is_possible.then_some(State { sequence, count, form, rest: bytes })?;
        state.each(&mut |_, _, _| {}).then_some(state)
    }

    /// Tells of runs of equal slots: the first, how many, what they are; in their order.
    pub(in crate::storage) fn each(&self, tell: &mut dyn FnMut(usize, usize, u8)) -> bool {
        let mut rest = self.rest;
        if self.form == RUNS {
            let mut at = 0;
            while at < self.count {
                let run = take_varint(&mut rest).and_then(|run| usize::try_from(run).ok());
                let (Some(run), Some(state)) = (run, take_byte(&mut rest)) else {
                    return false;
                };
                if run > self.count - at {
                    return false;
                }
                tell(at, run, state);
                at += run;
            }
            return rest.is_empty();
        }
        let Some((bits, mut counted)) = rest.split_at_checked(self.count.div_ceil(8)) else {
            return false;
        };
        for n in 0..self.count {
            if bits[n / 8] >> (n % 8) & 1 == 1 {
                tell(n, 1, SETTLED);
            } else {
                tell(n, 1, 0);
            }
        }
        let mut at = 0usize;
        while !counted.is_empty() {
            let gap = take_varint(&mut counted).and_then(|gap| usize::try_from(gap).ok());
            let (Some(gap), Some(state)) = (gap, take_byte(&mut counted)) else {
                return false;
            };
            at = at.saturating_add(gap);
            if at >= self.count {
                return false;
            }
            tell(at, 1, state);
        }
        true
    }
}

/// Appends an inventory: the sequence numbers of segments in use, which are sorted, as runs of gap
/// and count.
pub(in crate::storage) fn encode_inventory(out: &mut Vec<u8>, in_use: &[u64]) {
    let mut at = 0;
    for run in in_use.chunk_by(|a, b| a + 1 == *b) {
        put_varint(out, run[0] - at);
        put_varint(out, run.len() as u64);
        at = run[0] + run.len() as u64;
    }
}

/// What an inventory says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::storage) struct Inventory {
    /// First sequence number and how many, in their order.
    pub(in crate::storage) in_use: Vec<(u64, u64)>,
}

impl Inventory {
    /// `None`: it is not sound.
    pub(in crate::storage) fn read(mut bytes: &[u8]) -> Option<Inventory> {
        let mut inventory = Inventory::default();
        let (mut at, mut all) = (0u64, 0u64);
        while !bytes.is_empty() {
            let first = at.checked_add(take_varint(&mut bytes)?)?;
            let count = take_varint(&mut bytes)?;
            at = first.checked_add(count)?;
            all = all.checked_add(count)?;
            inventory.in_use.push((first, count));
        }
        (at <= NUMBER_MAX && all <= SEGMENTS_MAX).then_some(inventory)
    }
}

/// More segments are never in use: the kernel maps far fewer.
const SEGMENTS_MAX: u64 = 1 << 20;

pub(in crate::storage) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_byte(number) | 0x80);
        number >>= 7;
    }
    out.push(low_byte(number));
}

fn low_byte(number: u64) -> u8 {
    number.to_le_bytes()[0] & 0x7f
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(rest)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, tail) = rest.split_first()?;
    *rest = tail;
    Some(byte)
}
