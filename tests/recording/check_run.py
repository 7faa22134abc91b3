#!/usr/bin/env python3
"""Holds what `perfstream run` made of the recording against two other sources.

    perfstream run pipelines/web-vitals.yaml --input ... --out OUT     (see the pipeline file)
    python3 check_run.py OUT

1. CLS and INP of every page view equal the beacon of the library in the browser.
2. p75, p95 and counts of all windows equal a naive recomputation (sorted list, numpy's default
   interpolation), on time, none missing, none extra.

Exits with 1 if anything differs beyond what `README.md` knows of INP. Python 3, no packages.
"""
import json
import sys
from datetime import datetime
from pathlib import Path

EVENTS = Path(__file__).parent / "events"
OUT = Path(sys.argv[1])


def rows(path):
    return [json.loads(line) for line in path.open()]


def ms(text):
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def percentile(values, p):
    values = sorted(values)
    at = (len(values) - 1) * p / 100
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


def close(a, b):
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1)


def vitals(topic, name, field, absent):
    """The last beacon of each page view against the session record of the same navigation."""
    ours = {row["navigation"]: row[field] for row in rows(OUT / topic)}
    beacons = {r["navigationId"]: r["value"] for r in rows(EVENTS / "beacons.jsonl") if r["name"] == name}
    differ = []
    for navigation, value in beacons.items():
        # A page view without any entry gives no record: CLS 0.
        mine = ours.get(navigation, absent)
        if mine is None or not close(mine, value):
            differ.append((navigation, value, mine))
    print(f"{name}: {len(beacons) - len(differ)} of {len(beacons)} page views equal the library's beacon")
    for navigation, value, mine in differ:
        print(f"    {navigation}: the library {value}, perfstream {mine}")
    return differ


def windows(metric):
    """Windows by (name, group, end) against a naive pass over all events."""
    events = rows(EVENTS / f"{metric}.jsonl")
    seen = {}
    for row in (r for r in rows(OUT / "web-vitals-windows.jsonl") if r["pipeline"] == metric):
        key = (row["window"], row["page"], row["browser"], row["window_end"])
        seen[key] = max(seen.get(key, row), row, key=lambda r: r["revision"])
    want = {}
    for name, size, slide in (("one_minute", 60_000, 60_000), ("five_minutes", 300_000, 30_000)):
        for event in events:
            time = ms(event["timestamp"])
            end = (time // slide + 1) * slide
            while end - size <= time:
                want.setdefault((name, event["page"], event["browser"], end), []).append(event["value"])
                end += slide
    wrong = sum(1 for key in want.keys() ^ seen.keys())
    for key in want.keys() & seen.keys():
        row, values = seen[key], want[key]
        if key[0] == "one_minute":
            good = row["count"] == len(values) and close(row["p75"], percentile(values, 75)) and close(row["p95"], percentile(values, 95))
        else:
            good = close(row[f"p75_{metric}"], percentile(values, 75))
        wrong += not good
    print(f"{metric}: {len(want) - wrong} of {len(want)} windows equal the naive recomputation")
    return wrong


cls = vitals("cls-sessions.jsonl", "CLS", "cumulativeShift", 0)
inp = vitals("inp-sessions.jsonl", "INP", "inp", None)
wrong = sum(windows(metric) for metric in ("lcp", "fcp", "inp", "ttfb"))
# The library may report less than its own entries say (README.md, "What the check shows").
inp = [d for d in inp if d[2] is not None and d[2] < d[1]]
sys.exit(1 if cls or inp or wrong else 0)
