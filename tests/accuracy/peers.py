"""The peers, each a function from a series' values to one score per row, higher = more anomalous.

All are causal: a row is scored before it is learned, by a model of rows before it. A missing value
repeats the last one. Parameters are the libraries' own but for windows, which are made short enough
for the shortest series. They see the value and the ones just before it; other inputs and settings
were not tried.

  hst     river.anomaly.HalfSpaceTrees (Tan, Ting and Liu 2011), fed by river's running MinMaxScaler
  iforest sklearn.ensemble.IsolationForest (Liu, Ting and Zhou 2008), retrained every 64 rows on the
          newest 256
  rrcf    rrcf.RCTree (Guha et al. 2016): 12 trees of the newest 128 shingles of 4, displacement
"""
import hashlib
import importlib.metadata
import json
import pathlib

import numpy as np

WARM_UP = 50


def filled(values):
    """Missing values repeat the last one."""
    out, last = [], 0.0
    for value in values:
        if value is not None and np.isfinite(value):
            last = float(value)
        out.append(last)
    return out


def hst(values):
    from river import anomaly, compose, preprocessing

    model = compose.Pipeline(
        preprocessing.MinMaxScaler(),
        anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=WARM_UP, seed=42),
    )
    out, before = [], values[0]
    for i, value in enumerate(values):
        row = {"value": value, "before": before}
        out.append(model.score_one(row) if i >= WARM_UP else 0.0)
        model.learn_one(row)
        before = value
    return out


def iforest(values, window=256, every=64):
    from sklearn.ensemble import IsolationForest

    rows = np.column_stack([values, np.concatenate([values[:1], values[:-1]])])
    out = np.zeros(len(rows))
    for start in range(WARM_UP, len(rows), every):
        model = IsolationForest(n_estimators=100, random_state=42).fit(rows[max(0, start - window):start])
        out[start:start + every] = -model.score_samples(rows[start:start + every])
    return out.tolist()


def rrcf(values, trees=12, size=128, shingle=4):
    import rrcf as library

    np.random.seed(42)
    forest = [library.RCTree() for _ in range(trees)]
    out = [0.0] * len(values)
    # A copy of a point in every tree has no place of its own: a tiny fixed jitter tells them apart.
    jitter = np.random.default_rng(42).normal(0.0, 1e-9, len(values)) * (np.ptp(values) or 1.0)
    for i in range(shingle - 1, len(values)):
        point = np.asarray(values[i - shingle + 1:i + 1]) + jitter[i]
        total = 0.0
        for tree in forest:
            if len(tree.leaves) >= size:
                tree.forget_point(i - size)
            tree.insert_point(point, index=i)
            total += tree.codisp(i)
        if i >= WARM_UP:
            out[i] = total / trees
    return out


PEERS = {
    "river HalfSpaceTrees": ("river", hst),
    "scikit-learn IsolationForest": ("scikit-learn", iforest),
    "rrcf": ("rrcf", rrcf),
}


def scores(peer, values, cache):
    """A peer's scores; the same source, version and values are not computed twice."""
    package, function = PEERS[peer]
    values = filled(values)
    version = importlib.metadata.version(package)
    key = hashlib.sha256()
    for part in (pathlib.Path(__file__).read_bytes(), peer.encode(), version.encode(), json.dumps(values).encode()):
        key.update(part)
    path = pathlib.Path(cache) / f"{key.hexdigest()}.json"
    if path.exists():
        return json.loads(path.read_text())
    out = [float(score) for score in function(values)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(out))
    return out
