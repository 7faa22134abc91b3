#!/usr/bin/env python3
"""Writes novelty.json: series and what the method `novelty` says of them, by a second implementation.

    pip install numpy && python3 novelty.py

Written from the description in smartmodules/core/src/detect/novelty, with lists of leaders instead of
packed memory. Constants are those of constants.rs. Numbers are written so that a reader gets the
very doubles; null is a missing value or score.
"""
import json
import math
import pathlib

import numpy as np

LEVEL, PAIR, DAY = [10, 16, 25, 40], [4, 6, 8, 10], [5, 7, 9, 12]
HOURS, RESIDUAL = [0.75, 1.0, 1.25, 1.5], [0.6, 0.9, 1.2, 1.6]
LIFE, STEPS, FLOOR = [21] * 4, [0.0005, 0.001, 0.001, 0.002], 0.001
LEADERS, LEAST, HALF, REST_SHARE = [36, 44, 52, 52], 0.01, 1.6, 0.05
DAY_AFTER, DAY_MEAN_HOURS, HALF_LIFE_DAYS, SPREAD_STEP = 3.0, 1.0, 6.0, 0.001
WARM_UP, REST = 100, 60
HOUR_US, DAY_US = 3.6e9, 86_400_000_000


def f32(x):
    return float(np.float32(x))


def rounded(x):
    """A coordinate of a leader: single precision without its last eight bits, to the nearest."""
    bits = np.array([x], np.float32).view(np.uint32)
    return float(((bits + np.uint32(0x80)) & np.uint32(0xFFFFFF00)).view(np.float32)[0])


class Stream:
    """Leaders (x, y, watch of eight hours) at four resolutions and the running rate of new ones."""

    def __init__(self):
        self.n, self.rates, self.leaders = 0, [0.0] * 4, [[], [], [], []]

    def observe(self, x, y, near, watch=None, kept=rounded):
        self.n += 1
        worth = 0.0
        for k in range(4):
            step = max(1.0 / self.n, STEPS[k])
            if watch is not None:
                self.leaders[k] = [one for one in self.leaders[k] if (watch - one[2]) % 256 <= LIFE[k] * 3]
            met = [one for one in self.leaders[k] if near(k, one[0], one[1])]
            if met:
                for one in met:
                    one[2] = watch
                self.rates[k] = max(self.rates[k] - step * self.rates[k], FLOOR)
            else:
                if self.n > 1:
                    worth += -math.log10(self.rates[k])
                self.rates[k] += step * (1.0 - self.rates[k])
                if len(self.leaders[k]) >= LEADERS[k]:
                    self.leaders[k].pop(0)
                self.leaders[k].append([rounded(x), kept(y), watch])
        return worth / 4


class Mean:
    """A running mean in single precision: plain at first, then with a time constant."""

    def __init__(self):
        self.mean, self.n = np.float32(0), 0

    def learn(self, value, hours, constant):
        self.n += 1
        weight = max(hours / (hours + constant), 1.0 / min(self.n, 65535), 1e-4)
        self.mean = self.mean + np.float32(weight * (value - float(self.mean)))


class Baseline:
    """Hour-of-day profile, level on top, mean deviation above and below."""

    def __init__(self):
        self.bins, self.level, self.above, self.below, self.n = [Mean() for _ in range(24)], Mean(), Mean(), Mean(), 0

    def expected(self, hour_of_day):
        if self.n == 0:
            return None
        at = hour_of_day + 23.5
        left, part = int(at), at - math.floor(at)
        a, b = self.bins[left % 24], self.bins[(left + 1) % 24]
        if a.n and b.n:
            profile = float(a.mean) + part * float(b.mean - a.mean)
        elif a.n or b.n:
            profile = float((a if a.n else b).mean)
        else:
            profile = float(next(self.bins[(left - back) % 24] for back in range(24) if self.bins[(left - back) % 24].n).mean)
        return profile + float(self.level.mean)

    def learn(self, hour_of_day, value, hours, spread):
        expected = self.expected(hour_of_day)
        over = 0.0 if expected is None else value - expected
        if self.n > 50:
            over = min(max(over, -6.0 * spread), 6.0 * spread)
        value = (value if expected is None else expected) + over
        self.n += 1
        level = float(self.level.mean)
        self.bins[int(hour_of_day) % 24].learn(value - level, hours, 5.0)
        self.level.learn(over + level, hours, 24.0)
        (self.above if over > 0 else self.below).learn(abs(over), hours, 72.0)


class Novelty:
    def __init__(self):
        self.n, self.previous, self.streams, self.history = 0, None, [Stream() for _ in range(5)], []
        self.baseline = Baseline()

    def width(self, low, high):
        return max(high - low, LEAST * max(abs(low), abs(high)), np.finfo(float).tiny)

    def observe(self, time_us, value):
        if value is None:
            self.previous = None
            return None
        hour_of_day = (time_us % DAY_US) / HOUR_US
        hours = 0.0
        if self.n == 0:
            self.origin = self.mean = value
            self.began = self.newest = time_us
            self.centre, self.spread = 0.0, 0.0
            self.low = self.high = self.rlow = self.rhigh = self.mlow = self.mhigh = 0.0
        else:
            hours = min(max(time_us - self.newest, 0), 14 * DAY_US) / HOUR_US
            self.newest = max(self.newest, time_us)
            self.mean += hours / (hours + DAY_MEAN_HOURS) * (value - self.mean)
            share = hours / (hours + HALF_LIFE_DAYS * 24 / math.log(2))
            self.rlow += share * max(self.centre - self.rlow, 0.0)
            self.rhigh -= share * max(self.rhigh - self.centre, 0.0)
        x, watch = value - self.origin, int((self.newest - self.began) // 28_800_000_000) % 256
        whole, recent = self.width(self.low, self.high), self.width(self.rlow, self.rhigh)
        middle = self.width(self.mlow, self.mhigh)
        floor = LEAST * abs(value) / LEVEL[3]
        evidence = [
            self.streams[0].observe(x, 0.0, lambda k, a, b: abs(a - x) <= whole / LEVEL[k]),
            self.streams[1].observe(x, 0.0, lambda k, a, b: abs(a - x) <= recent / LEVEL[k], watch),
            0.0, 0.0, 0.0,
        ]
        if self.previous is not None:
            before = self.previous - self.origin
            evidence[2] = self.streams[2].observe(
                x, before, lambda k, a, b: abs(a - x) <= whole / PAIR[k] and abs(b - before) <= whole / PAIR[k])
        m = self.mean - self.origin

        def near(k, a, b):
            apart = abs(b - hour_of_day)
            return abs(a - m) <= middle / DAY[k] and min(apart, 24.0 - apart) <= HOURS[k]

        evidence[3] = self.streams[3].observe(m, hour_of_day, near, kept=lambda hour: int(hour * 65536 / 24) * 24 / 65536)
        expected = self.baseline.expected(hour_of_day)
        if expected is not None:
            deviation = 0.5 * (float(self.baseline.above.mean) + float(self.baseline.below.mean))
            off = x - expected
            evidence[4] = self.streams[4].observe(
                off, 0.0, lambda k, a, b: abs(a - off) <= max(RESIDUAL[k] * deviation, floor), watch)
        if (self.newest - self.began) / DAY_US < DAY_AFTER:
            evidence[3] = 0.0
        number = self.n
        self.learn(value)
        self.baseline.learn(hour_of_day, x, hours, self.spread)
        if number < WARM_UP:
            return None
        square = sum(e * e for e in evidence)
        rest = min(REST, int(number * REST_SHARE))
        highest = max((s for at, s in self.history if number - at <= rest), default=0.0)
        self.history = self.history[-REST:] + [(number, f32(square))]
        return square / (square + HALF * HALF) if f32(square) > highest else 0.0

    def learn(self, value):
        first, self.n, self.previous = self.n == 0, self.n + 1, value
        if first:
            self.low = self.high = self.rlow = self.rhigh = value
            self.mlow = self.mhigh = self.mean
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.rlow, self.rhigh = min(self.rlow, value), max(self.rhigh, value)
        self.mlow, self.mhigh = min(self.mlow, self.mean), max(self.mhigh, self.mean)
        step = max(1.0 / self.n, SPREAD_STEP)
        self.centre += step * (value - self.centre)
        off = abs(value - self.centre)
        if self.n > 50:
            off = min(off, 6.0 * self.spread + np.finfo(float).tiny)
        self.spread += step * (off - self.spread)


rng = np.random.default_rng(20261125)


def case(name, times, values):
    novelty = Novelty()
    values = [None if v is None or np.isnan(v) else round(float(v), 4) for v in values]
    times = [int(t) for t in times]
    return {"name": name, "times_us": times, "values": values,
            "scores": [novelty.observe(t, v) for t, v in zip(times, values)]}


rows = 2016
five = 1_700_000_000_000_000 + np.arange(rows) * 300_000_000
phase = 2 * np.pi * np.arange(rows) / 288
daily = 100 + 20 * np.sin(phase) + rng.normal(0, 2, rows)
daily[1500:1530] += 60
heavy = np.exp(rng.normal(0, 1, 1500))
heavy[rng.integers(0, 1500, 60)] = np.nan
walk = np.cumsum(rng.normal(0, 1, 1200))
ragged = 1_700_000_000_000_000 + np.cumsum(rng.integers(-30, 200, 1200)) * 1_000_000
jump = np.round(100 + rng.normal(0, 1, 1000)) + np.where(np.arange(1000) >= 700, 25, 0)

cases = [
    case("daily pattern with a burst", five, daily),
    case("heavy tail with missing values", five[:1500], heavy),
    case("random walk at ragged times, some backward", ragged, walk),
    case("step between a few values", five[:1000], jump),
]
path = pathlib.Path(__file__).with_name("novelty.json")
path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
print(path.name, path.stat().st_size, "bytes;", [max(s or 0 for s in c["scores"]) for c in cases])
