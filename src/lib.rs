//! Leveret: a durable AMQP 0-9-1 broker for small hosts. One process, one event loop, and a
//! publisher confirm that means *this message survives a power cut*.
//!
//! This page is the map. Imports point down the table only.
//!
//! | module | one job |
//! |---|---|
//! | [`sys`] | the few system calls that std lacks, each a safe function |
//! | [`amqp`] | bytes to AMQP values and back, borrowing from the input |
//! | [`tls`] | keys and certificates: read, checked, chosen; who a certificate says somebody is |
//! | [`outbox`] | what waits to be sent, on connections of every kind |
//! | [`websocket`] | a stream of bytes inside WebSocket frames |
//! | [`storage`] | the log: append, settle, sync, recover, compact; the queues' index |
//! | [`broker`] | who gets which message; no sockets, no clock |
//! | [`session`] | one AMQP connection: bytes in, bytes out, no socket |
//! | [`management`] | one HTTP connection and what operators ask there: bytes in, bytes out |
//! | [`node`] | broker, sessions, deadlines: the turn, without sockets and clock |
//! | [`net`] | sockets, readiness, flushing; alone in waiting and reading the clock |
//! | [`daemon`] | configuration, start-up, shutdown, signals, logging |
//!
//! # Threads
//!
//! One thread runs the broker and owns every socket, queue and segment. A second one, the
//! storage helper, does what would make the loop wait for the disk: syncing, preparing the next
//! segment, removing old ones. It owns nothing; it gets file handles and gives back "done up
//! to here". There is no lock on broker state, because it is not shared.
//!
//! Two things are the process's and no broker's. There is one logger in a process, so there is one
//! list of the last lines of the log that are to be published ([`node::LogTail`], in
//! `daemon::logging`): whoever logs appends to it, the turn takes from it, and it is bounded. And
//! there is one allocator, which counts the bytes that it has given out
//! ([`sys::CountedAllocator`]).
//!
//! # The way of a publish
//!
//! [`net`] reads a socket into its one buffer and lends it, by way of the [`node::Node`], to the
//! [`session::Session`]. The session finds `basic.publish`, header and body where they lie,
//! resolves exchange and key to queues (or remembers that it did, see `session::channel`), and
//! calls [`broker::Broker::enqueue`]. The broker appends one record to the log, however many queues
//! get it, and pushes a 16-byte entry to each queue. At the end of the turn the records are written
//! with one call; the helper syncs; the durable position moves; the session's `Confirms` releases
//! what lies before it as one `basic.ack`.
//!
//! A transient message whose queues are empty and have consumers without acks at hand is not
//! stored at all: it goes from the read buffer to their outboxes ([`broker::flow::hand_over`]).
//!
//! # The way of a delivery and its ack
//!
//! A queue that has messages and a consumer in line is *dirty*. The turn takes the dirty queues
//! and asks [`broker::Broker::next_delivery`] until nobody can take more; each delivery is
//! written into the outbox of its session, small bodies copied, large ones as slices of the
//! mapped log. An ack sets one slot byte in memory; the log is told with the next write of the
//! turn, as ranges of neighbours, before anything is answered that the same client may rely on,
//! and within 5 ms otherwise. An ack is synced with whatever else is, or within a second: after a
//! crash, a message that was acked in the last moments may come once more, marked as redelivered.
//!
//! # The way of a message that stays
//!
//! Any segment in which nothing is alive is used again or removed, once the log says so. When most
//! of the log is dead and a few old messages or definitions keep its segments,
//! [`broker::Broker::compact`] has them moved to the end, a bounded amount a turn and no faster
//! than they become durable. Queues are told where their messages lie now; a delivery that is not
//! acked asks when it is settled (see `broker::flow::compaction`).
//!
//! # The way of an operator's request
//!
//! [`net`] accepts at the port of the HTTP API and at the Unix socket of the owner; the bytes go to
//! a [`management::Conversation`], which takes a request out of them and asks who sent it. The turn
//! works on it, within the budget that all requests share: a resource answers at once, or leaves
//! work that goes on in later turns and writes its answer piece by piece, as long as the client
//! takes them. What a request changed is answered once the log says that it is durable.
//!
//! # The way of what the broker itself says
//!
//! Copies of messages for the firehose are published where their messages are
//! (`broker::flow::firehose`); events and lines of the log wait in a bounded list and are published
//! by the turn (`broker::flow::notices`). Nobody's message ever waits for them: what finds no room
//! is dropped and counted.
//!
//! # The turn
//!
//! It is drawn at the top of [`node::turn`], one line a step.
//!
//! # Where this differs from what one might expect, and why
//!
//! - *Short strings are bytes*, not text: any name that a client sends is a name. (RabbitMQ
//!   wants UTF-8 in declarations and takes any bytes in publishes.) [`amqp::Name`] owns one.
//! - *Delivery counts end at 254*, the last that a slot byte can hold, so a higher delivery limit
//!   acts as 253.
//! - *A transaction is one record* of the log, or a row of records that count together, with its
//!   messages and the slots that it settles: atomic by its make. When one of its messages has to be
//!   durable, all of them are stored in it, so that ids grow in publish order.
//! - *The keys of BCC are stored with their message* and left out when it is sent: they route it
//!   again when it dies or its delay is over (`broker::flow::blind`). All other properties are
//!   stored and sent as they came.
//! - *Deliveries come before the transient ring is written.* What was consumed at once is never
//!   written at all. The durable log is written, and its sync begun, before the deliveries.
//! - *What has no room in the log is not taken from the socket*: it comes again when there is some.
//! - *A session that has to wait for the disk stops reading*: for the definition that it made,
//!   or for the commit of its transaction. Answers so stay in order without a queue of them.
//! - *The mapping of the queue index's scratch file* is a further `unsafe` island,
//!   `storage::index::scratch`, beside `storage::file::mapping`.
//!
//! # Packages
//!
//! mio, slab, bytes, memmap2, crc32fast, log, env_logger and getopts carry the broker. sha2, base64
//! and getrandom hash passwords, md-5 those that RabbitMQ hashed long ago, sha1 the keys of
//! WebSocket clients, as its handshake asks for, and getrandom salts segments; fancy-regex matches
//! permission patterns, which use look-aheads; foldhash hashes the names of bindings and
//! definitions, of which there may be a million at start, and the numbers of segments; rustix makes
//! system calls without `unsafe`, and libc has the few questions to the allocator that rustix has
//! not; signal-hook catches signals. httparse finds the parts of a request's head in the HTTP API,
//! serde_json reads and writes the API's JSON, base64 reads the credentials of requests, and
//! flate2, with a backend in Rust, compresses answers.
//!
//! rustls speaks TLS, with ring for the arithmetic: no C library, buffers with limits, floods of
//! renegotiations and of new keys refused. x509-parser finds the names in certificates, which
//! rustls does not tell. rustls-native-certs finds the CAs that a system trusts, for the tools.
//!
//! The load generator, `src/bin/leveret-bench`, is a package of its own in this workspace, so
//! that the daemon is built without what only its figures need: hdrhistogram, indicatif, serde
//! and serde_json. Only the tests use tempfile, and lapin with tokio and tokio-stream: a client
//! that no one here wrote and what runs it; rcgen makes certificates for them, and ring
//! encrypts what no client would send. divan runs the
//! benches.

pub mod amqp;
pub mod broker;
pub mod daemon;
pub mod management;
pub mod net;
pub mod node;
pub mod outbox;
pub mod session;
pub mod storage;
pub mod sys;
pub mod tls;
pub mod websocket;
