#!/usr/bin/env python3
"""Errors of the stage `forecast` against the seasonal naive forecast, through the product.

  forecast.py --perfstream COMMAND --work DIR --mscloud DIR

Series: those of --mscloud (data/KIND/NAME.csv, columns TimeStamp,Value,Label), each at its own step, and hourly
p75 of generated web vitals (four pages for 21 days, no faults). Horizons: 1, 12 and 24 steps. The first third of
a series only teaches. An origin counts if neither it, its outcome nor the value a day before the outcome is
labelled; a series counts with 20 origins and a seasonal naive error above 0. Printed: the median over the series
of (mean absolute error / that of the value a day before), and the share of outcomes inside of the 95 % interval.
"""
import argparse
import csv
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
from datetime import datetime, timezone

HORIZONS = (1, 12, 24)
DAY = 86400
PIPELINE = """apiVersion: perfstream/v1
kind: Pipeline
meta: {{ name: series, type: continuous }}
input: {{ topic: series, schema: {{ timestamp: datetime, value: number, page: string }}, time: {{ field: timestamp, out_of_orderness: 1m }} }}
transforms:
{steps}
  - uses: perfstream/forecast@0.1.0
    with: {{ field: {field}, kinds: [{kind}], group_by: [page], step: {step}s, horizons: [{horizons}], season: 1d }}
output: {{ topic: out }}
routes: {{ window: windows }}
"""
HOURLY = """  - uses: perfstream/aggregate@0.1.0
    with:
      group_by: [page]
      windows: [{ name: hour, type: tumbling, size: 1h, functions: { p75: { type: percentile, parameter: 75, field: value } } }]"""


def seconds(text):
    time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int((time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp())


def read(path):
    """{time: (value, labelled)} of a file of mscloud, in the order of time."""
    with open(path, newline="") as handle:
        rows = [(seconds(row["TimeStamp"]), row) for row in csv.DictReader(handle)]
    found = {}
    for time, row in rows:
        try:
            found[time] = (float(row["Value"]), float(row["Label"] or 0) > 0)
        except ValueError:
            pass
    return dict(sorted(found.items()))


def call(words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"`{shlex.join(words)}` failed: {done.stderr.strip()}")


def forecasts(args, name, step, field, kind, steps, source):
    """The forecast records, and the window rows, of a run over `source`."""
    work = args.work / name
    work.mkdir(parents=True, exist_ok=True)
    for old in work.glob("*.jsonl"):
        old.unlink()
    text = PIPELINE.format(steps=steps, field=field, kind=kind, step=step,
                           horizons=", ".join(f"{h * step}s" for h in HORIZONS))
    (work / "pipeline.yaml").write_text(text)
    call(shlex.split(args.perfstream) + ["run", str(work / "pipeline.yaml"), "--input", str(source), "--out", str(work)])
    lines = lambda topic: [json.loads(line) for line in open(work / f"{topic}.jsonl")] if (work / f"{topic}.jsonl").exists() else []
    return lines("forecasts"), lines("windows")


class Errors:
    """Errors per horizon of the series seen so far."""

    def __init__(self):
        self.ratios = {h: [] for h in HORIZONS}
        self.inside = [0, 0]

    def add(self, truth, said, step):
        """`truth`: {time: (value, labelled)}; `said`: {time: {horizon: (value, low, high)}}."""
        begin = list(truth)[len(truth) // 3]
        for horizon in HORIZONS:
            ours, naive = [], []
            for time, by_horizon in said.items():
                target = time + horizon * step
                there = [truth.get(at) for at in (time, target, target - DAY)]
                if time < begin or horizon not in by_horizon or any(at is None or at[1] for at in there):
                    continue
                value, low, high = by_horizon[horizon]
                ours.append(abs(there[1][0] - value))
                naive.append(abs(there[1][0] - there[2][0]))
                self.inside[0] += low <= there[1][0] <= high
                self.inside[1] += 1
            if len(ours) >= 20 and sum(naive) > 0:
                self.ratios[horizon].append(sum(ours) / sum(naive))

    def show(self, name):
        for horizon, ratios in self.ratios.items():
            if ratios:
                below = sum(ratio < 1 for ratio in ratios)
                print(f"{name:24} horizon {horizon:2}: error / seasonal naive {statistics.median(ratios):.3f} "
                      f"(median of {len(ratios)} series, {below} below 1)")
        print(f"{name:24} inside of the 95 % interval: {self.inside[0] / max(1, self.inside[1]):.4f} of {self.inside[1]}")


def horizon_names(field, step):
    """The stage's name of each horizon: spans are written in their largest units."""
    def span(seconds):
        parts = ""
        for unit, size in (("w", 7 * DAY), ("d", DAY), ("h", 3600), ("m", 60), ("s", 1)):
            if seconds >= size:
                parts += f"{seconds // size}{unit}"
                seconds %= size
        return parts
    return {f"forecast_{field}_{span(h * step)}": h for h in HORIZONS}


def said(records, field, step):
    """{page: {time: {horizon: (value, low, high)}}} of forecast records."""
    names = horizon_names(field, step)
    found = {}
    for record in records:
        known = {horizon: (record[name], record[f"{name}_low"], record[f"{name}_high"])
                 for name, horizon in names.items() if name in record}
        found.setdefault(record["labels"].get("page"), {})[seconds(record["timestamp"])] = known
    return found


def mscloud(args):
    errors = Errors()
    for path in sorted(pathlib.Path(args.mscloud).glob("data/*/*.csv")):
        truth = read(path)
        times = list(truth)
        step = int(statistics.median(b - a for a, b in zip(times, times[1:])))
        source = args.work / "series.jsonl"
        with open(source, "w") as handle:
            for time, (value, _) in truth.items():
                stamp = datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
                handle.write(json.dumps({"timestamp": stamp, "value": value, "page": "/"}) + "\n")
        records, _ = forecasts(args, "mscloud", step, "value", "event", "", source)
        errors.add(truth, said(records, "value", step).get("/", {}), step)
    errors.show("mscloud")


def generated(args):
    errors = Errors()
    for metric in ("lcp", "inp", "ttfb"):
        source = args.work / f"{metric}.jsonl"
        call(shlex.split(args.perfstream) + ["generate", "--metric", metric, "--duration", "21d", "--rate", "2000",
                                             "--seed", "7", "--out", str(source)])
        records, windows = forecasts(args, metric, 3600, "p75", "window", HOURLY, source)
        by_page = said(records, "p75", 3600)
        for page in sorted(by_page):
            truth = {seconds(row["timestamp"]): (row["p75"], False) for row in windows
                     if row["page"] == page and row.get("p75") is not None}
            errors.add(dict(sorted(truth.items())), by_page[page], 3600)
    errors.show("generated web vitals")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--perfstream", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--mscloud")
    args = parser.parse_args()
    args.work = args.work / "forecast"
    args.work.mkdir(parents=True, exist_ok=True)
    if args.mscloud:
        mscloud(args)
    generated(args)


if __name__ == "__main__":
    main()
