//! How does a test hold the storage helper back, or have the disk fail?

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Holds the thread of [`HelperMode::ThreadGated`](crate::storage::HelperMode::ThreadGated) back
/// before its next step.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    inner: Arc<(Mutex<GateState>, Condvar)>,
}

#[derive(Debug, Default)]
struct GateState {
    held: bool,
    fail_next_sync: bool,
    disk_full: bool,
}

impl Gate {
    /// From now on the helper does not begin another step.
    pub fn hold(&self) {
        self.state().held = true;
    }

    /// The helper goes on.
    pub fn release(&self) {
        self.state().held = false;
        self.inner.1.notify_all();
    }

    /// The next sync that the helper begins fails, as it does on a broken disk.
    pub fn fail_next_sync(&self) {
        self.state().fail_next_sync = true;
    }

    /// From now on there is no space for another segment, or there is again.
    pub fn fill_disk(&self, full: bool) {
        self.state().disk_full = full;
    }

    pub(super) fn is_disk_full(&self) -> bool {
        self.state().disk_full
    }

    pub(super) fn takes_failure(&self) -> bool {
        std::mem::take(&mut self.state().fail_next_sync)
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        // The lock makes sure that the thread either sees `stop` or is already waiting.
        drop(self.state());
        self.inner.1.notify_all();
    }

    pub(super) fn pass(&self, stop: &AtomicBool) {
        let mut state = self.state();
        while state.held && !stop.load(Ordering::Acquire) {
            state = self.inner.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
