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
    /// How many are at most so large, for several bounds ([`histogram`]).
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

/// Writes how many things there are of which size: for each bound, as it is written, how many are
/// at most so large, and in the end all; `sum` is the size of all together.
pub fn histogram(
    out: &mut Vec<u8>,
    name: &str,
    help: &str,
    labels: &[(&str, &[u8])],
    up_to: impl Iterator<Item = (Option<String>, u64)>,
    sum: Figure,
) {
    begin(out, name, Kind::Histogram, help);
    let bucket = format!("{name}_bucket");
    let mut all = 0;
    for (bound, count) in up_to {
        all = count;
        let bound = bound.as_deref().unwrap_or("+Inf").as_bytes();
        let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
        sample(out, &bucket, &labels, Figure::Count(count));
    }
    sample(out, &format!("{name}_count"), labels, Figure::Count(all));
    sample(out, &format!("{name}_sum"), labels, sum);
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
    fn a_histogram_counts_all_that_are_not_larger_than_each_bound() {
        let mut out = Vec::new();
        let up_to = [(Some("10"), 3), (Some("100"), 3), (None, 5)];
        let up_to = up_to.into_iter().map(|(bound, count)| (bound.map(str::to_owned), count));
        let labels: [(&str, &[u8]); 1] = [("protocol", b"p")];
        histogram(&mut out, "size_bytes", "How large.", &labels, up_to, Figure::Count(777));
        let expected = "# HELP size_bytes How large.\n# TYPE size_bytes histogram\n\
                        size_bytes_bucket{protocol=\"p\",le=\"10\"} 3\n\
                        size_bytes_bucket{protocol=\"p\",le=\"100\"} 3\n\
                        size_bytes_bucket{protocol=\"p\",le=\"+Inf\"} 5\n\
                        size_bytes_count{protocol=\"p\"} 5\nsize_bytes_sum{protocol=\"p\"} 777\n";
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
