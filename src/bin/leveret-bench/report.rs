//! What came out of it? The results, as text for people and as JSON for programs.

use std::fmt::{self, Write as _};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::options::{Limit, Options, Safety};
use crate::process::Usage;
use crate::progress::grouped;
use crate::tally::Counts;
use crate::verify::Verdict;

/// Everything that `--json` prints; the text shows the same.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Product and version, as the broker says.
    pub broker: String,
    /// What was asked for.
    pub load: Load,
    /// Messages published in the measured part.
    pub input: Flow,
    /// Messages confirmed (or committed) in the measured part.
    pub confirmed: Flow,
    /// Messages delivered in the measured part.
    pub output: Flow,
    /// What was still delivered after publishing had ended.
    pub drain: Option<Flow>,
    /// Publish to delivery, microseconds.
    pub latency_us: Option<Latency>,
    /// Publish to confirm, microseconds.
    pub confirm_latency_us: Option<Latency>,
    /// The whole run, warmup and drain included.
    pub total: Total,
    /// Whether everything arrived, once and in order.
    pub verdict: Verdict,
    /// Messages left in the queues.
    pub left_in_queues: Option<u64>,
    /// What `--broker-pid` used in the measured part.
    pub broker_process: Option<BrokerProcess>,
    /// This tool's own CPU time in the measured part, percent of one core.
    pub own_cpu_percent: f64,
    /// What went wrong, if anything.
    pub failures: Vec<String>,
}

/// The load that was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Load {
    publishers: u16,
    consumers: u16,
    queues: u16,
    fanout: bool,
    size_bytes: usize,
    persistent: bool,
    durable_queues: bool,
    confirm_window: Option<u32>,
    tx_every: Option<u32>,
    prefetch: u16,
    ack_every: Option<u32>,
    get: bool,
    rate: Option<u64>,
    seconds: Option<u64>,
    messages: Option<u64>,
    warmup_seconds: u64,
    threads: usize,
}

/// So many messages in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Flow {
    /// Messages.
    pub messages: u64,
    /// Seconds.
    pub seconds: f64,
    /// Messages per second.
    pub per_second: f64,
}

/// A distribution, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    count: u64,
    min: f64,
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// Counters over the whole run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Total {
    published: u64,
    resent: u64,
    confirmed: u64,
    refused: u64,
    received: u64,
    reconnects: u64,
    blocked: u64,
}

/// The broker's process, in the measured part.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BrokerProcess {
    /// CPU time in user mode per message, microseconds.
    user_us_per_message: f64,
    /// CPU time in the kernel per message, microseconds.
    system_us_per_message: f64,
    /// Both together.
    cpu_us_per_message: f64,
    /// Both together, percent of one core.
    cpu_percent: f64,
    /// Bytes that went to storage; none when we may not know (another user's process).
    written_bytes: Option<u64>,
    /// The same per message.
    written_bytes_per_message: Option<f64>,
    /// Resident memory at the end.
    rss_bytes: u64,
    /// The most resident memory since the process began.
    rss_max_bytes: u64,
}

impl Load {
    /// Out of the options.
    pub fn new(options: &Options) -> Load {
        let (confirm_window, tx_every) = match options.safety {
            Safety::None => (None, None),
            Safety::Confirm(window) => (Some(window), None),
            Safety::Tx(every) => (None, Some(every)),
        };
        let (seconds, messages) = match options.limit {
            Limit::Seconds(seconds) => (Some(seconds), None),
            Limit::Messages(messages) => (None, Some(messages)),
            Limit::Drained => (None, None),
        };
        Load {
            publishers: options.publishers,
            consumers: options.consumers,
            queues: options.queues,
            fanout: options.fanout,
            size_bytes: options.size_bytes,
            persistent: options.persistent,
            durable_queues: options.durable,
            confirm_window,
            tx_every,
            prefetch: options.intake.prefetch,
            ack_every: options.intake.ack_every,
            get: options.intake.get,
            rate: options.rate,
            seconds,
            messages,
            warmup_seconds: options.warmup_s,
            threads: options.threads,
        }
    }
}

impl Flow {
    /// So many messages in so many nanoseconds.
    pub fn new(messages: u64, elapsed_ns: u64) -> Flow {
        let seconds = elapsed_ns.max(1) as f64 / 1e9;
        Flow { messages, seconds, per_second: messages as f64 / seconds }
    }
}

impl Latency {
    /// Out of a histogram of nanoseconds; `None` when it is empty.
    pub fn new(histogram: &Histogram<u64>) -> Option<Latency> {
        if histogram.is_empty() {
            return None;
        }
        let us = |ns: u64| ns as f64 / 1000.0;
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        Some(Latency {
            count: histogram.len(),
            min: us(histogram.min()),
            mean: histogram.mean() / 1000.0,
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: us(histogram.max()),
        })
    }
}

impl Total {
    /// Out of the counters.
    pub fn new(counts: &Counts) -> Total {
        Total {
            published: counts.published,
            resent: counts.resent,
            confirmed: counts.confirmed,
            refused: counts.refused,
            received: counts.received,
            reconnects: counts.reconnects,
            blocked: counts.blocked,
        }
    }
}

impl BrokerProcess {
    /// What was used between two readings, for so many messages.
    pub fn new(before: &Usage, after: &Usage, elapsed_ns: u64, messages: u64) -> BrokerProcess {
        let user_us = after.user_us.saturating_sub(before.user_us);
        let system_us = after.system_us.saturating_sub(before.system_us);
        let per_message = |amount: u64| amount as f64 / messages.max(1) as f64;
        let written_bytes = match (before.written_bytes, after.written_bytes) {
            (Some(before), Some(after)) => Some(after.saturating_sub(before)),
            (None, _) | (_, None) => None,
        };
        BrokerProcess {
            user_us_per_message: per_message(user_us),
            system_us_per_message: per_message(system_us),
            cpu_us_per_message: per_message(user_us + system_us),
            cpu_percent: cpu_percent(before, after, elapsed_ns),
            written_bytes,
            written_bytes_per_message: written_bytes.map(per_message),
            rss_bytes: after.rss_bytes,
            rss_max_bytes: after.rss_max_bytes,
        }
    }
}

/// CPU time between two readings in percent of one core.
pub fn cpu_percent(before: &Usage, after: &Usage, elapsed_ns: u64) -> f64 {
    let used_us =
        (after.user_us + after.system_us).saturating_sub(before.user_us + before.system_us);
    used_us as f64 * 1000.0 * 100.0 / elapsed_ns.max(1) as f64
}

impl Report {
    /// 0, or 1 when the broker broke its promises, or 69 when the run could not be finished.
    pub fn exit_code(&self) -> u8 {
        match (self.verdict.passed(), self.failures.is_empty()) {
            (false, _) => EXIT_UNSOUND,
            (true, false) => EXIT_UNAVAILABLE,
            (true, true) => 0,
        }
    }

    /// The report as one JSON object with a line feed.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        let mut text = json.expect("numbers, strings and no maps are always valid JSON");
        text.push('\n');
        text
    }

    fn write_flows(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, flow) in
            [("in", &self.input), ("confirmed", &self.confirmed), ("out", &self.output)]
        {
            if flow.messages > 0 {
                writeln!(out, "{name:<10} {}", flow_text(flow))?;
            }
        }
        if let Some(drain) = &self.drain {
            writeln!(out, "{:<10} {}", "drained", flow_text(drain))?;
        }
        for (name, latency) in
            [("latency", &self.latency_us), ("confirm", &self.confirm_latency_us)]
        {
            let Some(latency) = latency else { continue };
            writeln!(
                out,
                "{name:<10} p50 {}  p95 {}  p99 {}  p99.9 {}  max {}",
                time(latency.p50),
                time(latency.p95),
                time(latency.p99),
                time(latency.p999),
                time(latency.max),
            )?;
        }
        Ok(())
    }

    fn write_process(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(process) = &self.broker_process {
            let mut text = String::new();
            if let Some(written) = process.written_bytes_per_message {
                write!(text, ", {written:.1} bytes written per message")?;
            }
            writeln!(
                out,
                "broker     {:.3} us CPU a message ({:.3} user, {:.3} system), {:.0} % of a core\
                 {text}, {:.1} MiB resident",
                process.cpu_us_per_message,
                process.user_us_per_message,
                process.system_us_per_message,
                process.cpu_percent,
                process.rss_bytes as f64 / 1_048_576.0,
            )?;
        }
        let busy = self.own_cpu_percent >= 90.0 * self.load.threads as f64;
        let remark = if busy { ", it may be what limits the rate (see --threads)" } else { "" };
        writeln!(out, "this tool  {:.0} % of a core{remark}", self.own_cpu_percent)
    }

    fn write_verdict(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.verdict;
        let total = &self.total;
        for (count, what) in [
            (total.refused, "refused by the broker (basic.nack)"),
            (total.resent, "sent again after a lost connection"),
            (verdict.duplicated_resent, "arrived twice after being sent again (allowed)"),
            (verdict.duplicated_redelivered, "arrived twice, marked redelivered (allowed)"),
            (verdict.unknown, "deliveries from another run or without a stamp"),
            (total.reconnects, "connections made anew"),
            (total.blocked, "times blocked by the broker"),
        ] {
            if count > 0 {
                writeln!(out, "           {} {what}", grouped(count))?;
            }
        }
        if let Some(left) = self.left_in_queues.filter(|&left| left > 0) {
            writeln!(out, "           {} messages are left in the queues", grouped(left))?;
        }
        for failure in &self.failures {
            writeln!(out, "FAILED     {failure}")?;
        }
        if !verdict.passed() {
            writeln!(
                out,
                "UNSOUND    {} lost, {} duplicated, {} reordered, of {} expected",
                grouped(verdict.lost),
                grouped(verdict.duplicated),
                grouped(verdict.reordered),
                grouped(verdict.expected),
            )
        } else if verdict.verified {
            let arrived = grouped(verdict.arrived);
            writeln!(out, "sound      all {arrived} messages arrived, once and in order")
        } else {
            writeln!(out, "           not verified")
        }
    }
}

/// The report for people.
impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:<10} {}", "broker is", self.broker)?;
        self.write_flows(out)?;
        self.write_process(out)?;
        self.write_verdict(out)
    }
}

fn flow_text(flow: &Flow) -> String {
    format!(
        "{:>12} messages/s   ({} in {:.3} s)",
        grouped_float(flow.per_second),
        grouped(flow.messages),
        flow.seconds
    )
}

/// A rate: whole, unless it is small.
fn grouped_float(number: f64) -> String {
    if number < 100.0 {
        return format!("{number:.2}");
    }
    let whole = format!("{number:.0}");
    whole.parse().map_or(whole, grouped)
}

/// Microseconds, in the unit that suits them.
fn time(us: f64) -> String {
    match us {
        us if us < 1000.0 => format!("{us:.0} us"),
        us if us < 10_000.0 => format!("{:.2} ms", us / 1000.0),
        us if us < 1_000_000.0 => format!("{:.0} ms", us / 1000.0),
        us => format!("{:.2} s", us / 1_000_000.0),
    }
}

/// Messages were lost, duplicated or reordered.
const EXIT_UNSOUND: u8 = 1;

/// The broker cannot be reached or stopped answering (sysexits' EX_UNAVAILABLE).
pub const EXIT_UNAVAILABLE: u8 = 69;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::new_histogram;

    #[test]
    fn latencies_are_in_microseconds() {
        let mut histogram = new_histogram();
        assert_eq!(Latency::new(&histogram), None);
        (1..=1000).for_each(|us: u64| histogram.record(us * 1000).unwrap());
        let latency = Latency::new(&histogram).unwrap();
        assert!((latency.p50 - 500.0).abs() < 1.0, "{latency:?}");
        assert!((latency.p999 - 999.0).abs() < 1.0, "{latency:?}");
        assert!((latency.max - 1000.0).abs() < 1.0, "{latency:?}");
    }

    #[test]
    fn cost_is_per_message() {
        let before = Usage { user_us: 100, written_bytes: Some(10), ..Usage::default() };
        let after = Usage {
            user_us: 1100,
            system_us: 500,
            written_bytes: Some(2010),
            rss_bytes: 7,
            rss_max_bytes: 9,
        };
        let process = BrokerProcess::new(&before, &after, 3_000_000, 1000);
        assert!((process.cpu_us_per_message - 1.5).abs() < 1e-9);
        assert!((process.cpu_percent - 50.0).abs() < 1e-9);
        assert_eq!(process.written_bytes_per_message, Some(2.0));
        let hidden = Usage { written_bytes: None, ..after };
        assert_eq!(BrokerProcess::new(&before, &hidden, 1, 1).written_bytes, None);
    }

    #[test]
    fn units_suit_the_number() {
        assert_eq!(time(12.4), "12 us");
        assert_eq!(time(1234.0), "1.23 ms");
        assert_eq!(time(50_000.0), "50 ms");
        assert_eq!(time(2_500_000.0), "2.50 s");
        assert_eq!(grouped_float(1_234_567.8), "1,234,568");
        assert_eq!(grouped_float(1.5), "1.50");
    }
}
