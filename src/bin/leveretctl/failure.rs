//! Why did it not work, and how does a script learn that?

use std::io;

use crate::http::Answer;

/// What ended the program early.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong; the usage belongs with it.
    Validation {
        /// The exit code.
        exit: Exit,
        /// What is wrong with it.
        text: String,
    },
    /// Everything else.
    Refused {
        /// The exit code.
        exit: Exit,
        /// All that is printed.
        text: String,
    },
    /// Standard output is gone.
    Output(io::Error),
    /// Somebody ended the program with this signal, or the key for it.
    Signal(i32),
}

/// Exit codes, those of `sysexits.h`, used as rabbitmqctl uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command was used incorrectly.
    Usage = 64,
    /// What was given is wrong.
    DataError = 65,
    /// There is no such user.
    NoUser = 67,
    /// The broker is not there, or refused.
    Unavailable = 69,
    /// The broker failed.
    Software = 70,
    /// A file cannot be written.
    InputOutput = 74,
    /// It took too long.
    TemporaryFailure = 75,
    /// We may not.
    NoPermission = 77,
}

impl Failure {
    /// Arguments of the right number but not of the right kind.
    pub fn bad_argument(text: impl Into<String>) -> Failure {
        Failure::Validation { exit: Exit::DataError, text: text.into() }
    }

    /// Arguments that this verb does not take.
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure::Validation { exit: Exit::Usage, text: text.into() }
    }

    /// A sentence, printed below the word `Error`.
    pub fn error(exit: Exit, text: impl AsRef<str>) -> Failure {
        Failure::Refused { exit, text: format!("Error:\n{}", text.as_ref()) }
    }

    /// A sentence, printed as it is.
    pub fn plain(exit: Exit, text: impl Into<String>) -> Failure {
        Failure::Refused { exit, text: text.into() }
    }

    /// What `answer` says, which is not what was hoped for.
    pub fn answered(answer: &Answer) -> Failure {
        let exit = match answer.status {
            401 | 403 => Exit::NoPermission,
            500 => Exit::Software,
            _ => Exit::Unavailable,
        };
        Failure::error(exit, answer.reason())
    }

    /// There is no such user, in the words of the verbs that change one.
    pub fn no_user(name: &str) -> Failure {
        Failure::error(Exit::NoUser, format!("User \"{name}\" does not exist"))
    }

    /// There is no such virtual host.
    pub fn no_vhost(name: &str) -> Failure {
        Failure::plain(Exit::DataError, format!("Virtual host '{name}' does not exist"))
    }

    /// The text that should be JSON is not.
    pub fn not_json(error: &serde_json::Error) -> Failure {
        Failure::error(Exit::Unavailable, format!("JSON decoding error. Reason: {error}"))
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Validation { exit, .. } | Failure::Refused { exit, .. } => *exit,
            Failure::Output(_) | Failure::Signal(_) => Exit::InputOutput,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}
