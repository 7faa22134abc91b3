#!/usr/bin/env python3
"""Writes forecast.json: what statsmodels says of the series that `forecast` is held against.

    pip install statsmodels && python3 forecast.py NAB_SERIES.csv

`holt`: a series and the forecasts of statsmodels' damped Holt with our constants, started as ours is; equal
to the last digits. `series`: a generated series of a day's season and one of NAB by the hour (values, then
for every origin in the last third the forecasts and 95 % intervals of ETS(A, Ad, A),
fitted to the first two thirds by maximum likelihood), at 1, 12 and 24 hours.
"""
import csv
import datetime
import json
import pathlib
import sys
import warnings

import numpy as np
import pandas as pd
from statsmodels.tsa.holtwinters import Holt
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

warnings.filterwarnings("ignore")
HORIZONS = [1, 12, 24]
SEASON = 24


def round_to(values, digits=6):
    return [float(f"{x:.{digits}g}") for x in values]


def generated():
    rng = np.random.default_rng(20260105)
    hours = np.arange(720)
    noise = np.cumsum(rng.normal(0, 8, 720)) + rng.normal(0, 40, 720)
    return 2000 + 300 * np.sin(2 * np.pi * hours / SEASON) + 120 * np.sin(4 * np.pi * hours / SEASON) + noise


def nab(path):
    by_hour = {}
    for row in csv.DictReader(open(path)):
        time = datetime.datetime.fromisoformat(row["timestamp"])
        by_hour.setdefault(time.replace(minute=0, second=0), []).append(float(row["value"]))
    return np.array([np.mean(by_hour[hour]) for hour in sorted(by_hour)][:1200])


def holt():
    values = round_to(100 + np.cumsum(np.random.default_rng(7).uniform(-1, 1.2, 60)))
    model = Holt(values, damped_trend=True, initialization_method="known", initial_level=values[0], initial_trend=0.0)
    fit = model.fit(smoothing_level=0.4, smoothing_trend=0.2, damping_trend=0.98, optimized=False)
    return {"values": values, "forecasts": [float(x) for x in fit.forecast(24)]}


def series(name, values):
    values = round_to(values)
    train = len(values) * 2 // 3
    model = lambda known: ETSModel(
        pd.Series(known), error="add", trend="add", damped_trend=True, seasonal="add", seasonal_periods=SEASON,
        initialization_method="heuristic")
    fitted = model(values[:train]).fit(disp=False, maxiter=1000)
    origins = []
    for origin in range(train, len(values) - max(HORIZONS), 5):
        said = model(values[:origin]).smooth(fitted.params).get_prediction(origin, origin + max(HORIZONS) - 1)
        table = said.summary_frame(alpha=0.05)
        mean, low, high = (table[column].to_numpy() for column in ("mean", "pi_lower", "pi_upper"))
        at = [h - 1 for h in HORIZONS]
        # The newest value that it knew, and per horizon the forecast and the interval.
        origins.append({"at": origin - 1, "said": [
            round_to([mean[i], low[i], high[i]], 5) for i in at]})
    return {"name": name, "values": values, "origins": origins}


out = {"holt": holt(), "series": [series("generated", generated()), series("nab", nab(sys.argv[1]))]}
path = pathlib.Path(__file__).with_name("forecast.json")
path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
for one in out["series"]:
    values = np.array(one["values"])
    for i, h in enumerate(HORIZONS):
        outcome = np.array([values[o["at"] + h] for o in one["origins"]])
        naive = np.array([values[o["at"] + h - SEASON] for o in one["origins"]])
        said = np.array([o["said"][i] for o in one["origins"]])
        error = np.abs(said[:, 0] - outcome).mean() / np.abs(naive - outcome).mean()
        inside = ((said[:, 1] <= outcome) & (outcome <= said[:, 2])).mean()
        print(one["name"], h, f"error / seasonal naive {error:.3f}, inside {inside:.3f}, {len(outcome)} origins")
