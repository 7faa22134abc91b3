//! The sink against programs of others: a mail server, aiosmtpd, and an Alertmanager. Ignored by default;
//! `cargo xtask test` installs them where it can, and runs them.

#[path = "peers/mail.rs"]
mod aiosmtpd;
mod common;
#[path = "peers/alertmanager.rs"]
mod prometheus_alertmanager;
