//! What is one case? A command line, what it asks the broker, and what comes out.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::server::Server;

/// A command line and everything that it leads to.
#[derive(Clone, Copy)]
pub struct Case {
    /// The arguments; single quotes hold words together.
    pub line: &'static str,
    /// Standard input.
    pub stdin: &'static str,
    /// The requests in order, each with the status and body of its answer.
    pub asks: &'static [(&'static str, u16, &'static str)],
    /// All of standard output.
    pub stdout: &'static str,
    /// All of standard error, up to the usage.
    pub stderr: &'static str,
    /// The exit code.
    pub code: i32,
}

impl Case {
    /// One that works, asks nothing and says nothing; for what a case does not mention.
    pub const NONE: Case = Case { line: "", stdin: "", asks: &[], stdout: "", stderr: "", code: 0 };

    /// Runs it; every difference from what it says.
    pub fn differences(&self, program: &Path) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("leveret-data");
        fs::create_dir(&data).unwrap();
        let answers = self.asks.iter().map(|(_, status, body)| (*status, *body));
        let server = Server::start(&data.join("leveret.sock"), answers);
        let mut child = Command::new(program)
            .args(words(self.line))
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that does not read its input may have ended before it came.
        let _ = stdin.write_all(self.stdin.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let requests = server.stop().join("\n");
        let asks: Vec<&str> = self.asks.iter().map(|(request, _, _)| *request).collect();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let stderr = text(&output.stderr);
        let stderr = stderr.split("\n\nUsage\n").next().unwrap_or("").to_owned();
        let mut differences = Vec::new();
        for (what, is, should) in [
            ("requests", requests, asks.join("\n")),
            ("stdout", text(&output.stdout), self.stdout.to_owned()),
            ("stderr", stderr, self.stderr.to_owned()),
            ("code", format!("{:?}", output.status.code()), format!("{:?}", Some(self.code))),
        ] {
            if is != should {
                let line = self.line;
                differences.push(format!("{line}: {what} is\n{is}\nand should be\n{should}\n"));
            }
        }
        differences
    }
}

/// Words as a shell separates them, with single quotes alone.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}
