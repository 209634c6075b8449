//! What is a soak made of? A broker that comes and goes, what everybody shares, accounts of what
//! should be there, and the workers, each with a file of its own.

pub mod account;
pub mod churn;
pub mod classic;
pub mod dead;
pub mod delays;
pub mod deletes;
pub mod keeper;
pub mod link;
pub mod priorities;
pub mod publisher;
pub mod shift;
pub mod slow;
pub mod streams;
pub mod transactions;
pub mod watcher;
