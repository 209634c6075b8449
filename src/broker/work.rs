//! How much may still be done in this step of the turn?
//!
//! Work is counted in units of what it costs to settle one message, about a tenth of a
//! microsecond: whoever works through messages, queues or bytes that a client made many says how
//! much that was, and stops when nothing is left. What is not done goes on in the next turn, so
//! that nobody else waits for it.

/// How many consumers that share a prefetch are looked at for one unit of work.
pub const CONSUMERS_PER_WORK: usize = 8;

/// The budget of one step.
#[derive(Debug)]
pub struct Work {
    left: u32,
}

impl Default for Work {
    /// No step has begun: nobody waits.
    fn default() -> Self {
        Self { left: u32::MAX }
    }
}

/// What one step of the turn may do: about half a millisecond.
pub const WORK_PER_STEP: u32 = 5_000;

/// What the sessions may do with what arrived, all of them together.
pub const WORK_PER_INPUT: u32 = 10_000;

/// What is done for operators in one turn, all of their requests together.
pub const WORK_FOR_OPERATORS: u32 = 10_000;

/// So many bytes are copied, checked and written for one unit.
const BYTES_PER_UNIT: u64 = 256;

impl Work {
    /// A step begins.
    pub fn begin(&mut self, units: u32) {
        self.left = units;
    }

    /// So much was done.
    #[inline]
    pub fn spend(&mut self, units: usize) {
        self.left = self.left.saturating_sub(u32::try_from(units).unwrap_or(u32::MAX));
    }

    /// So many bytes were worked through.
    #[inline]
    pub fn spend_bytes(&mut self, bytes: u64) {
        self.spend(usize::try_from(bytes / BYTES_PER_UNIT).unwrap_or(usize::MAX));
    }

    /// Nothing more is to be done in this step.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.left == 0
    }
}
