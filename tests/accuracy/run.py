#!/usr/bin/env python3
"""Accuracy of the presets beside peers, on labelled series that the user has.

  run.py --perfstream COMMAND --work DIR [--mscloud DIR] [--nab DIR] [--per-series] [--sweep COMMAND]

--mscloud: a folder with data/KIND/NAME.csv, columns TimeStamp,Value,Label (Microsoft's
cloud-monitoring-dataset). --nab: a folder with data/CATEGORY/NAME.csv, labels.json and score.py.
Scores come through the product: COMMAND detect --csv FILE --time COLUMN --value COLUMN
--preset PRESET --out FILE. `cargo xtask accuracy` runs this; start there.
"""
import argparse
import csv
import json
import pathlib
import shlex
import subprocess
import sys

import numpy as np

import events
import peers

PRESETS = ("best", "ensemble")
# What `best` is to reach: its NAB score on the same files and with the threshold of the other half, the least over the
# sweep, and how sure it is to be ahead of each peer.
TARGETS = {"standard": 78.0, "crossed": 75.0, "least": 74.0, "ahead": 0.8}
missed = []


def hold(what, value, target):
    """Notes a target that is missed; the run then ends with 1."""
    if not value >= target:
        missed.append(f"{what}: {value:.3f}, target {target}")


def read(path, column):
    """A CSV column by name, whatever its case."""
    with open(path, newline="") as handle:
        reader = csv.reader(handle)
        at = [name.strip().lower() for name in next(reader)].index(column)
        return [row[at] for row in reader if row]


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


def detect(command, source, time, value, preset, out):
    """The anomaly scores of one file, through the product."""
    out.parent.mkdir(parents=True, exist_ok=True)
    words = shlex.split(command) + ["detect", "--csv", str(source), "--time", time, "--value", value,
                                    "--preset", preset, "--out", str(out)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"`{shlex.join(words)}` failed: {done.stderr.strip()}")
    return [float(score) for score in read(out, "anomaly_score")]


def of_peer(peer, files, work):
    """A peer's scores of each file."""
    print(f"{peer} …", file=sys.stderr)
    return [peers.scores(peer, [number(x) for x in read(f, "value")], work / "peers") for f in files]


def mscloud(args):
    files = sorted(pathlib.Path(args.mscloud).glob("data/*/*.csv"))
    series = [events.Series(f.stem, [float(x or 0) > 0 for x in read(f, "label")]) for f in files]
    scores = {preset: [detect(args.perfstream, f, "TimeStamp", "Value", preset, args.work / "mscloud" / preset / f.name)
                       for f in files] for preset in args.presets}
    scores.update((peer, of_peer(peer, files, args.work)) for peer in peers.PEERS)
    by_events("mscloud", args, series, scores)


def by_events(data, args, series, scores):
    """The table of all detectors on one set of series: scores by detector and series."""
    tables = {detector: events.Table(series, of) for detector, of in scores.items()}
    left, right = events.halves(len(series))
    total = sum(len(one.events) for one in series)
    print(f"\n{data}: {len(series)} series, {sum(one.rows for one in series)} rows, {total} events; "
          "threshold F1-optimal on half of the series, applied to the other, both ways")
    print(f"{'detector':30} precision  recall     F1  F1 over 200 splits  delay, rows (median)  best is ahead")
    rng = np.random.default_rng(2)
    splits = [events.halves(len(series), rng) for _ in range(200)]
    for name, table in tables.items():
        (found, false, count), delays = table.crossed(left, right)
        mean = np.mean([events.f1(*table.crossed(*split)[0]) for split in splits])
        ahead = ""
        if name != "best":
            ahead = f"{events.probability_ahead(tables['best'], table):.3f}"
            hold(f"{data}: best ahead of {name}", float(ahead), TARGETS["ahead"])
        print(f"{name:30} {found / max(found + false, 1):9.3f} {found / count:7.3f} "
              f"{events.f1(found, false, count):6.3f} {mean:19.3f} {np.median(delays) if delays else float('nan'):21.1f}"
              f"  {ahead:>13}")
    if args.per_series:
        print("\nseries                          events  " + "  ".join(f"{n:>28}" for n in tables) + "  (found/false)")
        picks = {n: (t.best(left), t.best(right)) for n, t in tables.items()}
        for i, one in enumerate(series):
            cells = []
            for name, table in tables.items():
                at = picks[name][1] if i in set(left) else picks[name][0]
                cells.append(f"{table.counts[i, at, 0]}/{table.counts[i, at, 1]}")
            print(f"{one.name:30} {len(one.events):7}  " + "  ".join(f"{c:>28}" for c in cells))


def nab_score(folder, results, *more):
    words = [sys.executable, str(pathlib.Path(folder) / "score.py"), str(results), "--json", *map(str, more)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)["profiles"]


def nab(args):
    folder = pathlib.Path(args.nab)
    keys = sorted(json.loads((folder / "labels.json").read_text()))
    keys = [key for key in keys if (folder / "data" / key).is_file()]
    names = args.work / "nab" / "files.txt"
    names.parent.mkdir(parents=True, exist_ok=True)
    names.write_text("\n".join(keys) + "\n")
    print(f"\nNAB: {len(keys)} files, scored by {folder.name}/score.py; threshold optimised on the same files, per profile")
    print(f"{'detector':30} standard  low FP  low FN  threshold  windows  false rows  "
          "standard, threshold from the other half")
    files = [folder / "data" / key for key in keys]
    scores = {}
    for detector in [*args.presets, *peers.PEERS]:
        results = args.work / "nab" / detector.replace(" ", "-")
        if detector in peers.PEERS:
            scores[detector] = of_peer(detector, files, args.work)
            for file, key, of in zip(files, keys, scores[detector]):
                write(results / key, read(file, "timestamp"), of)
        else:
            scores[detector] = [detect(args.perfstream, file, "timestamp", "value", detector, results / key)
                                for file, key in zip(files, keys)]
        got = nab_score(folder, results, "--files", names)
        one = got["standard"]
        other = crossed(folder, results, keys, args.work)
        if detector == "best":
            hold("NAB", one["score"], TARGETS["standard"])
            hold("NAB, threshold from the other half", other, TARGETS["crossed"])
        print(f"{detector:30} {one['score']:8.2f} {got['reward_low_FP']['score']:7.2f} {got['reward_low_FN']['score']:7.2f} "
              f"{one['threshold']:10.4f} {one['windows_hit']:4}/{one['windows']} {one['fp_rows']:11} "
              f"{other:10.2f}")
    windows = json.loads((folder / "labels.json").read_text())
    series = [events.Series(key, inside(read(file, "timestamp"), windows[key])) for file, key in zip(files, keys)]
    by_events("NAB, its windows as events", args, series, scores)


def write(path, times, scores):
    """A file as `perfstream detect --csv` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["timestamp", "anomaly_score"])
        out.writerows(zip(times, scores))


def inside(times, windows):
    """Of each row: does it lie in a window, from the first row of its beginning to the first of its end?"""
    # A window's times have microseconds where the rows' have none.
    first = {time: at for at, time in reversed(list(enumerate(times)))}
    labels = [False] * len(times)
    for start, end in ([time.split(".")[0] for time in window] for window in windows):
        for row in range(first[start], first[end] + 1):
            labels[row] = True
    return labels


def sweep(args):
    """The NAB score of `best` with one number of `novelty` changed at a time."""
    folder = pathlib.Path(args.nab)
    keys = sorted(key for key in json.loads((folder / "labels.json").read_text()) if (folder / "data" / key).is_file())
    names = args.work / "nab" / "files.txt"
    variants = subprocess.run([args.sweep], capture_output=True, text=True, check=True).stdout.splitlines()
    print("\nbest, one number of `novelty` changed at a time (native code)")
    print("variant                       standard  standard, threshold from the other half")
    scores = []
    for variant in variants:
        results = args.work / "sweep"
        subprocess.run([args.sweep, variant, folder / "data", results], check=True)
        scores.append(nab_score(folder, results, "--files", names)["standard"]["score"])
        print(f"{variant:28} {scores[-1]:9.2f} {crossed(folder, results, keys, args.work):10.2f}")
    hold("NAB, least over the sweep", min(scores), TARGETS["least"])
    print(f"{'minimum':28} {min(scores):9.2f}\n{'mean':28} {np.mean(scores):9.2f}")


def crossed(folder, results, keys, work):
    """2-fold: threshold of one half of the files on the other, both ways; files of one source together."""
    groups = sorted({source(key) for key in keys})
    half = {name: at % 2 for at, name in enumerate(groups)}
    score, weight = 0.0, 0.0
    for fold in (0, 1):
        lists = []
        for side in (fold, 1 - fold):
            path = work / "nab" / f"half{side}.txt"
            path.write_text("\n".join(key for key in keys if half[source(key)] == side) + "\n")
            lists.append(path)
        got = nab_score(folder, results, "--tune-files", lists[0], "--files", lists[1])["standard"]
        score += got["score"] * got["windows"]
        weight += got["windows"]
    return score / weight


def source(key):
    """Files of one source: the same name but for a measure's suffix."""
    return key.rsplit("/", 1)[-1].replace("_cpc_", "_").replace("_cpm_", "_").replace("occupancy_", "").replace("speed_", "")


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--perfstream", required=True)
    cli.add_argument("--work", required=True, type=pathlib.Path)
    cli.add_argument("--mscloud")
    cli.add_argument("--nab")
    cli.add_argument("--presets", nargs="+", default=PRESETS)
    cli.add_argument("--sweep", help="command that writes the scores of a variant of novelty")
    cli.add_argument("--per-series", action="store_true")
    args = cli.parse_args()
    if args.mscloud:
        mscloud(args)
    if args.nab:
        nab(args)
        if args.sweep:
            sweep(args)
    if missed:
        sys.exit("missed: " + "; ".join(missed))
    print("\nall targets of `best` held")


if __name__ == "__main__":
    main()
