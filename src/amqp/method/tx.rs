//! Which methods has class tx (90): transactions?

use super::layout::method;

method! {
    /// publishes and acks on this channel are to wait for a commit.
    "tx.select" (90, 10)
    pub struct Select {}
    wire {}
}

method! {
    /// from now on.
    "tx.select-ok" (90, 11)
    pub struct SelectOk {}
    wire {}
}

method! {
    /// what waited takes effect.
    "tx.commit" (90, 20)
    pub struct Commit {}
    wire {}
}

method! {
    /// and is durable.
    "tx.commit-ok" (90, 21)
    pub struct CommitOk {}
    wire {}
}

method! {
    /// what waited is dropped.
    "tx.rollback" (90, 30)
    pub struct Rollback {}
    wire {}
}

method! {
    /// done.
    "tx.rollback-ok" (90, 31)
    pub struct RollbackOk {}
    wire {}
}
