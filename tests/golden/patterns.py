#!/usr/bin/env python3
"""Writes patterns.json: series and what others say of them.

    pip install scipy pymannkendall pyhomogeneity && python3 patterns.py

`trend`: pymannkendall (original and Hamed-Rao test; variance and p), scipy.stats.theilslopes (slope and 95 % interval).
`shift`: pyhomogeneity's Pettitt test (statistic, place and approximate p). `fisher`: the share of the largest
ordinate of scipy.signal.periodogram, and how often white noise of the length has one as large (100,000 series, seeded).
`spearman`: scipy.stats.spearmanr.
"""
import json
import pathlib

import numpy as np
import pyhomogeneity
import pymannkendall
from scipy import signal, stats

rng = np.random.default_rng(20260105)


def ar1(n, phi):
    x = np.zeros(n)
    for t in range(1, n):
        x[t] = phi * x[t - 1] + rng.normal()
    return x


def rounded(values):
    return [float(f"{x:.8g}") for x in values]


def trend(name, values):
    values = rounded(values)
    plain, modified = pymannkendall.original_test(values), pymannkendall.hamed_rao_modification_test(values)
    slope = stats.theilslopes(values, alpha=0.95)
    return {"name": name, "values": values, "tau": plain.Tau, "p_plain": plain.p, "var_plain": plain.var_s,
            "var_modified": modified.var_s, "slope": slope.slope,
            "low": slope.low_slope, "high": slope.high_slope}


def shift(name, values):
    values = rounded(values)
    found = pyhomogeneity.pettitt_test(values, sim=None)
    return {"name": name, "values": values, "statistic": float(found.U), "place": int(found.cp), "p": float(found.p)}


def share(values):
    power = signal.periodogram(values, detrend="constant", axis=-1)[1][..., 1:-1]
    return power.max(axis=-1) / power.sum(axis=-1)


def fisher(n):
    shares = share(rng.normal(size=(100_000, n)))
    quantiles = np.quantile(shares, [0.5, 0.9, 0.99])
    return {"m": n // 2 - 1, "share": rounded(quantiles), "p": [0.5, 0.1, 0.01]}


def spearman(a, b):
    a, b = rounded(a), rounded(b)
    found = stats.spearmanr(a, b)
    return {"a": a, "b": b, "rho": float(found.statistic), "p": float(found.pvalue)}


t = np.arange(60.0)
step = np.where(t < 35, 0.0, 2.0)
shared = rng.normal(size=80)
out = {
    "trend": [
        trend("white", rng.normal(size=60)),
        trend("rise", 2000 + 3 * t + rng.normal(0, 40, 60)),
        trend("fall with memory", -0.05 * t + ar1(60, 0.6)),
        trend("memory alone", ar1(120, 0.7)),
        trend("ties", np.round(0.03 * t + rng.normal(size=60))),
        trend("step", step + rng.normal(size=60)),
    ],
    "shift": [
        shift("step", step + rng.normal(size=60)),
        shift("white", rng.normal(size=50)),
        shift("memory", ar1(80, 0.5)),
        shift("ties", np.round(step + rng.normal(size=60))),
    ],
    "fisher": [fisher(50), fisher(200)],
    "spearman": [
        spearman(shared + rng.normal(size=80), shared + rng.normal(size=80)),
        spearman(rng.normal(size=40), rng.normal(size=40)),
        spearman(np.round(shared), np.round(-shared + rng.normal(size=80))),
    ],
}
path = pathlib.Path(__file__).with_name("patterns.json")
path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
print({name: len(cases) for name, cases in out.items()})
