#!/usr/bin/env python3
"""Writes regression.json: points and what scipy.stats.linregress says of them.

    pip install scipy && python3 regression.py

Numbers are written so that a reader gets the very doubles scipy saw. NaN (r and p of a constant y)
is null.
"""
import json
import pathlib

import numpy as np
from scipy import stats

rng = np.random.default_rng(20240601)
cases = []


def number(x):
    return None if np.isnan(x) else float(x)


def case(name, x, y):
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    fit = stats.linregress(x, y)
    cases.append({
        "name": name,
        "x": x.tolist(),
        "y": y.tolist(),
        "slope": float(fit.slope),
        "intercept": float(fit.intercept),
        "r2": number(fit.rvalue**2),
        "p_value": number(fit.pvalue),
        "slope_stderr": number(fit.stderr),
    })


t = np.arange(60.0)
case("noisy rise", t, 2000 + 3 * t + rng.normal(0, 40, 60))
case("noisy fall", t, 2500 - 1.5 * t + rng.normal(0, 25, 60))
case("no trend", t, rng.normal(2500, 300, 60))
case("perfect", [0, 1, 2, 3, 4, 5], [10, 12.5, 15, 17.5, 20, 22.5])
case("perfect fall, three points", [0, 10, 20], [5, 3, 1])
case("constant y", t, np.full(60, 1234.5))
case("two points", [3, 7], [100, 180])
case("two points, equal y", [3, 7], [5, 5])
case("three points", [0, 1, 2], [1, 2, 2.5])
epoch = 1717200000.0 + np.sort(rng.uniform(0, 600, 200))
lcp = rng.lognormal(7.6, 0.4, 200)
case("epoch seconds", epoch, lcp + 2.0 * (epoch - 1717200000.0))
case("epoch milliseconds", 1717200000000.0 + np.arange(100) * 250.0, rng.normal(3000, 100, 100))
case("large mean, small spread", t / 60, 1e9 + rng.normal(0, 1, 60))
case("steep", t / 1000, 1e6 * t + rng.normal(0, 1e6, 60))
case("tiny", t * 1e-3, 1e-4 + 1e-6 * t + rng.normal(0, 1e-5, 60))
case("cls fractions", t, np.clip(rng.normal(0.08, 0.05, 60) + 0.001 * t, 0, None))
case("repeated x", np.repeat(np.arange(10.0), 12), rng.normal(200, 20, 120) + np.repeat(np.arange(10.0), 12))
case("unordered x with negative ones", rng.uniform(-500, 500, 80), rng.normal(0, 1, 80))
case("strong, very small p", np.arange(500.0), np.arange(500.0) + rng.normal(0, 120, 500))
case("outlier", np.append(t, 60.0), np.append(rng.normal(100, 5, 60), 9000.0))

path = pathlib.Path(__file__).with_name("regression.json")
lines = ",\n".join(json.dumps(c) for c in cases)
path.write_text("[\n" + lines + "\n]\n")
print(len(cases), "cases")
