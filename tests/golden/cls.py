#!/usr/bin/env python3
"""Random layout-shift sequences with their CLS: an independent check, standard library only.

Written from the rules in prose (web-vitals 6: recent input ignored; a shift joins the open window if
the sum is not 0, the gap to the last is < 1000 ms and the span from the first < 5000 ms; the largest
sum wins, the first of equals stays; a reset starts again at 0). Windows are first cut out whole and
then compared, unlike the stage, which compares shift by shift.

    python3 tests/golden/cls.py > tests/golden/cls_random.json
"""
import json
import random

SEED = 20261124
VALUES = [0, 0, 0.01, 0.02, 0.05, 0.1, 0.1, 0.2, 0.25]
GAPS = [0, 1, 16.7, 100, 250, 500, 999, 999.9, 1000, 1000.1, 1500, 4000]


def shifts(rng):
    style = rng.randrange(4)
    count = rng.choice([0, 1, 2, 3, 5, 8, 13, 21, 26])
    start, out = rng.choice([0, 12.5, 800]), []
    for _ in range(count):
        if style == 0:
            start += rng.choice(GAPS)
        elif style == 1:
            start += rng.choice([300, 450, 625, 833.3, 999.5])
        else:
            start += round(rng.expovariate(1 / 600), 1)
        shown = start
        if style == 3 and rng.random() < 0.15:  # arrives late
            shown = max(0, round(start - rng.choice([50, 700, 3000]), 1))
        value = rng.choice(VALUES) if rng.random() < 0.5 else round(rng.random() * 0.2, 4)
        names = rng.sample(["#a", "#b", "#c", "div.ad", "img>TEXT", "#text"], rng.choice([0, 1, 1, 2, 3]))
        out.append({"startTime": round(shown, 1), "value": value,
                    "hadRecentInput": rng.random() < 0.15, "sources": names})
    return out


def windows(entries):
    """All windows of one metric instance, as lists of (index, entry)."""
    found, total = [], 0.0
    for index, e in entries:
        if e["hadRecentInput"]:
            continue
        if total and e["startTime"] - found[-1][-1][1]["startTime"] < 1000 \
                and e["startTime"] - found[-1][0][1]["startTime"] < 5000:
            found[-1].append((index, e))
            total += e["value"]
        else:
            found.append([(index, e)])
            total = e["value"]
    return found


def plain_sum(window):
    total = 0.0
    for _, e in window:
        total = total + e["value"]
    return total


def is_text(name):
    return name == "#text" or name.split(">")[-1] == "TEXT"


def result(entries, navigation):
    best, cls = [], 0
    for window in windows(entries):
        if plain_sum(window) > cls:
            best, cls = window, plain_sum(window)
    largest, sources = None, []
    for index, e in best:
        sources += [s for s in e["sources"] if s not in sources]
    if best:
        top = max(e["value"] for _, e in best)
        e = [e for _, e in best if e["value"] == top][-1]
        if e["sources"]:
            elements = [s for s in e["sources"] if not is_text(s)]
            largest = {"target": (elements or e["sources"])[0], "startTime": e["startTime"], "value": e["value"]}
    rating = "good" if cls <= 0.1 else "needs-improvement" if cls <= 0.25 else "poor"
    return {"cls": cls, "rating": rating, "navigationType": navigation,
            "window": [i for i, _ in best], "largestShift": largest, "sources": sources}


def vector(number, rng):
    entries = shifts(rng)
    cuts = sorted(rng.sample(range(len(entries) + 1), min(len(entries), rng.choice([0, 0, 0, 1, 2]))))
    resets = [{"type": rng.choice(["back-forward-cache", "soft-navigation", "hidden"]), "beforeIndex": c}
              for c in cuts]
    parts, begin, navigation = [], 0, "navigate"
    for reset in resets:
        if reset["type"] == "hidden":
            continue
        parts.append((begin, reset["beforeIndex"], navigation))
        begin, navigation = reset["beforeIndex"], reset["type"]
    parts.append((begin, len(entries), navigation))
    numbered = list(enumerate(entries))
    return {"id": f"random-{number}", "shifts": entries, "resets": resets,
            "expected": [result(numbered[a:b], n) for a, b, n in parts]}


def main():
    rng = random.Random(SEED)
    print('{"about": "made by tests/golden/cls.py", "vectors": [')
    print(",\n".join(json.dumps(vector(n, rng), separators=(",", ":")) for n in range(200)))
    print("]}")


if __name__ == "__main__":
    main()
