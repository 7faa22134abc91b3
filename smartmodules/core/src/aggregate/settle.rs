//! After emission: what is forgotten, and when to look again.

use super::Aggregate;
use super::groups::Group;
use super::window::Ends;

impl Aggregate {
    /// Everything due is out: forgets what no window can use, and finds out when to wake up next.
    pub(super) fn settle(&mut self) {
        self.state.due = false;
        let mut keep_from = i64::MAX;
        for (at, plan) in self.plan.windows.iter().enumerate() {
            let clock = self.clock_of(plan.trigger);
            if let (Some(ends), Some(fired)) = (Ends::of(plan), self.state.fired.get_mut(at)) {
                fired.settle(&ends, clock);
                let from = ends.needs_from(ends.dead(clock)).div_euclid(self.plan.slice_us);
                keep_from = keep_from.min(from);
            }
        }
        let clocks: Vec<i64> = self.plan.forests.iter().map(|trigger| self.clock_of(*trigger)).collect();
        let remembers = |group: &Group| group.memories.iter().zip(&clocks).any(|(memory, clock)| memory.until > *clock);
        if self.groups.purge(keep_from, remembers) {
            let groups = &self.groups;
            self.cache.retain(|number| groups.position(number).is_some());
        }
        self.set_wake();
    }

    fn set_wake(&mut self) {
        self.state.wake = [i64::MAX; 2];
        for (at, plan) in self.plan.windows.iter().enumerate() {
            let clock = self.clock_of(plan.trigger);
            let mut wake = i64::MAX;
            if let (Some(ends), Some(fired)) = (Ends::of(plan), self.state.fired.get(at)) {
                let next = self.next_end(&ends, fired.through).map(|end| ends.due(end));
                let oldest = self.groups.first_slice_from(i64::MIN);
                let expires = oldest.map(|i| ends.expires(i.saturating_mul(self.plan.slice_us)));
                let times = [next, fired.next_due(&ends), expires.filter(|t| *t > clock)];
                wake = times.into_iter().flatten().fold(wake, i64::min);
            }
            if let Some((time, _)) = self.state.timers.get(at).and_then(|t| t.first()) {
                wake = wake.min(*time);
            }
            self.state.wake_at(plan.trigger, wake);
        }
    }
}
