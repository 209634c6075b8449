//! What happens when? Set up, warm up, measure, drain, judge, clean up.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::Waker;

use crate::client::Client;
use crate::consumer::Consumer;
use crate::options::{Limit, Options};
use crate::pace::{Clock, SECOND_NS};
use crate::process::Usage;
use crate::progress::{Progress, grouped};
use crate::publisher::Publisher;
use crate::report::{self, BrokerProcess, Flow, Latency, Load, Report, Total};
use crate::stamp::STAMP_BYTES;
use crate::tally::{Control, Counts, Live, Tally};
use crate::topology::Topology;
use crate::verify::{Claim, Source, Verdict, Verifier};
use crate::worker::{Outcome, Role, Shared, Worker};

/// A run in progress: the threads that do it, and what is seen of them from outside.
#[derive(Debug)]
struct Run {
    shared: Arc<Shared>,
    lives: Vec<Arc<Live>>,
    threads: Vec<JoinHandle<Outcome>>,
    progress: Progress,
    interrupted: Arc<AtomicBool>,
    broker: String,
    /// Messages in the queues at the beginning.
    ready: u64,
    watch: Watch,
}

/// Since when has nothing moved, and what was shown last?
#[derive(Debug, Default)]
struct Watch {
    begun_ns: u64,
    moved: [u64; 5],
    moved_ns: u64,
    shown: Counts,
    shown_ns: u64,
}

/// Everything read at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ns: u64,
    counts: Counts,
    broker: Option<Usage>,
    own: Usage,
}

/// The measured part: publishing ends at `input_end`, everything at `end`.
#[derive(Clone, Copy, Debug)]
struct Measured {
    begin: Sample,
    input_end: Sample,
    end: Sample,
    drain: Option<Flow>,
}

/// Does what the options say.
///
/// # Errors
/// A sentence: the broker could not be reached, or refused the set-up. What goes wrong later is
/// in the report.
pub fn run(options: Options) -> Result<Report, String> {
    if let Some(pid) = options.broker_pid {
        Usage::read(Some(pid)).ok_or_else(|| format!("there is no process {pid} to watch"))?;
    }
    let mut run = Run::set_up(options)?;
    let measured = run.measure();
    run.progress.end();
    Ok(run.judge(&measured))
}

impl Run {
    /// Declares, connects, and starts the threads.
    fn set_up(options: Options) -> Result<Run, String> {
        let topology = Topology::new(&options);
        let progress = Progress::new(options.quiet);
        let says = |fault| format!("{}: {fault}", options.server.uri);
        let mut client = Client::open(&options.server, "leveret-bench set-up").map_err(says)?;
        let broker = String::from(client.product());
        let drain_only = options.publishers == 0;
        let mut ready = topology.declare(&mut client, drain_only).map_err(says)?;
        if ready > 0 && !drain_only && options.consumers > 0 {
            topology.purge(&mut client).map_err(says)?;
            progress.note(&format!("removed {} old messages from the queues", grouped(ready)));
            ready = 0;
        }
        client.close();
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The first one ends the run in good order, the second at once.
            let flag = || Arc::clone(&interrupted);
            signal_hook::flag::register_conditional_shutdown(signal, 130, flag())
                .and_then(|_| signal_hook::flag::register(signal, flag()))
                .map_err(|error| format!("cannot catch signals: {error}"))?;
        }
        let shared =
            Arc::new(Shared { options, topology, clock: Clock::new(), control: Control::new() });
        let mut run = Run {
            shared,
            lives: Vec::new(),
            threads: Vec::new(),
            progress,
            interrupted,
            broker,
            ready,
            watch: Watch::default(),
        };
        run.start_threads()?;
        Ok(run)
    }

    fn start_threads(&mut self) -> Result<(), String> {
        let options = &self.shared.options;
        let number = run_number(&self.shared.clock);
        let mut workers: Vec<Worker> = Vec::new();
        let mut wakers = Vec::new();
        for _ in 0..options.threads {
            let source = match options.publishers {
                0 => Source::AnyRun(HashMap::new()),
                publishers => Source::ThisRun { run: number, publishers },
            };
            let verifier = Verifier::new(source, self.shared.topology.queue_count());
            let live = Arc::new(Live::default());
            let (worker, waker) =
                Worker::new(Arc::clone(&self.shared), Arc::clone(&live), verifier)
                    .map_err(|error| format!("cannot make an event loop: {error}"))?;
            self.lives.push(live);
            workers.push(worker);
            wakers.push(waker);
        }
        seat_all(&self.shared, number, &mut workers)?;
        for (worker, index) in workers.into_iter().zip(0..) {
            let thread = thread::Builder::new().name(format!("bench-{index}"));
            let handle = thread.spawn(move || worker.run());
            self.threads.push(handle.map_err(|error| format!("cannot start a thread: {error}"))?);
        }
        if let Some(rate) = options.rate.filter(|_| !options.spin) {
            start_ticker(Arc::clone(&self.shared), wakers, rate)?;
        }
        Ok(())
    }

    /// Runs through the phases.
    fn measure(&mut self) -> Measured {
        let shared = Arc::clone(&self.shared);
        let Shared { options, topology, clock, control } = &*shared;
        self.watch.begun_ns = clock.now_ns();
        self.watch.shown_ns = self.watch.begun_ns;
        if options.publishers == 0 {
            return self.measure_drain();
        }
        let wanted: usize = match options.intake.get {
            true => usize::from(options.consumers),
            false => (0..usize::from(options.consumers)).map(|c| topology.queues_of(c).len()).sum(),
        };
        let wanted = wanted as u64;
        self.wait("set-up", true, |counts, _| counts.subscribed >= wanted);
        let start_ns = clock.now_ns();
        let measure_from_ns = start_ns + options.warmup_s * SECOND_NS;
        (self.watch.begun_ns, self.watch.shown_ns) = (start_ns, start_ns);
        self.watch.shown = self.counts();
        control.start(start_ns, measure_from_ns);
        if options.warmup_s > 0 {
            self.wait("warm-up", false, |_, now_ns| now_ns >= measure_from_ns);
        }
        let begin = self.sample();
        let publishers = u64::from(options.publishers);
        let (input_end, end) = match options.limit {
            Limit::Seconds(seconds) => {
                let until_ns = measure_from_ns + seconds * SECOND_NS;
                self.wait("", false, |_, now_ns| now_ns >= until_ns);
                let end = self.sample();
                (end, end)
            }
            Limit::Messages(_) | Limit::Drained => {
                let patient = options.rate.is_none();
                self.wait("", patient, |counts, _| counts.finished >= publishers);
                let input_end = self.sample();
                let complete = self.wait_complete("");
                let mut end = self.sample();
                if complete && options.consumers > 0 {
                    end.at_ns = end.counts.active_ns.max(begin.at_ns);
                }
                (input_end, end)
            }
        };
        control.stop_publishing();
        self.wait_complete("drain");
        let drained = self.counts();
        let more = drained.received - end.counts.received;
        let drain =
            (more > 0).then(|| Flow::new(more, drained.active_ns.saturating_sub(end.at_ns)));
        Measured { begin, input_end, end, drain }
    }

    /// The phases of a run without publishers.
    fn measure_drain(&mut self) -> Measured {
        let begin = self.sample();
        let ready = self.ready;
        let until_ns = match self.shared.options.limit {
            Limit::Seconds(seconds) => begin.at_ns + seconds * SECOND_NS,
            Limit::Messages(_) | Limit::Drained => u64::MAX,
        };
        let done = self
            .wait("drain", true, |counts, now_ns| counts.received >= ready || now_ns >= until_ns);
        let control = &self.shared.control;
        if !done && control.failures().is_empty() && !self.interrupted.load(Ordering::Relaxed) {
            let missing = grouped(ready.saturating_sub(self.counts().received));
            let idle_s = self.shared.options.idle_s;
            control.fail(format!("nothing arrived for {idle_s} s, {missing} messages are missing"));
        }
        let mut end = self.sample();
        if end.at_ns < until_ns {
            end.at_ns = end.counts.active_ns.max(begin.at_ns);
        }
        Measured { begin, input_end: end, end, drain: None }
    }

    /// Waits until publishers have all their answers and everything has arrived; whether it
    /// has.
    fn wait_complete(&mut self, phase: &str) -> bool {
        let options = &self.shared.options;
        let (publishers, consumers) = (u64::from(options.publishers), options.consumers);
        let copies = self.shared.topology.copies();
        self.wait(phase, true, |counts, _| {
            let expected = (counts.published - counts.refused) * copies;
            counts.finished >= publishers && (consumers == 0 || counts.first >= expected)
        })
    }

    /// Waits until `done` says so; false when the run failed or was interrupted instead or,
    /// with `give_up`, when nothing moved for too long.
    fn wait(&mut self, phase: &str, give_up: bool, done: impl Fn(&Counts, u64) -> bool) -> bool {
        let idle_ns = self.shared.options.idle_s * SECOND_NS;
        self.watch.moved_ns = self.shared.clock.now_ns();
        loop {
            let now_ns = self.shared.clock.now_ns();
            let counts = self.counts();
            if done(&counts, now_ns) {
                return true;
            }
            if !self.shared.control.failures().is_empty() {
                return false;
            }
            if self.interrupted.load(Ordering::Relaxed) && !self.shared.control.publishing_stopped()
            {
                return false;
            }
            if self.watch.idle_ns(&counts, now_ns) > idle_ns && give_up {
                return false;
            }
            let since_ns = now_ns - self.watch.shown_ns;
            if since_ns >= SECOND_NS {
                let second = (now_ns - self.watch.begun_ns) / SECOND_NS;
                self.progress.second(phase, second, &self.watch.shown, &counts, since_ns);
                self.watch.shown = counts;
                self.watch.shown_ns = now_ns;
            }
            thread::sleep(LOOK);
        }
    }

    fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for live in &self.lives {
            sum.add(&live.read());
        }
        sum
    }

    fn sample(&self) -> Sample {
        Sample {
            counts: self.counts(),
            broker: self.shared.options.broker_pid.and_then(|pid| Usage::read(Some(pid))),
            own: Usage::read(None).unwrap_or_default(),
            at_ns: self.shared.clock.now_ns(),
        }
    }

    /// Ends the threads, compares what was sent with what arrived, and cleans up.
    fn judge(self, measured: &Measured) -> Report {
        let Run { shared, threads, broker, .. } = self;
        let options = &shared.options;
        shared.control.finish();
        let all = gather(&shared, threads);
        let claims = all.claims.iter();
        let unanswered = claims.map(|claim| claim.unsettled.iter().count() as u64).sum();
        if unanswered > 0 && shared.control.failures().is_empty() {
            shared.control.fail(format!(
                "the broker left {} messages unanswered for {} s",
                grouped(unanswered),
                options.idle_s
            ));
        }
        let left_in_queues = clean_up(&shared);
        let failures = shared.control.failures();
        let verdict = verdict(options, &all.verifier, &all.claims, failures.is_empty());
        let Measured { begin, input_end, end, drain } = measured;
        let input = begin.flow_to(input_end, |counts| counts.published);
        let output = begin.flow_to(end, |counts| counts.received);
        let elapsed_ns = end.at_ns - begin.at_ns;
        let messages = if options.publishers == 0 { output.messages } else { input.messages };
        Report {
            broker,
            load: Load::new(options),
            input,
            confirmed: begin.flow_to(input_end, |counts| counts.confirmed),
            output,
            drain: *drain,
            latency_us: Latency::new(&all.tally.delivery_ns),
            confirm_latency_us: Latency::new(&all.tally.confirm_ns),
            total: Total::new(&all.tally.counts),
            verdict,
            left_in_queues,
            broker_process: begin
                .broker
                .zip(end.broker)
                .map(|(before, after)| BrokerProcess::new(&before, &after, elapsed_ns, messages)),
            own_cpu_percent: report::cpu_percent(&begin.own, &end.own, elapsed_ns),
            failures,
        }
    }
}

impl Sample {
    /// What one counter did up to a later sample.
    fn flow_to(&self, end: &Sample, of: fn(&Counts) -> u64) -> Flow {
        Flow::new(of(&end.counts) - of(&self.counts), end.at_ns - self.at_ns)
    }
}

impl Watch {
    /// For how long nothing has moved; a connection that is down counts as moving, it has a
    /// patience of its own.
    fn idle_ns(&mut self, counts: &Counts, now_ns: u64) -> u64 {
        let moved =
            [counts.published, counts.confirmed, counts.refused, counts.received, counts.resent];
        if moved != self.moved || counts.down > 0 {
            self.moved = moved;
            self.moved_ns = now_ns;
        }
        now_ns - self.moved_ns
    }
}

/// Connects everyone, consumers first.
fn seat_all(shared: &Shared, run: u16, workers: &mut [Worker]) -> Result<(), String> {
    let Shared { options, topology, .. } = shared;
    let stamped = options.publishers == 0 || options.size_bytes >= STAMP_BYTES;
    for index in 0..usize::from(options.consumers) {
        let queues = topology.queues_of(index);
        let named = queues.iter().map(|&q| (q, String::from(topology.queue_name(q)))).collect();
        let consumer = Consumer::new(options.intake, named, stamped);
        let name = format!("leveret-bench consumer {index}");
        workers[topology.thread_of_consumer(index)]
            .add(name, Role::Consumer(Box::new(consumer)))
            .map_err(|fault| format!("consumer {index}: {fault}"))?;
    }
    for id in 0..options.publishers {
        let index = usize::from(id);
        let lanes = topology.lanes(index);
        let publisher = Publisher::new(options, id, run, topology.exchange_name(), lanes);
        let name = format!("leveret-bench publisher {id}");
        workers[topology.thread_of_publisher(index)]
            .add(name, Role::Publisher(Box::new(publisher)))
            .map_err(|fault| format!("publisher {id}: {fault}"))?;
    }
    Ok(())
}

/// Wakes the workers when messages are due: a poll's own timeout has only milliseconds.
fn start_ticker(shared: Arc<Shared>, wakers: Vec<Waker>, rate: u64) -> Result<(), String> {
    let period_ns = (SECOND_NS / rate).clamp(TICK_NS, SECOND_NS / 50);
    let tick = move || {
        // Without it the kernel may let us sleep 50 us too long; if so, so be it.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        while !shared.control.finishing() {
            let now_ns = shared.clock.now_ns();
            let start_ns = shared.control.started().map_or(now_ns, |(start_ns, _)| start_ns);
            let into_ns = now_ns.saturating_sub(start_ns) % period_ns;
            thread::sleep(Duration::from_nanos(period_ns - into_ns));
            for waker in &wakers {
                if waker.wake().is_err() {
                    return;
                }
            }
        }
    };
    let spawned = thread::Builder::new().name(String::from("bench-ticker")).spawn(tick);
    spawned.map(|_| ()).map_err(|error| format!("cannot start a thread: {error}"))
}

/// Waits for the threads and adds up their results.
fn gather(shared: &Shared, threads: Vec<JoinHandle<Outcome>>) -> Outcome {
    let source = Source::AnyRun(HashMap::new());
    let mut all = Outcome {
        tally: Tally::new(),
        verifier: Verifier::new(source, shared.topology.queue_count()),
        claims: Vec::new(),
    };
    for thread in threads {
        let Ok(one) = thread.join() else {
            shared.control.fail(String::from("a thread of this tool panicked"));
            continue;
        };
        all.tally.counts.add(&one.tally.counts);
        for (sum, histogram) in [
            (&mut all.tally.delivery_ns, &one.tally.delivery_ns),
            (&mut all.tally.confirm_ns, &one.tally.confirm_ns),
        ] {
            sum.add(histogram).expect("both histograms have the same bounds");
        }
        all.verifier.merge(one.verifier);
        all.claims.extend(one.claims);
    }
    all
}

/// Counts what is left in the queues and deletes them, unless they are to be kept.
fn clean_up(shared: &Shared) -> Option<u64> {
    let Shared { options, topology, .. } = shared;
    let mut client = Client::open(&options.server, "leveret-bench clean-up").ok()?;
    let left = topology.declare(&mut client, true).ok()?;
    if !options.keep {
        // The results do not depend on it.
        let _ = topology.delete(&mut client);
    }
    client.close();
    Some(left)
}

/// What can be said about the run; after a failure nobody knows what is still to come.
fn verdict(options: &Options, verifier: &Verifier, claims: &[Claim], completed: bool) -> Verdict {
    let stamped = options.publishers == 0 || options.size_bytes >= STAMP_BYTES;
    if options.consumers == 0 || !stamped {
        return Verdict::default();
    }
    let mut verdict = match options.publishers {
        0 => verifier.judge_gaps(),
        _ => verifier.judge(claims),
    };
    if !completed {
        verdict.verified = false;
        verdict.lost = 0;
    }
    verdict
}

/// A number for this run that the one before hardly had.
fn run_number(clock: &Clock) -> u16 {
    let mixed =
        (clock.now_ns() ^ u64::from(std::process::id())).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    u16::try_from(mixed >> 48).expect("sixteen bits are left")
}

/// How often the runner looks.
const LOOK: Duration = Duration::from_millis(2);

/// The shortest time between two wake-ups by the ticker.
const TICK_NS: u64 = 50_000;
