//! What an anomaly's row does: it joins an incident, begins one, joins two of them, or ends.

use super::CorrelateStage;
use super::anomaly::{Anomaly, Word};
use super::incident::{Incident, Member, Reason, Tie};
use super::record::incident_id;
use crate::row::{Output, Row};
use std::collections::BTreeMap;

/// Incidents that one anomaly joins at most; others stay apart.
const MOST_JOINED: usize = 64;

/// A new anomaly and what it may be tied by.
struct Newcomer<'a> {
    anomaly: &'a Anomaly,
    node: &'a str,
    series: &'a [u8],
    /// Services that its own calls, and that call it
    called: BTreeMap<&'a str, u32>,
    callers: BTreeMap<&'a str, u32>,
}

impl CorrelateStage {
    /// Takes in what a row says of an anomaly.
    pub(super) fn hear(&mut self, row: &Row<'_>, out: &mut Output) {
        match self.reader.read(row) {
            Word::Unreadable => self.state.counts.unreadable += 1,
            Word::Ended(id, time, value, expected) => {
                let time = if time == crate::clock::NEVER { self.state.clock.now } else { time };
                self.end(&id, time, (value, expected), out);
            }
            Word::Open(anomaly) => match self.store.of_anomaly(&anomaly.id) {
                Some(number) => self.update(number, anomaly),
                None => self.begin(anomaly, row.key, out),
            },
        }
    }

    fn end(&mut self, id: &str, time: i64, worst: (Option<f64>, Option<f64>), out: &mut Output) {
        let taken = self.store.of_anomaly(id).and_then(|number| Some((number, self.store.take(number, &self.pace)?)));
        let Some((number, mut incident)) = taken else {
            self.state.counts.unknown += 1;
            return;
        };
        self.state.counts.ended += 1;
        incident.end(id, time, worst, self.state.clock.now);
        if incident.open() > 0 {
            return self.store.put(number, incident, &self.pace);
        }
        self.resolve(incident, Reason::AllEnded, self.state.clock.now, out);
    }

    fn update(&mut self, number: u64, anomaly: Anomaly) {
        if let Some(mut incident) = self.store.take(number, &self.pace) {
            incident.update(anomaly, self.state.clock.now);
            self.store.put(number, incident, &self.pace);
        }
    }

    /// A new anomaly: finds the incidents that it is tied to.
    fn begin(&mut self, anomaly: Anomaly, key: Option<&[u8]>, out: &mut Output) {
        self.state.counts.anomalies += 1;
        self.state.known.see(&anomaly);
        let (node, series) = (anomaly.node(&self.service), anomaly.series());
        self.state.counts.forgotten += self.links.observe(&series, anomaly.onset, &self.rules);
        let newcomer = Newcomer {
            anomaly: &anomaly,
            node: &node,
            series: &series,
            called: self.graph.called_by(&node, self.rank.hops),
            callers: self.graph.callers_of(&node, self.rank.hops),
        };
        let mut tied: Vec<(u64, Tie)> = self
            .store
            .iter()
            .filter(|(_, incident)| self.is_in_time(incident, anomaly.onset))
            .filter_map(|(number, incident)| Some((number, self.tie(incident, &newcomer)?)))
            .take(MOST_JOINED)
            .collect();
        let (number, link) = match tied.is_empty() {
            true => (self.store.number(), Tie::First),
            false => tied.remove(0),
        };
        let known = self.store.take(number, &self.pace);
        let mut incident = known.unwrap_or_else(|| Incident::new(incident_id(&self.context, &anomaly.id), key));
        let member = Member { anomaly, node, ended: None, link };
        let kept = incident.add(member, self.state.clock.now, self.pace.max_members);
        self.state.counts.not_kept += u64::from(!kept);
        for (younger, _) in tied {
            self.merge(&mut incident, younger, out);
        }
        self.store.put(number, incident, &self.pace);
        self.make_room(out);
    }

    /// Merges a younger incident into one that is taken out.
    fn merge(&mut self, incident: &mut Incident, younger: u64, out: &mut Output) {
        let Some(mut other) = self.store.take(younger, &self.pace) else { return };
        self.state.counts.merged += 1;
        if other.is_told() {
            self.state.counts.resolved += 1;
            let into = incident.id.clone();
            self.tell(&mut other, Some((Reason::Merged, Some(&into))), self.state.clock.now, out);
        }
        self.state.counts.not_kept += incident.merge(other, self.pace.max_members);
    }

    fn make_room(&mut self, out: &mut Output) {
        while let Some(number) = self.store.surplus(self.max_incidents, self.context.max_state_bytes / 2)
            && let Some(incident) = self.store.take(number, &self.pace)
        {
            self.resolve(incident, Reason::Evicted, self.state.clock.now, out);
        }
    }

    /// Did an anomaly that began at `onset` begin in the incident's time? One that is over for lack of
    /// word, and not resolved yet, takes nothing in.
    fn is_in_time(&self, incident: &Incident, onset: i64) -> bool {
        let (from, to) = (incident.first.saturating_sub(self.window_us), incident.last.saturating_add(self.window_us));
        (from..=to).contains(&onset) && incident.heard.saturating_add(self.pace.resolve_us) > self.state.clock.now
    }

    /// By what the newcomer belongs to an incident, if it does.
    fn tie(&self, incident: &Incident, new: &Newcomer<'_>) -> Option<Tie> {
        let near = |member: &&Member| member.anomaly.onset.abs_diff(new.anomaly.onset) <= self.window_us.unsigned_abs();
        let any = |test: &dyn Fn(&Member) -> bool| incident.members.iter().filter(near).any(test);
        let shares = |member: &Member| {
            let same = |name: &str| {
                let own = new.anomaly.labels.get(name);
                own.is_some() && own == member.anomaly.labels.get(name)
            };
            self.dimensions.iter().any(|name| same(name))
        };
        if any(&shares) {
            return Some(Tie::Shared);
        }
        let calls = |member: &Member| {
            let other = &*member.node;
            new.node != other && (new.called.contains_key(other) || new.callers.contains_key(other))
        };
        if any(&calls) {
            return Some(Tie::Call);
        }
        let follows = |member: &Member| self.links.link(&member.anomaly.series(), new.series, &self.rules).is_some();
        any(&follows).then_some(Tie::Lag)
    }
}
