#!/usr/bin/env python3
"""Writes detect.json: what river, scipy and numpy say of the statistics that `detect` is made of.

    pip install river scipy numpy && python3 detect.py

Page-Hinkley (upwards) and ADWIN: the numbers, from 0, of the values at which river detects a drift.
Kolmogorov-Smirnov: statistic and asymptotic p-value of scipy.stats.ks_2samp. Fences: numpy's
quartiles, mean and deviation, scipy's median_abs_deviation. Trend: scipy's line through the points,
and the p-value of its slope at Santer's effective number, by scipy's t distribution.
"""
import json
import pathlib

import numpy as np
from river.drift import ADWIN, PageHinkley
from scipy import stats

rng = np.random.default_rng(20260105)


def six(values):
    return [float(f"{x:.6g}") for x in values]


STREAMS = {
    "step": np.concatenate([rng.normal(1.0, 0.3, 400), rng.normal(1.8, 0.3, 400)]),
    "ramp": rng.normal(1.0, 0.3, 800) + np.linspace(0, 2, 800),
    "nothing": rng.normal(1.0, 0.3, 800),
    "twice": np.concatenate([rng.normal(0.2, 0.1, 300), rng.normal(0.8, 0.1, 300), rng.normal(0.3, 0.1, 300)]),
}


def page_hinkley(values):
    test = PageHinkley(min_instances=30, delta=0.05, threshold=10.0, alpha=0.9999, mode="up")
    found = []
    for n, x in enumerate(values):
        test.update(x)
        if test.drift_detected:
            found.append(n)
    return found


def adwin(values, clock):
    test = ADWIN(delta=0.002, clock=clock)
    found = []
    for n, x in enumerate(values):
        test.update(x)
        if test.drift_detected:
            found.append(n)
    return {"clock": clock, "found": found, "mean": float(test.estimation), "width": int(test.width)}


streams = []
for name, values in STREAMS.items():
    values = six(values)
    streams.append({
        "name": name,
        "values": values,
        "page_hinkley": page_hinkley(values),
        "adwin": [adwin(values, 32), adwin(values, 1)],
    })

pairs = []
for shift, n, m in ((0.0, 40, 40), (0.5, 40, 60), (1.5, 30, 25), (0.3, 168, 168), (5.0, 12, 12)):
    a, b = six(rng.normal(0, 1, n)), six(rng.normal(shift, 1, m))
    test = stats.ks_2samp(a, b, method="asymp")
    pairs.append({"a": a, "b": b, "statistic": float(test.statistic), "p": float(test.pvalue)})

fences = []
for n in (16, 40, 100):
    x = six(rng.lognormal(7, 0.4, n))
    q1, q2, q3 = np.percentile(x, [25, 50, 75])
    mad = stats.median_abs_deviation(x, scale="normal")
    fences.append({
        "values": x,
        "iqr": [q2, q1 - 2.5 * (q3 - q1), q3 + 2.5 * (q3 - q1)],
        "z": [np.mean(x), np.mean(x) - 3 * np.std(x, ddof=1), np.mean(x) + 3 * np.std(x, ddof=1)],
        "robust_z": [np.median(x), np.median(x) - 3.5 * mad, np.median(x) + 3.5 * mad],
    })

trends = []
for slope, memory, n in ((0.0, 0.0, 40), (0.4, 0.0, 40), (0.4, 0.9, 100), (-2.0, 0.5, 60), (0.0, 0.95, 100)):
    noise = np.zeros(n)
    for k in range(n):
        noise[k] = (memory * noise[k - 1] if k else 0.0) + rng.normal(0, 5)
    y = np.array(six(1000 + slope * np.arange(n) + noise))
    x = (np.arange(n) - (n - 1)) * 30.0
    fit = stats.linregress(x, y)
    rest = y - fit.intercept - fit.slope * x
    r = float(np.clip(np.sum(rest[:-1] * rest[1:]) / np.sum(rest**2), 0, 0.999))
    effective = n * (1 - r) / (1 + r)
    freedom = effective - 2
    p = 1.0
    if freedom > 0:
        t = abs(fit.rvalue) * np.sqrt(freedom / (1 - fit.rvalue**2))
        p = float(2 * stats.t.sf(t, freedom))
    # The 95 % interval of a prediction of the last value by those before it.
    before, count = stats.linregress(x[:-1], y[:-1]), n - 1
    errors = y[:-1] - before.intercept - before.slope * x[:-1]
    middle, spread = x[:-1].mean(), np.sum((x[:-1] - x[:-1].mean()) ** 2)
    half = stats.t.ppf(0.975, count - 2) * np.sqrt(
        np.sum(errors**2) / (count - 2) * (1 + 1 / count + (x[-1] - middle) ** 2 / spread))
    trends.append({"y": y.tolist(), "slope_per_minute": fit.slope * 60, "effective_n": effective, "p": p,
                   "next": [before.intercept - half, before.intercept + half]})

out = {"streams": streams, "pairs": pairs, "fences": fences, "trends": trends}
pathlib.Path(__file__).with_name("detect.json").write_text(json.dumps(out) + "\n")
