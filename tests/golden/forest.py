#!/usr/bin/env python3
"""Writes forest_*.json: rows, and how scikit-learn's isolation forest scores them.

    pip install scikit-learn scipy && python3 forest.py

Per data set: the mean score of 20 seeds (higher = more anomalous) and, of each seed alone, the
Spearman correlation to that mean; the test asks ours to reach their median less 0.02. Categories
are text in the file and are encoded here as perfstream does: by falling frequency, ties by text.
"""
import collections
import json
import pathlib

import numpy as np
from scipy import stats
from sklearn.ensemble import IsolationForest

SEEDS = range(20)
HERE = pathlib.Path(__file__).parent


def six(x):
    return float(f"{x:.6g}")


def encode(rows):
    columns = []
    for column in zip(*rows):
        if isinstance(column[0], str):
            counts = collections.Counter(column)
            order = sorted(counts, key=lambda c: (-counts[c], c))
            column = [order.index(c) for c in column]
        columns.append(column)
    return np.array(columns, dtype=float).T


def write(name, rows):
    x = encode(rows)
    scores = []
    for seed in SEEDS:
        forest = IsolationForest(n_estimators=100, max_samples=256, random_state=seed).fit(x)
        scores.append(-forest.score_samples(x))
    mean = np.mean(scores, axis=0)
    single = [float(stats.spearmanr(s, mean).statistic) for s in scores]
    golden = {
        "trees": 100,
        "sub_sample": 256,
        "rows": rows,
        "mean_scores": [float(f"{s:.9g}") for s in mean],
        "single_seed_spearman": [round(s, 6) for s in single],
        "median_single_seed_spearman": round(float(np.median(single)), 6),
    }
    text = json.dumps(golden).replace("], [", "],\n[")
    path = HERE / f"forest_{name}.json"
    path.write_text(text + "\n")
    print(path.name, len(rows), "rows,", len(text) // 1000, "kB, median", golden["median_single_seed_spearman"])


def gaussian():
    rng = np.random.default_rng(1)
    rows = np.vstack([rng.normal(0, 1, (470, 2)), rng.uniform(-6, 6, (30, 2))])
    return [[six(v) for v in row] for row in rows]


def lcp():
    rng = np.random.default_rng(2)
    browsers, devices = ["chrome", "safari", "firefox", "edge", "opera"], ["mobile", "desktop", "tablet"]
    rows = []
    for _ in range(480):
        browser = str(rng.choice(browsers, p=[0.6, 0.22, 0.1, 0.07, 0.01]))
        device = str(rng.choice(devices, p=[0.55, 0.4, 0.05]))
        slow = {"mobile": 1.4, "desktop": 1.0, "tablet": 1.2}[device]
        rows.append([six(slow * rng.lognormal(7.5, 0.45)), browser, device])
    for _ in range(20):
        rows.append([six(rng.lognormal(9.3, 0.3)), str(rng.choice(browsers)), str(rng.choice(devices))])
    return rows


def clusters():
    rng = np.random.default_rng(3)
    a = rng.normal([0, 0, 0, 10], [1, 1, 1, 2], (230, 4))
    b = rng.normal([8, 8, -8, 30], [1, 1, 1, 4], (240, 4))
    between = rng.normal([4, 4, -4, 20], [1.5, 1.5, 1.5, 5], (30, 4))
    return [[six(v) for v in row] for row in np.vstack([a, b, between])]


write("gaussian", gaussian())
write("lcp", lcp())
write("clusters", clusters())
