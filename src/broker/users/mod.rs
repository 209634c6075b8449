//! Who may log in, and what may they do?

pub mod access;
pub mod logins;
pub mod password;
pub mod pattern;
pub mod user;
