//! The sink against programs of others: a mail server, aiosmtpd, an Alertmanager and a Prometheus. Ignored by default;
//! `cargo xtask test` installs them where it can, and runs them.

#[path = "peers/mail.rs"]
mod aiosmtpd;
mod common;
#[path = "peers/process.rs"]
mod process;
#[path = "peers/alertmanager.rs"]
mod prometheus_alertmanager;
#[path = "peers/prometheus.rs"]
mod prometheus_server;
