//! Did every message arrive, once and in order? The tool's judge of the broker.
//!
//! Per (publisher, queue), every sequence number is expected once. A second arrival is fine
//! when the broker flagged it as redelivered, or when the publisher had sent it again because
//! the first was never confirmed. Order is checked per consumer: the numbers that one consumer
//! sees of one publisher in one queue must rise, except for redelivered and re-sent messages.

use std::collections::HashMap;

use crate::ranges::Ranges;
use crate::sequences::SequenceSet;
use crate::stamp::Stamp;

/// Everything that arrived in the queues of one thread.
#[derive(Debug)]
pub struct Verifier {
    source: Source,
    queues: Vec<Vec<Track>>,
    unknown: u64,
}

/// Whose messages count.
#[derive(Debug)]
pub enum Source {
    /// Those of this run's publishers, so many; others are counted as unknown.
    ThisRun {
        /// This run's number.
        run: u16,
        /// How many publishers it has.
        publishers: u16,
    },
    /// Those of any run (`--drain-only`); streams are numbered as they turn up.
    AnyRun(HashMap<(u16, u16), usize>),
}

/// What one arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Seen for the first time.
    First,
    /// Seen before.
    Again,
    /// Not a message of a run that counts.
    Unknown,
}

/// The arrivals of one stream (a publisher's messages in one queue).
#[derive(Debug, Default)]
struct Track {
    seen: SequenceSet,
    flagged: u64,
    flagged_again: u64,
    again: Suspects,
    late: Suspects,
}

/// Sequence numbers to be judged when the publishers have told what they sent twice.
#[derive(Debug, Default)]
struct Suspects {
    sequences: Vec<u64>,
    uncounted: u64,
}

/// What one publisher claims, when all is over.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// The publisher's number.
    pub publisher: u16,
    /// Messages published, re-sent ones counted once. Message i went to lane i mod lanes.
    pub total: u64,
    /// Which queues each lane leads to.
    pub lanes: Vec<Vec<usize>>,
    /// Messages that were sent more than once, since they were not confirmed.
    pub resent: Ranges,
    /// Messages that the broker refused (basic.nack).
    pub refused: Ranges,
    /// Messages for which no answer came: they may have arrived or not.
    pub unsettled: Ranges,
}

/// The judgement over a whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Whether there was anything to go by (stamps in the bodies, consumers).
    pub verified: bool,
    /// Messages expected over all queues (a fanout counts once per queue).
    pub expected: u64,
    /// Different messages that arrived.
    pub arrived: u64,
    /// Expected, not refused, and never arrived.
    pub lost: u64,
    /// Arrived again, neither flagged as redelivered nor re-sent.
    pub duplicated: u64,
    /// Arrived again and flagged as redelivered, which is allowed.
    pub duplicated_redelivered: u64,
    /// Arrived again after the publisher had sent them again, which is allowed.
    pub duplicated_resent: u64,
    /// Arrived after a later one of the same publisher, queue and consumer.
    pub reordered: u64,
    /// Deliveries flagged as redelivered.
    pub redelivered: u64,
    /// Deliveries that are not from this run, or carry no stamp.
    pub unknown: u64,
}

impl Verifier {
    /// A verifier for arrivals in queues `0..queues`.
    pub fn new(source: Source, queues: usize) -> Verifier {
        let mut tracks = Vec::new();
        tracks.resize_with(queues, Vec::new);
        Verifier { source, queues: tracks, unknown: 0 }
    }

    /// Notes a delivery from `queue`. `last` is what one consumer has seen of this queue: per
    /// stream, one past the highest sequence number.
    #[inline]
    pub fn note(
        &mut self,
        queue: usize,
        last: &mut Vec<u64>,
        stamp: Option<Stamp>,
        redelivered: bool,
    ) -> Arrival {
        let Some((stamp, stream)) = stamp.and_then(|s| Some((s, self.source.stream(&s)?))) else {
            self.unknown += 1;
            return Arrival::Unknown;
        };
        let tracks = &mut self.queues[queue];
        if tracks.len() <= stream {
            tracks.resize_with(stream + 1, Track::default);
        }
        if last.len() <= stream {
            last.resize(stream + 1, 0);
        }
        tracks[stream].note(stamp.sequence, redelivered, &mut last[stream])
    }

    /// Puts what another thread saw (of other queues) into this one.
    pub fn merge(&mut self, other: Verifier) {
        self.unknown += other.unknown;
        for (mine, theirs) in self.queues.iter_mut().zip(other.queues) {
            assert!(mine.is_empty() || theirs.is_empty(), "a queue belongs to one thread");
            if mine.is_empty() {
                *mine = theirs;
            }
        }
    }

    /// Judges, given what the publishers say they sent.
    pub fn judge(&self, claims: &[Claim]) -> Verdict {
        let mut verdict = Verdict { verified: true, unknown: self.unknown, ..Verdict::default() };
        let nothing = Track::default();
        for claim in claims {
            let lanes = u64::try_from(claim.lanes.len()).unwrap_or(u64::MAX);
            for (lane, queues) in (0..).zip(&claim.lanes) {
                let expected = claim.total.saturating_sub(lane).div_ceil(lanes);
                for &queue in queues {
                    let track = self.queues[queue].get(usize::from(claim.publisher));
                    let track = track.unwrap_or(&nothing);
                    track.judge(claim, lane, lanes, expected, &mut verdict);
                }
            }
        }
        verdict
    }

    /// Judges without knowing what was sent: between the first and the last number that
    /// arrived of each stream, none may be missing.
    pub fn judge_gaps(&self) -> Verdict {
        let mut verdict = Verdict { verified: true, unknown: self.unknown, ..Verdict::default() };
        for track in self.queues.iter().flatten() {
            let first = track.seen.lowest().unwrap_or(0);
            verdict.expected += track.seen.end() - first;
            verdict.lost += track.seen.end() - first - track.seen.count();
            verdict.duplicated += track.again.total();
            verdict.reordered += track.late.total();
            track.count(&mut verdict);
        }
        verdict
    }
}

impl Source {
    /// The number of the stream that `stamp` belongs to.
    #[inline]
    fn stream(&mut self, stamp: &Stamp) -> Option<usize> {
        match self {
            Source::ThisRun { run, publishers } => (stamp.run == *run
                && stamp.publisher < *publishers)
                .then_some(usize::from(stamp.publisher)),
            Source::AnyRun(streams) => {
                let next = streams.len();
                let key = (stamp.run, stamp.publisher);
                if next >= STREAMS_MAX && !streams.contains_key(&key) {
                    return None;
                }
                Some(*streams.entry(key).or_insert(next))
            }
        }
    }
}

impl Track {
    #[inline]
    fn note(&mut self, sequence: u64, redelivered: bool, last: &mut u64) -> Arrival {
        let first = self.seen.insert(sequence);
        if redelivered {
            self.flagged += 1;
            self.flagged_again += u64::from(!first);
        } else if !first {
            self.again.push(sequence);
        } else if sequence < *last {
            self.late.push(sequence);
        }
        *last = (*last).max(sequence + 1);
        if first { Arrival::First } else { Arrival::Again }
    }

    fn judge(&self, claim: &Claim, lane: u64, lanes: u64, expected: u64, verdict: &mut Verdict) {
        // A number beyond what was claimed would make the subtraction lie; it cannot have
        // been sent, so it shows as one arrival too many.
        let arrived = self.seen.count();
        let missing = |messages: &Ranges| {
            let mine = messages.iter().filter(|i| i % lanes == lane);
            u64::try_from(mine.filter(|i| !self.seen.contains(i / lanes)).count()).unwrap_or(0)
        };
        let excused = missing(&claim.refused) + missing(&claim.unsettled);
        verdict.expected += expected;
        verdict.lost += expected.saturating_sub(arrived).saturating_sub(excused);
        verdict.duplicated += arrived.saturating_sub(expected);
        let resent = |sequence: &&u64| claim.resent.contains(*sequence * lanes + lane);
        let allowed = self.again.sequences.iter().filter(resent).count();
        let allowed = u64::try_from(allowed).unwrap_or(0);
        verdict.duplicated_resent += allowed;
        verdict.duplicated += self.again.total() - allowed;
        let allowed = self.late.sequences.iter().filter(resent).count();
        verdict.reordered += self.late.total() - u64::try_from(allowed).unwrap_or(0);
        self.count(verdict);
    }

    fn count(&self, verdict: &mut Verdict) {
        verdict.arrived += self.seen.count();
        verdict.redelivered += self.flagged;
        verdict.duplicated_redelivered += self.flagged_again;
    }
}

impl Suspects {
    #[cold]
    fn push(&mut self, sequence: u64) {
        if self.sequences.len() < SUSPECTS_MAX {
            self.sequences.push(sequence);
        } else {
            self.uncounted += 1;
        }
    }

    fn total(&self) -> u64 {
        u64::try_from(self.sequences.len()).unwrap_or(u64::MAX) + self.uncounted
    }
}

impl Verdict {
    /// Whether the broker kept its promises.
    pub fn passed(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.reordered == 0
    }
}

/// Most suspects kept by number, per stream: 8 MiB. Any more count as not excused.
const SUSPECTS_MAX: usize = 1 << 20;

/// Most streams told apart when draining.
const STREAMS_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u16 = 42;

    fn verifier(queues: usize) -> Verifier {
        Verifier::new(Source::ThisRun { run: RUN, publishers: 2 }, queues)
    }

    fn stamp(publisher: u16, sequence: u64) -> Option<Stamp> {
        Some(Stamp { publisher, sequence, run: RUN, sent_ns: 0 })
    }

    fn claim(total: u64, lanes: &[&[usize]]) -> Claim {
        let lanes = lanes.iter().map(|queues| queues.to_vec()).collect();
        Claim { total, lanes, ..Claim::default() }
    }

    fn note_all(verifier: &mut Verifier, queue: usize, sequences: impl Iterator<Item = u64>) {
        let mut last = Vec::new();
        for sequence in sequences {
            verifier.note(queue, &mut last, stamp(0, sequence), false);
        }
    }

    #[test]
    fn all_in_order_passes() {
        let mut verifier = verifier(1);
        note_all(&mut verifier, 0, 0..1000);
        let verdict = verifier.judge(&[claim(1000, &[&[0]])]);
        assert!(verdict.passed() && verdict.verified, "{verdict:?}");
        assert_eq!((verdict.expected, verdict.arrived), (1000, 1000));
    }

    #[test]
    fn what_is_missing_is_lost_at_the_front_the_middle_and_the_end() {
        let mut verifier = verifier(1);
        note_all(&mut verifier, 0, (1..500).chain(501..999));
        assert_eq!(verifier.judge(&[claim(1000, &[&[0]])]).lost, 3);
    }

    #[test]
    fn a_queue_from_which_nothing_came_lost_everything() {
        let verdict = verifier(2).judge(&[claim(11, &[&[0], &[1]])]);
        assert_eq!((verdict.lost, verdict.expected), (11, 11));
    }

    #[test]
    fn a_duplicate_is_allowed_only_when_flagged() {
        let mut verifier = verifier(1);
        let mut last = Vec::new();
        let mut note = |sequence, flag| verifier.note(0, &mut last, stamp(0, sequence), flag);
        assert_eq!(note(0, false), Arrival::First);
        assert_eq!(note(0, true), Arrival::Again);
        assert_eq!(note(0, false), Arrival::Again);
        let verdict = verifier.judge(&[claim(1, &[&[0]])]);
        assert_eq!((verdict.duplicated, verdict.duplicated_redelivered), (1, 1));
        assert_eq!(verdict.redelivered, 1);
        assert!(!verdict.passed());
    }

    #[test]
    fn a_duplicate_of_a_resent_message_is_allowed() {
        let mut verifier = verifier(2);
        // Two lanes: message 7 is number 3 of lane 1.
        note_all(&mut verifier, 0, 0..4);
        note_all(&mut verifier, 1, [0, 1, 2, 3, 2, 3].into_iter());
        let mut claims = [claim(8, &[&[0], &[1]])];
        claims[0].resent.insert(7);
        let verdict = verifier.judge(&claims);
        assert_eq!((verdict.duplicated_resent, verdict.duplicated), (1, 1));
        claims[0].resent.insert(5);
        assert!(verifier.judge(&claims).passed());
    }

    #[test]
    fn order_is_checked_per_consumer() {
        let mut verifier = verifier(1);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        for (consumer, sequence) in [(0, 0), (0, 3), (1, 1), (1, 2)] {
            let last = if consumer == 0 { &mut one } else { &mut two };
            verifier.note(0, last, stamp(0, sequence), false);
        }
        assert!(verifier.judge(&[claim(4, &[&[0]])]).passed(), "two consumers interleave");
        verifier.note(0, &mut one, stamp(0, 5), false);
        verifier.note(0, &mut one, stamp(0, 4), false);
        let verdict = verifier.judge(&[claim(6, &[&[0]])]);
        assert_eq!((verdict.reordered, verdict.lost), (1, 0));
    }

    #[test]
    fn redelivered_and_resent_messages_may_come_late() {
        let mut verifier = verifier(1);
        let mut last = Vec::new();
        for (sequence, flag) in [(2, false), (0, true), (1, false), (3, false)] {
            verifier.note(0, &mut last, stamp(0, sequence), flag);
        }
        let mut claims = [claim(4, &[&[0]])];
        assert_eq!(verifier.judge(&claims).reordered, 1);
        claims[0].resent.insert(1);
        assert!(verifier.judge(&claims).passed());
    }

    #[test]
    fn refused_and_unanswered_messages_are_not_lost() {
        let mut verifier = verifier(1);
        note_all(&mut verifier, 0, 0..8);
        let mut claims = [claim(10, &[&[0]])];
        assert_eq!(verifier.judge(&claims).lost, 2);
        claims[0].refused.insert(8);
        claims[0].unsettled.insert(9);
        // One that arrived all the same excuses no other.
        claims[0].unsettled.insert(3);
        assert!(verifier.judge(&claims).passed());
    }

    #[test]
    fn a_fanout_is_expected_in_every_queue() {
        let mut verifier = verifier(3);
        for queue in 0..3 {
            note_all(&mut verifier, queue, 0..10);
        }
        let verdict = verifier.judge(&[claim(10, &[&[0, 1, 2]])]);
        assert!(verdict.passed());
        assert_eq!(verdict.expected, 30);
    }

    #[test]
    fn messages_of_others_are_counted_apart() {
        let mut verifier = verifier(1);
        let mut last = Vec::new();
        let other = stamp(0, 0).map(|stamp| Stamp { run: 1, ..stamp });
        for stamp in [other, stamp(2, 0), None] {
            assert_eq!(verifier.note(0, &mut last, stamp, false), Arrival::Unknown);
        }
        assert_eq!(verifier.judge(&[]).unknown, 3);
    }

    #[test]
    fn what_was_never_published_is_not_taken_for_good() {
        let mut verifier = verifier(1);
        note_all(&mut verifier, 0, 0..11);
        assert!(!verifier.judge(&[claim(10, &[&[0]])]).passed());
    }

    #[test]
    fn draining_judges_by_the_gaps_of_each_run() {
        let mut verifier = Verifier::new(Source::AnyRun(HashMap::new()), 1);
        let mut last = Vec::new();
        for (run, sequence) in [(1, 100), (1, 101), (2, 0), (1, 103), (2, 1)] {
            let stamp = stamp(0, sequence).map(|stamp| Stamp { run, ..stamp });
            assert_eq!(verifier.note(0, &mut last, stamp, false), Arrival::First);
        }
        let verdict = verifier.judge_gaps();
        assert_eq!((verdict.lost, verdict.arrived, verdict.expected), (1, 5, 6));
    }

    #[test]
    fn threads_with_different_queues_merge() {
        let (mut one, mut two) = (verifier(2), verifier(2));
        note_all(&mut one, 0, 0..5);
        note_all(&mut two, 1, 0..5);
        one.merge(two);
        assert!(one.judge(&[claim(10, &[&[0], &[1]])]).passed());
    }
}
