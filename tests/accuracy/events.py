"""Event-based precision, recall, F1 and delay, and the threshold rule all detectors share.

  * An event is a run of rows labelled 1. It is found if a row in it scores at least the threshold;
    its delay is the number of rows from its first to the first such row.
  * Rows at or above the threshold that are at most MERGE rows apart are one alarm. An alarm that
    touches no event is false.
  * precision = found / (found + false alarms), recall = found / events, over all series together.
  * The first min(15 %, 750) rows of a series are not scored, nor is an event that begins in them.
  * Threshold: of CANDIDATES thresholds (quantiles of the scores) the one with the best F1 on half of
    the series, applied to the other half, and the other way round.
"""
import numpy as np

MERGE = 5
CANDIDATES = 120


class Series:
    """Labels of one series: where scoring begins and its events."""

    def __init__(self, name, labels):
        self.name = name
        self.rows = len(labels)
        self.skip = min(int(0.15 * self.rows), 750)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(labels, dtype=int), [0]])))
        spans = list(zip(edges[::2], edges[1::2] - 1))
        self.events = [span for span in spans if span[0] >= self.skip]
        self.ignored = [span for span in spans if span[0] < self.skip <= span[1]]

    def count(self, scores, threshold):
        """(events found, false alarms, events, [delays in rows])."""
        hits = np.flatnonzero(np.asarray(scores) >= threshold)
        hits = hits[hits >= self.skip]
        for start, end in self.ignored:
            hits = hits[(hits < start) | (hits > end)]
        delays = []
        outside = np.ones(len(hits), dtype=bool)
        for start, end in self.events:
            inside = (hits >= start) & (hits <= end)
            if inside.any():
                delays.append(int(hits[inside][0] - start))
            outside &= ~inside
        false = 0
        if len(hits):
            alarms = np.split(np.arange(len(hits)), np.flatnonzero(np.diff(hits) > MERGE) + 1)
            false = sum(1 for alarm in alarms if outside[alarm].all())
        return len(delays), false, len(self.events), delays


def f1(found, false, events):
    """F1 of sums; 0 where nothing is found."""
    return 2.0 * found / np.maximum(found + false + events, 1)


class Table:
    """Counts of one detector on every series at every candidate threshold."""

    def __init__(self, series, scores):
        every = np.concatenate([np.asarray(s)[one.skip:] for one, s in zip(series, scores)])
        every = np.sort(every[every > 0.0])[::-1]
        ranks = np.unique(np.geomspace(3, max(4, min(len(every), 10 ** 4)), CANDIDATES).astype(int)) - 1
        self.thresholds = np.unique(every[ranks[ranks < len(every)]])[::-1]
        cells = [[one.count(s, t) for t in self.thresholds] for one, s in zip(series, scores)]
        self.counts = np.array([[cell[:3] for cell in row] for row in cells])
        self.delays = [[cell[3] for cell in row] for row in cells]

    def best(self, members):
        """The candidate with the best F1 on the series given (by number, repeats allowed)."""
        sums = self.counts[members].sum(axis=0)
        return int(np.argmax(f1(sums[:, 0], sums[:, 1], sums[:, 2])))

    def crossed(self, left, right):
        """Sums of counts on each half at the threshold of the other, and the delays."""
        sums, delays = np.zeros(3), []
        for tune, test in ((left, right), (right, left)):
            at = self.best(tune)
            sums += self.counts[test, at].sum(axis=0)
            for one in test:
                delays += self.delays[one][at]
        return sums, delays


def halves(count, rng=None):
    """Every second series, or a random half."""
    order = np.arange(count) if rng is None else rng.permutation(count)
    return order[::2], order[1::2]


def probability_ahead(ours, theirs, draws=2000, seed=1):
    """Share of paired bootstrap draws in which our F1 is above theirs. A draw splits the series at
    random in halves, draws as many of each half with repeats, and tunes and tests both on them."""
    rng = np.random.default_rng(seed)
    ahead = 0.0
    for _ in range(draws):
        left, right = halves(len(ours.counts), rng)
        left, right = rng.choice(left, len(left)), rng.choice(right, len(right))
        a, b = (f1(*table.crossed(left, right)[0]) for table in (ours, theirs))
        ahead += 1.0 if a > b else 0.5 if a == b else 0.0
    return ahead / draws
