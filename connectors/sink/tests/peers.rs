//! The sink against programs of others: a mail server, aiosmtpd. Ignored by default; `cargo xtask test`
//! installs it where it can, and runs them.

#[path = "peers/mail.rs"]
mod aiosmtpd;
mod common;
