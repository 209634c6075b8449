//! What do operators see of the node and its connections?

use std::net::SocketAddr;
use std::time::Instant;

use crate::broker::ConnectionKey;
use crate::broker::counters::Counters;
use crate::broker::key::Arena;
use crate::management::figures::NodeHistory;
use crate::management::{
    Channel, Connection, ConnectionChurn, Identity, NodeView, Resources, Traffic, Vitals,
};
use crate::session::Session;
use crate::sys;

use super::alarms::Alarms;
use super::endpoint::Endpoint;

/// The node as management sees it.
pub(super) struct View<'a> {
    pub(super) identity: &'a Identity,
    pub(super) amqp_count: usize,
    pub(super) endpoints: &'a Arena<ConnectionKey, Endpoint>,
    pub(super) alarms: Option<&'a Alarms>,
    pub(super) vitals: Vitals,
    pub(super) churn: ConnectionChurn,
    pub(super) started: Instant,
    pub(super) now: Instant,
    pub(super) history: &'a NodeHistory,
}

impl NodeView for View<'_> {
    fn identity(&self) -> &Identity {
        self.identity
    }

    fn connection_count(&self) -> usize {
        self.amqp_count
    }

    fn connection_at(&self, place: u32) -> Option<Connection<'_>> {
        let (key, endpoint) = self.endpoints.at(place)?;
        shown(key, endpoint)
    }

    fn peer_at(&self, place: u32) -> Option<SocketAddr> {
        let (_, endpoint) = self.endpoints.at(place)?;
        endpoint.session().map(Session::peer)
    }

    fn connection_places(&self) -> u32 {
        self.endpoints.places()
    }

    fn connection(&self, key: ConnectionKey) -> Option<Connection<'_>> {
        shown(key, self.endpoints.get(key)?)
    }

    fn channel(&self, connection: ConnectionKey, number: u16) -> Option<Channel> {
        let channel = self.endpoints.get(connection)?.session()?.channel(number)?;
        let (uncommitted, uncommitted_acks) = channel.uncommitted.unwrap_or_default();
        Some(Channel {
            key: channel.key,
            number,
            confirms: channel.unconfirmed.is_some(),
            transactional: channel.uncommitted.is_some(),
            prefetch: channel.prefetch,
            consumers: channel.consumers,
            unacked: channel.unacked,
            unconfirmed: channel.unconfirmed.unwrap_or(0),
            uncommitted,
            uncommitted_acks,
        })
    }

    fn resources(&self) -> Resources {
        let limits = self.alarms.map(Alarms::limits);
        let disk = limits.and_then(|limits| sys::disk_space(&limits.directory).ok());
        let uptime = self.now.saturating_duration_since(self.started);
        let files_max = sys::open_files_limit();
        Resources {
            process: std::process::id(),
            memory_bytes: sys::anonymous_memory_bytes().unwrap_or(0),
            memory_bytes_max: limits.map_or(0, |limits| limits.memory_bytes_max),
            memory_total_bytes: sys::memory_limit_bytes(),
            disk_free_bytes: disk.map_or(0, |disk| disk.available_bytes),
            disk_free_bytes_min: limits.map_or(0, |limits| limits.disk_free_bytes_min),
            machine_memory_bytes: sys::machine_memory_bytes(),
            files: sys::open_files().unwrap_or(self.endpoints.len() as u64),
            files_max,
            sockets: self.endpoints.len() as u64,
            sockets_max: files_max,
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
        }
    }

    fn vitals(&self) -> Vitals {
        self.vitals
    }

    fn churn(&self) -> ConnectionChurn {
        self.churn
    }

    fn history(&self) -> &NodeHistory {
        self.history
    }

    fn channel_counters(&self, connection: ConnectionKey, number: u16) -> Option<Counters> {
        self.endpoints.get(connection)?.session()?.channel_counters(number)
    }
}

/// An open connection.
fn shown(key: ConnectionKey, endpoint: &Endpoint) -> Option<Connection<'_>> {
    let session = endpoint.session()?;
    let subject = session.subject()?;
    let [(received_bytes, received_count), (sent_bytes, sent_count)] = session.traffic();
    Some(Connection {
        key,
        peer: session.peer(),
        local: session.local(),
        is_web: endpoint.is_web(),
        user: &subject.user,
        vhost: subject.vhost,
        vhost_name: &subject.vhost_name,
        mechanism: session.mechanism(),
        client_properties: session.client_properties(),
        channel_max: session.limits().channel_max,
        frame_bytes_max: session.frame_bytes_max(),
        heartbeat_s: session.limits().heartbeat_s,
        connected_at_ms: session.connected_at_ms(),
        is_blocked: session.is_blocked(),
        channels: session.channel_count(),
        traffic: Traffic { received_bytes, received_count, sent_bytes, sent_count },
        traffic_rates: endpoint.traffic_rates(),
        pending_bytes: session.outbox.len() + endpoint.carried_bytes(),
    })
}
