//! What can be expected of this machine, before a broker relies on it? `leveret --self-test DIR`
//! measures the disk below a directory (`disk`), asks the kernel for clocks and limits (`host`),
//! and says in words what to expect and what to change. Takes a few seconds, and leaves nothing
//! behind.

mod disk;
mod host;
mod mounts;

use std::io;
use std::path::Path;

use super::config::Config;

/// The exit code where the directory cannot be written to.
pub const EXIT_CODE: u8 = 73;

/// What was found out, for a person to read.
#[derive(Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,
    expectations: Vec<String>,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    what: &'static str,
    found: String,
    /// What is wrong with it and what to change, if something is.
    advice: Option<String>,
}

/// Looks at the machine and at the file system of `directory`, which has to be there.
///
/// # Errors
/// The directory cannot be written to; the text names what failed.
pub fn run(directory: &Path, config: &Config) -> io::Result<Report> {
    let mut report = Report::default();
    disk::look(directory, config, &mut report)?;
    host::look(config, &mut report);
    Ok(report)
}

impl Report {
    /// Whether nothing has to be changed.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.advice.is_none())
    }

    /// All of it as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Finding { what, found, advice } in &self.findings {
            let sign = if advice.is_none() { "ok  " } else { "WARN" };
            text += &format!("{sign} {what:<13} {found}\n");
            text.extend(advice.iter().map(|advice| format!("{:19}{advice}\n", "")));
        }
        if !self.expectations.is_empty() {
            text += "\nWhat to expect here:\n";
            text.extend(self.expectations.iter().map(|line| format!("  {line}\n")));
        }
        text += match self.findings.iter().filter(|finding| finding.advice.is_some()).count() {
            0 => "\nNothing has to be changed.\n".to_owned(),
            1 => "\n1 warning.\n".to_owned(),
            more => format!("\n{more} warnings.\n"),
        }
        .as_str();
        text
    }

    fn note(&mut self, what: &'static str, found: String, advice: Option<String>) {
        self.findings.push(Finding { what, found, advice });
    }

    fn expect(&mut self, line: String) {
        self.expectations.push(line);
    }
}

/// Bytes as people say them.
fn bytes_text(bytes: u64) -> String {
    match bytes {
        u64::MAX => "any number of bytes".to_owned(),
        _ if bytes >= 10 << 30 => format!("{} GiB", bytes >> 30),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_to_change_and_what_to_expect() {
        let mut report = Report::default();
        report.note("disk", "fast".to_owned(), None);
        report.expect("much".to_owned());
        assert!(report.is_good());
        assert!(report.text().contains("ok   disk          fast\n"), "{}", report.text());
        assert!(report.text().contains("What to expect here:\n  much\n"));
        assert!(report.text().ends_with("Nothing has to be changed.\n"));
        report.note("clock", "slow".to_owned(), Some("change it".to_owned()));
        assert!(!report.is_good());
        let expected = "WARN clock         slow\n                   change it\n";
        assert!(report.text().contains(expected), "{}", report.text());
        assert!(report.text().ends_with("1 warning.\n"));
    }

    #[test]
    fn this_machine_is_measured_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let report = run(directory.path(), &Config::default()).unwrap();
        let text = report.text();
        for what in ["file system", "allocation", "sync", "free space", "open files", "memory"] {
            assert!(report.findings.iter().any(|finding| finding.what == what), "{what}: {text}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_is_missing_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let error = run(&missing, &Config::default()).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }
}
