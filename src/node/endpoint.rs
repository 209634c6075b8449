//! What does the node keep of a connection beside its session: the lists that it is on.

use std::time::Instant;

use crate::broker::ConnectionKey;
use crate::session::Session;

use super::deadlines::Deadlines;

/// One connection.
#[derive(Debug)]
pub struct Endpoint {
    /// What is spoken on it.
    pub session: Session,
    /// It is on the list of those that may have output.
    touched: bool,
    /// It is on the list of those that wait for the disk.
    pub(super) listed_waiting: bool,
    /// It is on the list of those whose confirms wait.
    pub(super) listed_confirming: bool,
    /// It is on the list of those that are blocked.
    pub(super) listed_blocked: bool,
    /// It is on the list of those whose buffers may be freed.
    pub(super) listed_warm: bool,
    /// It had output since its buffers were last looked at.
    pub(super) active: bool,
    /// When it will be asked what is due.
    deadline: Option<Instant>,
    /// Its socket is of no more use.
    pub(super) gone: bool,
}

impl Endpoint {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            touched: false,
            listed_waiting: false,
            listed_confirming: false,
            listed_blocked: false,
            listed_warm: false,
            active: false,
            deadline: None,
            gone: false,
        }
    }

    /// Puts it on the list of those that may have output, once.
    #[inline]
    pub(super) fn touch(&mut self, touched: &mut Vec<ConnectionKey>, key: ConnectionKey) {
        if !self.touched {
            self.touched = true;
            touched.push(key);
        }
    }

    /// It left the list of those that may have output.
    pub(super) fn untouch(&mut self) {
        self.touched = false;
    }

    /// Makes sure that it is asked when its next time limit comes. One that moved away is kept:
    /// then it is asked early, once.
    #[inline]
    pub(super) fn arm(
        &mut self,
        deadlines: &mut Deadlines,
        key: ConnectionKey,
        at: Option<Instant>,
    ) {
        if let Some(at) = at
            && self.deadline.is_none_or(|before| at < before)
        {
            deadlines.move_session(key, self.deadline, Some(at));
            self.deadline = Some(at);
        }
    }

    /// It left the table of deadlines because its own came.
    pub(super) fn deadline_came(&mut self) {
        self.deadline = None;
    }

    /// It leaves the table of deadlines.
    pub(super) fn disarm(&mut self, deadlines: &mut Deadlines, key: ConnectionKey) {
        deadlines.move_session(key, self.deadline.take(), None);
    }
}
