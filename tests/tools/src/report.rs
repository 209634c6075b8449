//! What went wrong, call by call.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::process::ExitCode;

use crate::absent;

/// Collects what the calls said.
#[derive(Default)]
pub struct Report {
    calls: usize,
    faults: BTreeSet<String>,
}

impl Report {
    /// A call that has to succeed; its answer, whose fields have to be there.
    pub fn call<T: Debug, E: Debug>(&mut self, name: &str, result: Result<T, E>) -> Option<T> {
        self.calls += 1;
        match result {
            Ok(answer) => {
                for field in absent::fields(&format!("{answer:#?}")) {
                    if !absent::may_be(&field) {
                        self.fault(name, format_args!("{field} is absent"));
                    }
                }
                Some(answer)
            }
            Err(error) => {
                let said: String = format!("{error:?}").chars().take(600).collect();
                self.fault(name, said);
                None
            }
        }
    }

    /// A list that has to have something in it.
    pub fn list<T: Debug, E: Debug>(&mut self, name: &str, result: Result<Vec<T>, E>) -> Vec<T> {
        let found = self.call(name, result);
        if found.as_ref().is_some_and(Vec::is_empty) {
            self.fault(name, "the list is empty");
        }
        found.unwrap_or_default()
    }

    /// A call that has to be refused.
    pub fn refused<T: Debug, E: Debug>(&mut self, name: &str, result: Result<T, E>) {
        self.calls += 1;
        if let Ok(answer) = result {
            self.fault(name, format_args!("was not refused: {answer:?}"));
        }
    }

    /// What has to hold after a call.
    pub fn holds(&mut self, name: &str, what: &str, holds: bool) {
        if !holds {
            self.fault(name, format_args!("does not hold: {what}"));
        }
    }

    /// Says what was found.
    pub fn close(self) -> ExitCode {
        for fault in &self.faults {
            println!("{fault}");
        }
        println!("{} calls, {} faults", self.calls, self.faults.len());
        if self.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn fault(&mut self, name: &str, what: impl Display) {
        self.faults.insert(format!("{name}: {what}"));
    }
}
