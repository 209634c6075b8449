//! Who waits for the disk? The storage helper: it syncs, makes segments ready and removes files
//! (`jobs`), and gives back what it did. It owns nothing but the handles it was given. A sync
//! always goes before anything else that waits.

mod gate;
pub(super) mod jobs;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::JoinHandle;

pub use gate::Gate;

use super::types::StorageError;
use jobs::{Answer, Job, failed_sync, found_no_space, run};

/// Who does what would make the loop wait for the disk.
pub enum HelperMode {
    /// A thread; `wake` is called from it after each answer.
    Thread {
        /// Wakes the loop so that it takes the answers.
        wake: Box<dyn Fn() + Send>,
    },
    /// A thread that a test can hold back.
    ThreadGated {
        /// Wakes the loop so that it takes the answers.
        wake: Box<dyn Fn() + Send>,
        /// What holds it back.
        gate: Gate,
    },
    /// Nobody: the owner calls [`Store::run_helper`](crate::storage::Store::run_helper).
    Manual,
}

/// The way to the helper.
pub(super) struct Helper {
    way: Way,
    /// Jobs whose answer is to come.
    pub(super) outstanding: usize,
}

enum Way {
    Thread(ThreadHelper),
    Manual(ManualHelper),
}

/// Jobs run when the owner says so.
#[derive(Default)]
pub(super) struct ManualHelper {
    waiting: Waiting,
    answers: VecDeque<Answer>,
    pub(super) fail_next_sync: bool,
}

/// Jobs run on a thread.
pub(super) struct ThreadHelper {
    /// `None` once the thread was told to finish.
    jobs: Option<Sender<Job>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    gate: Gate,
}

impl Helper {
    pub(super) fn start(mode: HelperMode) -> Result<Helper, StorageError> {
        let (wake, gate) = match mode {
            HelperMode::Manual => {
                let way = Way::Manual(ManualHelper::default());
                return Ok(Helper { way, outstanding: 0 });
            }
            HelperMode::Thread { wake } => (wake, Gate::default()),
            HelperMode::ThreadGated { wake, gate } => (wake, gate),
        };
        let (jobs, jobs_end) = mpsc::channel();
        let (answers_end, answers) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let runner = Runner {
            jobs: jobs_end,
            answers: answers_end,
            wake,
            gate: gate.clone(),
            stop: Arc::clone(&stop),
            waiting: Waiting::default(),
        };
        let thread = std::thread::Builder::new()
            .name("storage-helper".into())
            .spawn(move || runner.run())
            .map_err(|source| StorageError::Io {
                doing: "starting",
                path: PathBuf::from("storage-helper"),
                source,
            })?;
        let thread = Some(thread);
        let way = Way::Thread(ThreadHelper { jobs: Some(jobs), answers, thread, stop, gate });
        Ok(Helper { way, outstanding: 0 })
    }

    pub(super) fn submit(&mut self, job: Job) -> Result<(), StorageError> {
        match &mut self.way {
            Way::Manual(manual) => manual.waiting.add(job),
            Way::Thread(thread) => {
                let jobs = thread.jobs.as_ref().ok_or(StorageError::HelperGone)?;
                let is_sync = matches!(job, Job::Sync(_));
                jobs.send(job).map_err(|_| StorageError::HelperGone)?;
                if is_sync {
                    // On a single core the helper would not run before the loop has nothing to
                    // do; this way the disk works while the loop does.
                    std::thread::yield_now();
                }
            }
        }
        self.outstanding += 1;
        Ok(())
    }

    /// The next answer, if there is one.
    pub(super) fn answer(&mut self) -> Result<Option<Answer>, StorageError> {
        if self.outstanding == 0 {
            return Ok(None);
        }
        let answer = match &mut self.way {
            Way::Manual(manual) => manual.answers.pop_front(),
            Way::Thread(thread) => match thread.answers.try_recv() {
                Ok(answer) => Some(answer),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return Err(StorageError::HelperGone),
            },
        };
        self.outstanding -= usize::from(answer.is_some());
        Ok(answer)
    }

    /// Waits for the next answer; one must be outstanding.
    pub(super) fn wait(&mut self) -> Result<Answer, StorageError> {
        let answer = match &mut self.way {
            Way::Manual(manual) => {
                while manual.answers.is_empty() && manual.run_one() {}
                manual.answers.pop_front().ok_or(StorageError::HelperGone)?
            }
            Way::Thread(thread) => thread.answers.recv().map_err(|_| StorageError::HelperGone)?,
        };
        self.outstanding -= 1;
        Ok(answer)
    }

    /// The helper of [`HelperMode::Manual`].
    pub(super) fn manual(&mut self) -> Option<&mut ManualHelper> {
        match &mut self.way {
            Way::Manual(manual) => Some(manual),
            Way::Thread(_) => None,
        }
    }
}

impl Drop for ThreadHelper {
    /// As when the process is killed: what was begun is not finished, but nothing goes on behind
    /// the back of whoever opens the directory next.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.jobs = None;
        self.gate.wake();
        if let Some(thread) = self.thread.take() {
            // A panic of the helper was reported on its thread.
            drop(thread.join());
        }
    }
}

impl ManualHelper {
    /// Runs one job; `false`: there was none.
    pub(super) fn run_one(&mut self) -> bool {
        let Some(job) = self.waiting.next() else {
            return false;
        };
        let answer = match &job {
            Job::Sync(sync) if self.fail_next_sync => {
                self.fail_next_sync = false;
                failed_sync(sync)
            }
            Job::Sync(_) | Job::Make(_) | Job::Remove(_) | Job::Release(_) => run(job),
        };
        self.answers.push_back(answer);
        true
    }
}

/// Jobs that wait, syncs before all else.
#[derive(Default)]
struct Waiting {
    syncs: VecDeque<Job>,
    others: VecDeque<Job>,
}

impl Waiting {
    fn add(&mut self, job: Job) {
        match job {
            Job::Sync(_) => self.syncs.push_back(job),
            Job::Make(_) | Job::Remove(_) | Job::Release(_) => self.others.push_back(job),
        }
    }

    fn next(&mut self) -> Option<Job> {
        self.syncs.pop_front().or_else(|| self.others.pop_front())
    }
}

struct Runner {
    jobs: Receiver<Job>,
    answers: Sender<Answer>,
    wake: Box<dyn Fn() + Send>,
    gate: Gate,
    stop: Arc<AtomicBool>,
    waiting: Waiting,
}

impl Runner {
    fn run(mut self) {
        while let Some(job) = self.next() {
            self.gate.pass(&self.stop);
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            let answer = match &job {
                Job::Sync(sync) if self.gate.takes_failure() => failed_sync(sync),
                Job::Make(make) if self.gate.is_disk_full() && make.is_new() => {
                    found_no_space(make)
                }
                Job::Sync(_) | Job::Make(_) | Job::Remove(_) | Job::Release(_) => run(job),
            };
            if self.answers.send(answer).is_err() {
                return;
            }
            (self.wake)();
        }
    }

    fn next(&mut self) -> Option<Job> {
        while let Ok(job) = self.jobs.try_recv() {
            self.waiting.add(job);
        }
        self.waiting.next().or_else(|| self.jobs.recv().ok())
    }
}
