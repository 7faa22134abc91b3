//! What records are: events, and what the stages make of them.

/// What a record is. Every output record says it in `kind`; an event is the user's own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Kind {
    Event,
    Window,
    Session,
    Anomaly,
    Forecast,
    Incident,
    Insight,
    Alert,
    Action,
    Dashboard,
    Analysis,
    Statistics,
    Late,
    DeadLetter,
    Gap,
    Progress,
}

impl Kind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Kind; 16] = [
        Kind::Event,
        Kind::Window,
        Kind::Session,
        Kind::Anomaly,
        Kind::Forecast,
        Kind::Incident,
        Kind::Insight,
        Kind::Alert,
        Kind::Action,
        Kind::Dashboard,
        Kind::Analysis,
        Kind::Statistics,
        Kind::Late,
        Kind::DeadLetter,
        Kind::Gap,
        Kind::Progress,
    ];

    /// The word in `kind` and in `routes:`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Event => "event",
            Kind::Window => "window",
            Kind::Session => "session",
            Kind::Anomaly => "anomaly",
            Kind::Forecast => "forecast",
            Kind::Incident => "incident",
            Kind::Insight => "insight",
            Kind::Alert => "alert",
            Kind::Action => "action",
            Kind::Dashboard => "dashboard",
            Kind::Analysis => "analysis",
            Kind::Statistics => "statistics",
            Kind::Late => "late",
            Kind::DeadLetter => "dead_letter",
            Kind::Gap => "gap",
            Kind::Progress => "progress",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.name() == name)
    }

    pub(super) fn from_code(code: u8) -> Option<Kind> {
        Kind::ALL.get(code as usize).copied()
    }
}
