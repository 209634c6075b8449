//! How are figures written for Prometheus? Its text format, version 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt;
use std::io::Write;

/// What an answer in this format says that it is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// Whether a figure only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows while the process runs.
    Counter,
    /// It counts times up to several bounds.
    Histogram,
}

/// A figure's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// A number of things.
    Count(u64),
    /// A length of time.
    Nanos(u64),
}

impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NANOS_PER_SECOND: u64 = 1_000_000_000;
        match self {
            Self::Count(count) => write!(out, "{count}"),
            Self::Nanos(nanos) => {
                write!(out, "{}.{:09}", nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND)
            }
        }
    }
}

/// Says what the samples that follow are; once for each name.
pub fn begin(out: &mut Vec<u8>, name: &str, kind: Kind, help: &str) {
    let kind = match kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Histogram => "histogram",
    };
    write(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
}

/// Writes one sample.
pub fn sample(out: &mut Vec<u8>, name: &str, labels: &[(&str, &[u8])], figure: Figure) {
    out.extend_from_slice(name.as_bytes());
    for (index, (label, value)) in labels.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        write(out, format_args!("{label}=\""));
        escape(out, value);
        out.push(b'"');
    }
    if !labels.is_empty() {
        out.push(b'}');
    }
    write(out, format_args!(" {figure}\n"));
}

/// Writes the only sample of its name.
pub fn single(out: &mut Vec<u8>, name: &str, kind: Kind, help: &str, figure: Figure) {
    begin(out, name, kind, help);
    sample(out, name, &[], figure);
}

/// Writes a histogram of times, of which so many were up to each bound in milliseconds.
pub fn histogram(
    out: &mut Vec<u8>,
    name: &str,
    help: &str,
    up_to: impl Iterator<Item = (Option<u64>, u64)>,
    sum_ms: u64,
) {
    begin(out, name, Kind::Histogram, help);
    let mut all = 0;
    for (bound_ms, count) in up_to {
        all = count;
        let bound = match bound_ms {
            Some(ms) if ms % 1000 == 0 => (ms / 1000).to_string(),
            Some(ms) => format!("{}.{:03}", ms / 1000, ms % 1000).trim_end_matches('0').to_owned(),
            None => "+Inf".to_owned(),
        };
        let labels: [(&str, &[u8]); 1] = [("le", bound.as_bytes())];
        sample(out, &format!("{name}_bucket"), &labels, Figure::Count(count));
    }
    write(out, format_args!("{name}_sum {}.{:03}\n", sum_ms / 1000, sum_ms % 1000));
    sample(out, &format!("{name}_count"), &[], Figure::Count(all));
}

/// Label values are UTF-8 in which three characters are escaped; in a name that is none, what is
/// not UTF-8 is replaced.
fn escape(out: &mut Vec<u8>, value: &[u8]) {
    for character in String::from_utf8_lossy(value).chars() {
        match character {
            '\\' => out.extend_from_slice(b"\\\\"),
            '"' => out.extend_from_slice(b"\\\""),
            '\n' => out.extend_from_slice(b"\\n"),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn write(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_bounds_in_seconds() {
        let mut out = Vec::new();
        let up_to = [(Some(1), 2), (Some(100), 2), (Some(10_000), 5), (None, 6)];
        histogram(&mut out, "a_seconds", "How long.", up_to.into_iter(), 61_005);
        let expected = "# HELP a_seconds How long.\n# TYPE a_seconds histogram\n\
                        a_seconds_bucket{le=\"0.001\"} 2\na_seconds_bucket{le=\"0.1\"} 2\n\
                        a_seconds_bucket{le=\"10\"} 5\na_seconds_bucket{le=\"+Inf\"} 6\n\
                        a_seconds_sum 61.005\na_seconds_count 6\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn samples_follow_what_they_are_and_odd_names_are_escaped() {
        let mut out = Vec::new();
        single(&mut out, "a_seconds", Kind::Gauge, "How long.", Figure::Nanos(1_500_000_000));
        begin(&mut out, "b_total", Kind::Counter, "How many.");
        let labels: [(&str, &[u8]); 2] = [("vhost", b"/"), ("queue", b"a\"b\\c\nd\xffe")];
        sample(&mut out, "b_total", &labels, Figure::Count(7));
        let expected = "# HELP a_seconds How long.\n# TYPE a_seconds gauge\n\
                        a_seconds 1.500000000\n\
                        # HELP b_total How many.\n# TYPE b_total counter\n\
                        b_total{vhost=\"/\",queue=\"a\\\"b\\\\c\\nd\u{fffd}e\"} 7\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
