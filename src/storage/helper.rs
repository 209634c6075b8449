//! Who waits for the disk? The storage helper: it syncs, prepares segments and removes files, a
//! step at a time, and gives back what it did. It owns nothing but the handles it was given. A
//! sync always goes before the next step of anything else.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::segment::{self, CreateError, Header, HeaderState, Mapping, SegmentFile};
use super::types::{HelperMode, StorageError};

/// Something to do.
#[derive(Debug)]
pub(super) enum Job {
    Sync(SyncJob),
    Create(CreateJob),
    Prepare(PrepareJob),
    Remove(RemoveJob),
}

/// Makes files durable.
#[derive(Debug)]
pub(super) struct SyncJob {
    pub(super) number: u64,
    pub(super) files: Vec<Arc<SegmentFile>>,
    /// The definitions log.
    pub(super) definitions: Option<(Arc<File>, PathBuf)>,
}

/// Makes a new segment file.
#[derive(Debug)]
pub(super) struct CreateJob {
    /// In which ring: files of the transient one have no header and no name.
    pub(super) durable: bool,
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) allocated: Option<File>,
}

/// Makes a used segment file ready for its next life.
#[derive(Debug)]
pub(super) struct PrepareJob {
    /// Index in the durable ring's table.
    pub(super) segment: u32,
    pub(super) file: Arc<SegmentFile>,
    /// As it shall be in the end.
    pub(super) header: Header,
    pub(super) zero_from: u32,
    pub(super) stage: PrepareStage,
}

/// The order that must hold: what a crash leaves is either free or as it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PrepareStage {
    MarkPreparing,
    ZeroSlots,
    MarkReady,
}

/// Takes a file out of the ring.
#[derive(Debug)]
pub(super) struct RemoveJob {
    pub(super) file: Arc<SegmentFile>,
    /// Unmapped by the helper, which takes a while.
    pub(super) map: Arc<Mapping>,
    pub(super) kind: RemoveKind,
}

/// How a file leaves the ring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RemoveKind {
    Unlink,
    /// Damage was found in it: it is kept under another name.
    KeepAsDamaged,
    /// It has no name.
    Drop,
}

/// What was done.
#[derive(Debug)]
pub(super) enum Answer {
    Synced {
        number: u64,
        nanos: u64,
    },
    Created {
        durable: bool,
        segment: NewSegment,
    },
    /// No space for the segment that was to be created.
    NoSpace {
        durable: bool,
        error: io::Error,
    },
    Prepared {
        segment: u32,
        sequence: u64,
    },
    Removed,
    /// The disk failed: the end.
    Failed(StorageError),
}

/// A segment file that is ready for its first record.
#[derive(Debug)]
pub(super) struct NewSegment {
    pub(super) file: Arc<SegmentFile>,
    pub(super) map: Arc<Mapping>,
    pub(super) header: Header,
}

/// What is left of a job after one step of it.
enum Step {
    More(Job),
    Done(Answer),
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
                while manual.answers.is_empty() && manual.run_step() {}
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
    /// Runs one step; `false`: there was none.
    pub(super) fn run_step(&mut self) -> bool {
        let Some(job) = self.waiting.next() else {
            return false;
        };
        let result = match &job {
            Job::Sync(sync) if self.fail_next_sync => {
                self.fail_next_sync = false;
                failed_sync(sync)
            }
            Job::Sync(_) | Job::Create(_) | Job::Prepare(_) | Job::Remove(_) => step(job),
        };
        match result {
            Step::More(job) => self.waiting.put_back(job),
            Step::Done(answer) => self.answers.push_back(answer),
        }
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
            Job::Create(_) | Job::Prepare(_) | Job::Remove(_) => self.others.push_back(job),
        }
    }

    fn next(&mut self) -> Option<Job> {
        self.syncs.pop_front().or_else(|| self.others.pop_front())
    }

    /// Jobs are finished in the order in which they came: segments get ready in sequence order.
    fn put_back(&mut self, job: Job) {
        self.others.push_front(job);
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
            let result = match &job {
                Job::Sync(sync) if self.gate.takes_failure() => failed_sync(sync),
                Job::Create(create) if self.gate.is_disk_full() => found_no_space(create),
                Job::Sync(_) | Job::Create(_) | Job::Prepare(_) | Job::Remove(_) => step(job),
            };
            match result {
                Step::More(job) => self.waiting.put_back(job),
                Step::Done(answer) => {
                    if self.answers.send(answer).is_err() {
                        return;
                    }
                    (self.wake)();
                }
            }
        }
    }

    fn next(&mut self) -> Option<Job> {
        while let Ok(job) = self.jobs.try_recv() {
            self.waiting.add(job);
        }
        self.waiting.next().or_else(|| self.jobs.recv().ok())
    }
}

/// One step of a job: at most one sync of a file and one of a directory.
fn step(job: Job) -> Step {
    let result = match job {
        Job::Sync(sync) => run_sync(&sync).map(Step::Done),
        Job::Create(create) => step_create(create),
        Job::Prepare(prepare) => step_prepare(prepare),
        Job::Remove(remove) => run_remove(remove).map(|()| Step::Done(Answer::Removed)),
    };
    result.unwrap_or_else(|error| Step::Done(Answer::Failed(error)))
}

/// What a test asked for with [`Gate::fail_next_sync`] or its like.
fn failed_sync(sync: &SyncJob) -> Step {
    let path = sync.files.first().map(|file| file.path.clone()).unwrap_or_default();
    let source = io::Error::other("a failure that a test asked for");
    Step::Done(Answer::Failed(StorageError::Io { doing: "syncing", path, source }))
}

/// What a test asked for with [`Gate::fill_disk`].
fn found_no_space(create: &CreateJob) -> Step {
    let error = io::ErrorKind::StorageFull.into();
    Step::Done(Answer::NoSpace { durable: create.durable, error })
}

// The only clock of the storage: how long a sync took is a figure for the operator and decides
// nothing.
#[allow(clippy::disallowed_methods)]
fn run_sync(sync: &SyncJob) -> Result<Answer, StorageError> {
    let begin = Instant::now();
    for file in &sync.files {
        file.sync()?;
    }
    if let Some((file, path)) = &sync.definitions {
        file.sync_data().map_err(StorageError::io("syncing", path))?;
    }
    let nanos = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Ok(Answer::Synced { number: sync.number, nanos })
}

fn step_create(mut create: CreateJob) -> Result<Step, StorageError> {
    let durable = create.durable;
    let Some(file) = create.allocated.take() else {
        return match allocate(&create) {
            Ok(file) => {
                create.allocated = Some(file);
                Ok(Step::More(Job::Create(create)))
            }
            Err(CreateError::NoSpace(error)) => Ok(Step::Done(Answer::NoSpace { durable, error })),
            Err(CreateError::Fatal(error)) => Err(error),
        };
    };
    let segment = finish(&create, file)?;
    Ok(Step::Done(Answer::Created { durable, segment }))
}

/// Makes a new segment file at once; takes two syncs.
pub(super) fn create_now(create: &CreateJob) -> Result<NewSegment, CreateError> {
    let file = allocate(create)?;
    Ok(finish(create, file)?)
}

fn allocate(create: &CreateJob) -> Result<File, CreateError> {
    let header = create.durable.then_some(&create.header);
    segment::allocate(&create.path, create.header.bytes, header)
}

fn finish(create: &CreateJob, file: File) -> Result<NewSegment, StorageError> {
    let file = if create.durable {
        segment::publish(file, &create.path)?
    } else {
        segment::unlink(file, &create.path)?
    };
    let map = Mapping::new(&file, create.header.bytes)?;
    Ok(NewSegment { file, map, header: create.header })
}

fn step_prepare(mut prepare: PrepareJob) -> Result<Step, StorageError> {
    prepare.stage = match prepare.stage {
        PrepareStage::MarkPreparing => {
            let state = HeaderState::Preparing { zero_from: prepare.zero_from };
            Header { state, ..prepare.header }.write(&prepare.file)?;
            prepare.file.sync()?;
            PrepareStage::ZeroSlots
        }
        PrepareStage::ZeroSlots => {
            prepare.file.zero(prepare.zero_from, prepare.header.bytes)?;
            prepare.file.sync()?;
            PrepareStage::MarkReady
        }
        PrepareStage::MarkReady => {
            // Needs no sync of its own: the first sync of its records covers it.
            prepare.header.write(&prepare.file)?;
            let PrepareJob { segment, header, .. } = prepare;
            let sequence = header.sequence;
            return Ok(Step::Done(Answer::Prepared { segment, sequence }));
        }
    };
    Ok(Step::More(Job::Prepare(prepare)))
}

/// Prepares a used segment file at once; takes two syncs.
pub(super) fn prepare_now(mut prepare: PrepareJob) -> Result<(), StorageError> {
    loop {
        match step_prepare(prepare)? {
            Step::More(Job::Prepare(rest)) => prepare = rest,
            Step::More(Job::Sync(_) | Job::Create(_) | Job::Remove(_)) | Step::Done(_) => {
                return Ok(());
            }
        }
    }
}

fn run_remove(remove: RemoveJob) -> Result<(), StorageError> {
    drop(remove.map);
    let path = &remove.file.path;
    match remove.kind {
        RemoveKind::Unlink => {
            // If somebody was faster, that is what we want.
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StorageError::io("unlinking", path)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        RemoveKind::KeepAsDamaged => {
            let kept = path.with_extension("damaged");
            fs::rename(path, &kept).map_err(StorageError::io("renaming", path))?;
        }
        RemoveKind::Drop => return Ok(()),
    }
    segment::sync_directory(segment::parent(path))
}

/// Holds the thread of [`HelperMode::ThreadGated`] back before its next step.
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

    fn is_disk_full(&self) -> bool {
        self.state().disk_full
    }

    fn takes_failure(&self) -> bool {
        std::mem::take(&mut self.state().fail_next_sync)
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // The lock makes sure that the thread either sees `stop` or is already waiting.
        drop(self.state());
        self.inner.1.notify_all();
    }

    fn pass(&self, stop: &AtomicBool) {
        let mut state = self.state();
        while state.held && !stop.load(Ordering::Acquire) {
            state = self.inner.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
