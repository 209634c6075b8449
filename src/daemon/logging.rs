//! What does a line of the log look like, and which lines are written.
//!
//! One entry is one line on standard error: UTC time with milliseconds, level, text; below
//! info also the module. Control characters are escaped, so that nothing a peer chose can
//! pass for a line of ours. Standard error is what systemd, Docker and shells collect. Where it
//! goes to the journal, which notes time and severity itself, a line is the severity as in
//! sd-daemon(3) and the text.

use std::env;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use env_logger::Builder;
use env_logger::fmt::{Formatter, Target};
use log::{Level, LevelFilter, Record};

use crate::node::LogTail;
use crate::sys;

/// Lines that may have to be published as well; there is one logger in a process, and so one of
/// these.
pub(super) static TAIL: LogTail = LogTail::new();

/// Starts logging, once in a process.
///
/// `RUST_LOG`, where it is set, is used instead of `level`: it can ask for single modules.
pub fn start(level: LevelFilter) {
    let filters = env::var(FILTERS).ok().filter(|text| !text.is_empty());
    // The logger lets everything pass: what is severe enough may change while the broker runs.
    let journal = env::var("JOURNAL_STREAM").unwrap_or_default();
    let shape = match sys::is_journal(&io::stderr(), &journal) {
        true => write_for_journal,
        false => write_line,
    };
    builder(filters.as_deref(), LevelFilter::Trace, shape).target(Target::Stderr).init();
    if filters.is_none() {
        log::set_max_level(level);
    }
}

/// How a line is written.
type Shape = fn(&mut Formatter, &Record<'_>) -> io::Result<()>;

/// A logger with lines of this shape, which logs what `filters` let pass or, without any, what is
/// at least as severe as `level`.
fn builder(filters: Option<&str>, level: LevelFilter, shape: Shape) -> Builder {
    let mut builder = Builder::new();
    match filters {
        Some(text) => builder.parse_filters(text),
        None => builder.filter_level(level),
    };
    builder.format(shape);
    builder
}

fn write_line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let level = record.level();
    let style = out.default_level_style(level);
    let time = out.timestamp_millis();
    write!(out, "{time} {style}{level:<5}{style:#} ")?;
    write_text(out, record)
}

fn write_for_journal(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let severity = match record.level() {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    write!(out, "<{severity}>")?;
    write_text(out, record)
}

fn write_text(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let level = record.level();
    if level > Level::Info {
        write!(out, "{}: ", record.target())?;
    }
    let mut text = String::new();
    // Only a Display that fails by itself can fail here; the line then ends where it did.
    let _ = write!(Escaped(&mut text), "{}", record.args());
    if record.target().starts_with(OURS) {
        TAIL.push(level, &text);
    }
    writeln!(out, "{text}")
}

/// Escapes control characters on their way into a string.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character.is_control() {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

const FILTERS: &str = "RUST_LOG";

/// What our modules begin with; what others log is not published, which might make them log.
const OURS: &str = "leveret";

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use log::Log;

    use super::*;

    /// What a logger wrote.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(filters: Option<&str>, records: &[(Level, &str, &str)]) -> String {
        lines_of(write_line, filters, records)
    }

    fn lines_of(shape: Shape, filters: Option<&str>, records: &[(Level, &str, &str)]) -> String {
        let written = Written::default();
        let target = Target::Pipe(Box::new(written.clone()));
        let logger = builder(filters, LevelFilter::Debug, shape).target(target).build();
        for &(level, module, text) in records {
            logger.log(
                &Record::builder().level(level).target(module).args(format_args!("{text}")).build(),
            );
        }
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_is_utc_time_with_milliseconds_level_and_text() {
        let line = lines(None, &[(Level::Info, "leveret::net", "listening on 127.0.0.1:5672")]);
        let (time, rest) = line.split_once(' ').unwrap();
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000Z");
        assert_eq!(rest, "INFO  listening on 127.0.0.1:5672\n");
    }

    #[test]
    fn the_journal_gets_severity_and_text_and_no_time() {
        let records = [
            (Level::Error, "leveret::net", "broken\nnot a line"),
            (Level::Warn, "leveret::net", "odd"),
            (Level::Info, "leveret::net", "begun"),
            (Level::Debug, "leveret::net", "woken"),
        ];
        let expected = "<3>broken\\nnot a line\n<4>odd\n<6>begun\n<7>leveret::net: woken\n";
        assert_eq!(lines_of(write_for_journal, None, &records), expected);
    }

    #[test]
    fn below_info_the_module_is_named() {
        let line = lines(None, &[(Level::Debug, "leveret::net", "woken")]);
        assert!(line.ends_with("DEBUG leveret::net: woken\n"), "{line}");
    }

    #[test]
    fn an_entry_stays_one_line_whatever_a_peer_put_into_it() {
        let line = lines(None, &[(Level::Warn, "x", "queue 'a\nERROR b\r\u{1b}[31m' é")]);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.ends_with("WARN  queue 'a\\nERROR b\\r\\u{1b}[31m' é\n"), "{line}");
    }

    #[test]
    fn filters_choose_modules() {
        let records = [
            (Level::Debug, "leveret::net", "wanted"),
            (Level::Info, "leveret::storage", "unwanted"),
            (Level::Error, "leveret::storage", "also wanted"),
        ];
        let text = lines(Some("error,leveret::net=debug"), &records);
        assert!(text.contains("wanted") && text.contains("also wanted"));
        assert!(!text.contains("unwanted"));
    }
}
