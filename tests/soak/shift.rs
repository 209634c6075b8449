//! What do all workers share? Which life of the broker it is and where it listens, whether the work
//! is over, the seed, and three counts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::{self, Scope};
use std::time::Duration;

use super::link::{Gone, Link, STALL};
use crate::common::Random;

/// What all workers share.
pub struct Shift {
    seed: u64,
    /// A short shift uses little of everything, so that it can run beside other tests.
    pub is_short: bool,
    state: Mutex<State>,
    changed: Condvar,
    pub published: AtomicU64,
    pub confirmed: AtomicU64,
    pub consumed: AtomicU64,
}

#[derive(Default)]
struct State {
    /// 1 is the first.
    life: u32,
    /// `None`: the broker ends, or has not begun.
    address: Option<SocketAddr>,
    process: u32,
    is_over: bool,
}

impl Shift {
    pub fn new(seed: u64, is_short: bool) -> Shift {
        Shift {
            seed,
            is_short,
            state: Mutex::default(),
            changed: Condvar::new(),
            published: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody fails with it")
    }

    /// The broker listens.
    pub fn life_begins(&self, address: SocketAddr, process: u32) {
        let mut state = self.state();
        state.life += 1;
        (state.address, state.process) = (Some(address), process);
        self.changed.notify_all();
    }

    /// The broker is about to be ended.
    pub fn life_ends(&self) {
        self.state().address = None;
    }

    /// Whether this life is over, or about to be.
    pub fn has_ended(&self, life: u32) -> bool {
        let state = self.state();
        state.life > life || state.address.is_none()
    }

    /// The broker's process id; that of the last one while none runs.
    pub fn process(&self) -> u32 {
        self.state().process
    }

    /// How often the broker was started.
    pub fn lives(&self) -> u32 {
        self.state().life
    }

    /// From now on workers only take what is left.
    pub fn end(&self) {
        self.state().is_over = true;
        self.changed.notify_all();
    }

    pub fn is_over(&self) -> bool {
        self.state().is_over
    }

    /// Lets time pass that is chance's to say, in milliseconds; not longer than the shift.
    pub fn pause(&self, ms: usize) {
        self.wait(Duration::from_millis(ms as u64));
    }

    /// The same for a time; whether the shift is over.
    pub fn wait(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), time, |state| !state.is_over);
        waited.expect("nobody fails with it").0.is_over
    }

    /// A new link, as soon as there is a broker.
    pub fn link(&self) -> Link {
        loop {
            let waited =
                self.changed.wait_timeout_while(self.state(), STALL, |it| it.address.is_none());
            let state = waited.expect("nobody fails with it").0;
            let (address, life) = (state.address, state.life);
            drop(state);
            let Some(address) = address else { panic!("no broker came back within {STALL:?}") };
            match Link::connect(address, life) {
                Ok(link) => return link,
                Err(_) => self.mourn(life),
            }
        }
    }

    /// A link was closed, which only the end of the broker explains.
    fn mourn(&self, life: u32) {
        assert!(self.has_ended(life), "the broker closed a connection by itself in life {life}");
    }

    /// Works on one link after the other until the work is done on one of them.
    pub fn on_links(&self, mut work: impl FnMut(&mut Link) -> Result<(), Gone>) {
        loop {
            let mut link = self.link();
            match work(&mut link) {
                Ok(()) => {
                    // The broker answers, and takes what this link held back before.
                    if link.close() == Ok(()) {
                        return;
                    }
                }
                Err(Gone::Broker) => self.mourn(link.life),
                Err(Gone::Worker) => (),
            }
        }
    }

    /// Starts a worker with its own chance. When it fails it says who it was, and ends the shift.
    pub fn spawn<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        name: &'static str,
        work: impl FnOnce(Random) + Send + 'scope,
    ) {
        let letters = name.bytes().map(u64::from);
        let seed = letters.fold(self.seed, |seed, letter| Random::new(seed ^ letter).next());
        scope.spawn(move || {
            let _alarm = Alarm { shift: self, name };
            work(Random::new(seed));
        });
    }

    pub fn count_published(&self, messages: usize) {
        self.published.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub fn count_confirmed(&self, messages: usize) {
        self.confirmed.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub fn count_consumed(&self, messages: usize) {
        self.consumed.fetch_add(messages as u64, Ordering::Relaxed);
    }
}

/// Sounds when a worker fails.
struct Alarm<'a> {
    shift: &'a Shift,
    name: &'static str,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let (name, seed) = (self.name, self.shift.seed);
            eprintln!("the worker {name} failed; LEVERET_CRASH_SEED={seed} begins the same way");
            self.shift.end();
        }
    }
}
