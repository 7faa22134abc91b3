//! Bodies of requests: pure functions of a delivery, with the limits of each service.

pub mod alertmanager;
pub mod cloudevents;
#[cfg(feature = "deliver")]
pub mod mail;
pub mod pagerduty;
pub mod slack;
#[cfg(test)]
mod tests;
pub mod webhook;
