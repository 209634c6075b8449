//! Which publishers have to wait for room, memory or disk, and what are they told?

use std::time::Duration;

use log::{info, warn};

use crate::broker::ConnectionKey;

use super::Node;
use super::alarms::{Alarms, ResourceLimits};
use super::deadlines::Due;
use super::endpoint::Peer;

/// How often more space is asked for while the disk is full.
const RETRY_SPACE_EVERY: Duration = Duration::from_millis(200);

/// The publishers that wait, and what they may wait for.
#[derive(Debug, Default)]
pub(super) struct Blocking {
    /// Publishing connections that are not read because the log has no room for now.
    blocked: Vec<ConnectionKey>,
    /// Looks at memory and disk, where there are limits.
    pub(super) alarms: Option<Alarms>,
    /// The operator knows that the log found no space for a segment.
    said_full: bool,
}

impl Blocking {
    /// How many connections are blocked.
    pub(super) fn blocked_count(&self) -> usize {
        self.blocked.len()
    }
}

impl Node {
    /// Blocks publishers while there is less memory or disk left than this.
    pub fn limit_resources(&mut self, limits: ResourceLimits) {
        self.blocking.alarms = Some(Alarms::new(limits, self.now));
        self.look_at_resources();
    }

    /// Other limits hold from now on.
    pub(super) fn change_limits(&mut self, change: impl FnOnce(&mut ResourceLimits)) {
        if let Some(alarms) = &mut self.blocking.alarms {
            change(alarms.limits_mut(self.now));
        }
        self.look_at_resources();
    }

    /// Looks at memory and disk when it is time.
    pub(super) fn look_at_resources(&mut self) {
        if let Some(alarms) = &mut self.blocking.alarms {
            let (memory, disk) = alarms.look(self.now);
            if alarms.take_unused() {
                self.broker.store.release_heap();
            }
            self.broker.set_alarms(memory, disk);
            self.deadlines.set(Due::Alarms, Some(alarms.next()));
        }
        if self.deadlines.has_come(Due::Space, self.now) {
            self.deadlines.set(Due::Space, Some(self.now + RETRY_SPACE_EVERY));
            self.broker.store.retry_space();
        }
    }

    /// The connection is not read until the log has room again.
    pub(super) fn block(&mut self, key: ConnectionKey) {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        if let Some(session) = endpoint.session_mut() {
            session.block(self.broker.block_reasons().text(), self.now);
            endpoint.touch(&mut self.touched, key);
        }
        if !endpoint.listed_blocked {
            endpoint.listed_blocked = true;
            self.blocking.blocked.push(key);
        }
    }

    /// Lets blocked publishers go on when there may be room, or tells them why there is none.
    pub(super) fn reconsider_blocked(&mut self) {
        // The transient ring uses free segments again without the helper, whose word nobody may
        // wait for then.
        let may_go_on = self.somebody_waits_for_room() && self.broker.has_room();
        if self.is_full() != self.blocking.said_full || may_go_on {
            self.room_changed();
        }
    }

    /// Whether a publisher, or something that moves by itself, waits for room.
    pub(super) fn somebody_waits_for_room(&self) -> bool {
        !self.blocking.blocked.is_empty() || self.broker.waits_for_room()
    }

    /// Whether the log finds no space. That space is looked for again does not mean that there is
    /// some: it is over when there is room.
    fn is_full(&self) -> bool {
        self.broker.store.is_disk_full() || self.blocking.said_full && !self.broker.has_log_room()
    }

    /// Space was found, or there is none: those that are blocked go on, or are told why.
    pub(super) fn room_changed(&mut self) {
        let is_full = self.is_full();
        if is_full != self.blocking.said_full {
            self.blocking.said_full = is_full;
            if is_full {
                warn!("disk alarm: no space for the message log, publishers are blocked");
            } else {
                info!("disk alarm is over: publishers go on");
            }
            self.deadlines.set(Due::Space, is_full.then(|| self.now + RETRY_SPACE_EVERY));
        }
        self.broker.room_changed();
        let has_room = self.broker.has_room();
        for key in std::mem::take(&mut self.blocking.blocked) {
            let Some(endpoint) = self.endpoints.get_mut(key) else {
                continue;
            };
            endpoint.listed_blocked = false;
            if !has_room {
                self.block(key);
                continue;
            }
            match &mut endpoint.peer {
                Peer::Amqp(session) => session.unblock(self.now),
                Peer::Http(conversation) => {
                    conversation.unblock();
                    self.after_change(key);
                    continue;
                }
            }
            endpoint.touch(&mut self.touched, key);
            self.resumed.push(key);
        }
    }
}
