//! One try: a request by HTTP, a program, or a record in a topic.

use super::engine::Tried;
use super::request::Request;
use crate::config::{Format, Receiver, Target};
use crate::secret::Secrets;
use crate::send::http::{self, Service};
use crate::send::{CLOUDEVENT, Failure, JSON, command, timeout};
use anyhow::{Context, Result};
use perfstream_core::respond::is_own_topic;
use perfstream_log::{NewRecord, Place};

/// Executes the requests to one receiver; its secrets are resolved.
pub(super) struct Actor {
    receiver: Receiver,
    way: Way,
}

enum Way {
    Http { service: Service, format: Format },
    Command,
}

impl Actor {
    /// None if it is a receiver for people, which takes no actions.
    pub fn new(receiver: &Receiver, secrets: &Secrets) -> Result<Option<Actor>> {
        let way = match receiver.target() {
            Some(target @ Target::Webhook(webhook)) => {
                let service = Service::new(receiver, target, secrets);
                let service = service.with_context(|| format!("receiver {}", receiver.name))?;
                Way::Http { service, format: webhook.format }
            }
            Some(Target::Command(_)) => Way::Command,
            _ => return Ok(None),
        };
        Ok(Some(Actor { receiver: receiver.clone(), way }))
    }

    /// Tries it once.
    pub fn execute(&self, request: &Request) -> Tried {
        match (&self.way, request.action.as_str()) {
            (Way::Command, "command") => self.run(request),
            (Way::Http { service, format }, "webhook" | "feature-flag" | "scale") => post(service, *format, request),
            (_, action) => Tried::Failed(format!("`{}` is no receiver for `{action}`", self.receiver.name)),
        }
    }

    /// A program may have done half of it: it is not run again, whatever it says.
    fn run(&self, request: &Request) -> Tried {
        let argv = self.receiver.command.as_ref().map_or(&[][..], |command| &command.argv);
        let body = request.plain().to_string();
        match command::run(argv, &request.key, &body, timeout(self.receiver.timeout)) {
            Ok(()) => Tried::Done("the program ended with status 0".into()),
            Err(error) => Tried::Failed(format!("{error:#}")),
        }
    }
}

fn post(service: &Service, format: Format, request: &Request) -> Tried {
    let (content_type, body) = match format {
        Format::CloudEvents => (CLOUDEVENT, request.cloudevent().to_string()),
        Format::Json | Format::Alertmanager => (JSON, request.plain().to_string()),
    };
    match service.post(http::Request { key: request.key.clone(), content_type, body: body.into_bytes() }) {
        Ok(()) => Tried::Done("the receiver has accepted it".into()),
        Err(Failure::Never { message, .. }) => Tried::Failed(message),
        Err(Failure::Later { wait_ms, message }) => Tried::Later { wait_ms, message },
    }
}

/// Appends a record to the topic that the request names; its key is the request's.
pub(super) fn append(place: &mut Place, request: &Request) -> Tried {
    let Some(topic) = request.topic.as_deref().filter(|_| request.action == "record") else {
        return Tried::Failed("it names no receiver".into());
    };
    if topic.is_empty() || is_own_topic(topic) {
        return Tried::Failed(format!("`{topic}` is no topic that actions may write"));
    }
    let value = request.plain().to_string().into_bytes();
    let record = NewRecord { log_time_ms: request.time_ms, key: Some(request.key.clone().into_bytes()), value };
    match place.append(topic, 0, &[record]) {
        Ok(()) => Tried::Done(format!("the record is in {topic}")),
        Err(error) => Tried::Later { wait_ms: 0, message: format!("{error:#}") },
    }
}
