//! What were figures some time ago, in JSON? RabbitMQ's `samples`, with their averages.
//!
//! Who asks says how far back and in which steps, in seconds: `msg_rates_age` and `msg_rates_incr`
//! for what happens to messages, `lengths_...` for how many there are, `data_rates_...` for bytes,
//! `node_stats_...` for the node's own.

use serde_json::{Value, json};

use super::request::Request;
use super::response::Response;
use crate::broker::Broker;
use crate::broker::history::History;

/// The times that are asked for, all of them on the same steps whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// In milliseconds since 1970.
    newest_ms: u64,
    step_ms: u64,
    /// How many steps back.
    steps: u64,
}

/// All that one request asks for; `None`: only what is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ranges {
    /// For what happens to messages.
    pub msg_rates: Option<Range>,
    /// For how many there are.
    pub lengths: Option<Range>,
    /// For bytes that come and go.
    pub data_rates: Option<Range>,
    /// For the node's own.
    pub node_stats: Option<Range>,
}

/// The most steps that one request gets: every series is shown at once.
const STEPS_MAX: u64 = 150;

/// What a step costs to show, of all series of a kind together, in units of the broker's work.
const WORK_PER_STEP: u64 = 50;

/// The longest age in seconds; further back there is nothing.
const AGE_S_MAX: u64 = 7 * 24 * 60 * 60;

impl Ranges {
    /// What a request asks for; what that costs is spent.
    ///
    /// # Errors
    /// 400 for ranges that are empty or have too many steps.
    pub fn of(request: &Request, broker: &mut Broker) -> Result<Self, Response> {
        let ranges = Self::at(request, broker.clock_ms())?;
        let all = [ranges.msg_rates, ranges.lengths, ranges.data_rates, ranges.node_stats];
        let steps: u64 = all.iter().flatten().map(|range| range.steps + 1).sum();
        broker.work.spend(usize::try_from(steps * WORK_PER_STEP).unwrap_or(usize::MAX));
        Ok(ranges)
    }

    fn at(request: &Request, now_ms: u64) -> Result<Self, Response> {
        let range = |name| Range::of(request, name, now_ms);
        Ok(Self {
            msg_rates: range("msg_rates")?,
            lengths: range("lengths")?,
            data_rates: range("data_rates")?,
            node_stats: range("node_stats")?,
        })
    }

    /// Whether anything is asked for.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

impl Range {
    fn of(request: &Request, name: &str, now_ms: u64) -> Result<Option<Self>, Response> {
        let number = |what| request.parameter(&format!("{name}_{what}"))?.parse::<i64>().ok();
        let (Some(age), Some(incr)) = (number("age"), number("incr")) else {
            return Ok(None);
        };
        let refuse = || {
            let text = format!("Invalid range parameters: age {age}, incr {incr}");
            Response::bad_request(&text)
        };
        let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        let age_s = positive(age).filter(|age| *age <= AGE_S_MAX).ok_or_else(refuse)?;
        let step_s = positive(incr).filter(|incr| *incr <= AGE_S_MAX).ok_or_else(refuse)?;
        let steps = age_s / step_s;
        if steps > STEPS_MAX {
            return Err(refuse());
        }
        let step_ms = step_s * 1000;
        Ok(Some(Self { newest_ms: now_ms - now_ms % step_ms, step_ms, steps }))
    }
}

/// Figures at the times that were asked for, the newest first; none where nobody asked.
#[derive(Debug)]
pub struct Samples<const N: usize>(Option<Vec<(u64, [u64; N])>>);

impl<const N: usize> Samples<N> {
    /// Only what is now was asked for.
    pub fn none() -> Self {
        Self(None)
    }

    /// What a history knows of the times.
    pub fn of(range: Option<Range>, history: &History<N>) -> Self {
        Self(range.map(|range| {
            let times =
                (0..=range.steps).map_while(|n| range.newest_ms.checked_sub(n * range.step_ms));
            times.map_while(|at_ms| Some((at_ms, *history.at(at_ms)?))).collect()
        }))
    }

    /// The `..._details` of a figure that changes so much each second: its samples and what they
    /// are on average, where they were asked for.
    #[allow(clippy::cast_precision_loss, reason = "averages are rounded anyway")]
    pub fn details(&self, rate: f32, figure: impl Fn(&[u64; N]) -> u64) -> Value {
        let mut shown = self::rate(rate);
        let Some(samples) = &self.0 else {
            return shown;
        };
        let values: Vec<(u64, u64)> =
            samples.iter().map(|(at_ms, figures)| (*at_ms, figure(figures))).collect();
        let mut avg_rate = 0.0;
        if let (Some((newest_ms, newest)), Some((oldest_ms, oldest))) =
            (values.first(), values.last())
            && newest_ms > oldest_ms
        {
            let seconds = (newest_ms - oldest_ms) as f64 / 1000.0;
            avg_rate = (*newest as f64 - *oldest as f64) / seconds;
        }
        let sum: f64 = values.iter().map(|(_, value)| *value as f64).sum();
        shown["avg_rate"] = avg_rate.into();
        shown["avg"] = (sum / values.len().max(1) as f64).into();
        let one = |(at_ms, value): &(u64, u64)| json!({ "sample": value, "timestamp": at_ms });
        shown["samples"] = values.iter().map(one).collect();
        shown
    }

    /// The same of one figure for each of another, by how much both grew from one time to the next,
    /// divided by `unit`: how long a sync took on average, for one.
    #[allow(clippy::cast_precision_loss, reason = "averages are rounded anyway")]
    pub fn ratios(&self, (of, per): (usize, usize), unit: f64) -> Value {
        let mut shown = self::rate(0.0);
        let Some(samples) = &self.0 else {
            return shown;
        };
        let one = |pair: &[(u64, [u64; N])]| {
            let grown = |figure: usize| pair[0].1[figure].saturating_sub(pair[1].1[figure]);
            (pair[0].0, grown(of) as f64 / grown(per).max(1) as f64 / unit)
        };
        let values: Vec<(u64, f64)> = samples.windows(2).map(one).collect();
        let sum: f64 = values.iter().map(|(_, value)| value).sum();
        shown["avg_rate"] = 0.0.into();
        shown["avg"] = (sum / values.len().max(1) as f64).into();
        let one = |(at_ms, value): &(u64, f64)| json!({ "sample": value, "timestamp": at_ms });
        shown["samples"] = values.iter().map(one).collect();
        shown
    }
}

/// How much a figure changes each second, as it is written.
pub fn rate(rate: f32) -> Value {
    // To a thousandth: what is written is no longer than what is known.
    json!({ "rate": (f64::from(rate) * 1000.0).round() / 1000.0 })
}

#[cfg(test)]
mod tests {
    use super::super::request::{Head, parse};
    use super::*;
    use crate::broker::history::Span;

    fn request(query: &str) -> Request {
        let text = format!("GET /api/overview?{query} HTTP/1.1\r\nHost: h\r\n\r\n");
        match parse(text.as_bytes(), 0) {
            Ok(Head::Complete(request, ..)) => *request,
            other => panic!("{query}: {other:?}"),
        }
    }

    fn range(query: &str, now_ms: u64) -> Option<Range> {
        Ranges::at(&request(query), now_ms).ok().unwrap().msg_rates
    }

    #[test]
    fn a_range_needs_both_of_its_numbers_and_sane_ones() {
        for query in
            ["", "msg_rates_age=60", "msg_rates_incr=5", "msg_rates_age=x&msg_rates_incr=5"]
        {
            assert_eq!(Ranges::at(&request(query), 1).ok(), Some(Ranges::default()), "{query}");
        }
        for (age, incr) in [(0, 5), (60, 0), (-60, 5), (60, -5), (151, 1), (i64::MAX, i64::MAX)] {
            let query = format!("lengths_age={age}&lengths_incr={incr}");
            let refused = Ranges::at(&request(&query), 1).expect_err(&query);
            let text = format!("Invalid range parameters: age {age}, incr {incr}");
            assert_eq!((refused.status, refused), (400, Response::bad_request(&text)));
        }
        let asked = range("msg_rates_age=86400&msg_rates_incr=720", 1_000_000);
        assert_eq!(asked, Some(Range { newest_ms: 720_000, step_ms: 720_000, steps: 120 }));
    }

    #[test]
    fn samples_lie_on_the_steps_and_end_where_the_history_begins() {
        let mut history = History::<1>::new(0, &[Span { step_ms: 0, age_ms: 60_000 }]);
        for (at_ms, count) in [(12_000, 5), (17_000, 10), (22_000, 30)] {
            history.record(at_ms, [count]);
        }
        let asked = range("msg_rates_age=20&msg_rates_incr=5", 27_999);
        let details = Samples::of(asked, &history).details(0.2, |figures| figures[0]);
        let sample = |at_ms: u64, count: u64| json!({ "sample": count, "timestamp": at_ms });
        let expected = json!({
            "rate": 0.2,
            "avg_rate": 2.5,
            "avg": (30.0 + 10.0 + 5.0) / 3.0,
            "samples": [sample(25_000, 30), sample(20_000, 10), sample(15_000, 5)],
        });
        assert_eq!(details, expected);
        let none = Samples::<1>::none().details(-1.5, |figures| figures[0]);
        assert_eq!(none, json!({ "rate": -1.5 }));
        let early = range("msg_rates_age=20&msg_rates_incr=5", 4_000);
        let details = Samples::of(early, &history).details(0.0, |figures| figures[0]);
        assert_eq!(details, json!({ "rate": 0.0, "avg_rate": 0.0, "avg": 0.0, "samples": [] }));
    }

    #[test]
    fn a_ratio_is_of_what_both_grew_by_and_nothing_where_nothing_grew() {
        let mut history = History::<2>::new(0, &[Span { step_ms: 0, age_ms: 60_000 }]);
        for (at_ms, nanos, syncs) in [(5_000, 100, 1), (10_000, 700, 4), (15_000, 700, 4)] {
            history.record(at_ms, [nanos, syncs]);
        }
        let asked = range("msg_rates_age=20&msg_rates_incr=5", 15_000);
        let shown = Samples::of(asked, &history).ratios((0, 1), 100.0);
        let expected = json!([
            { "sample": 0.0, "timestamp": 15_000 }, { "sample": 2.0, "timestamp": 10_000 },
        ]);
        assert_eq!((&shown["samples"], &shown["avg"]), (&expected, &json!(1.0)));
    }
}
