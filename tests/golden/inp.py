#!/usr/bin/env python3
"""Random event-timing sequences with their INP: an independent check, standard library only.

Written from the rules in prose (web-vitals 6). After every entry the whole past is looked at again:
each interaction is its longest entry, the longest come first (of equals the one that got there
first), number min(9, len - 1, count // 50) is the metric, and the reported entry changes only when
the value does. The stage instead keeps a list of ten. Entries are [interactionId, startTime,
duration, delay, proc]; `counts` holds the page's interactionCount at each entry, or null.

    python3 tests/golden/inp.py > tests/golden/inp_random.json
"""
import json
import random

SEED = 20261124


def entries(rng):
    count = rng.choice([0, 1, 2, 4, 7, 12, 18, 25])
    ident, start, out = 7 * rng.randrange(1, 2000), 100.0, []
    durations = rng.choice([[16, 24, 40], [40, 48, 56, 64, 104, 200], list(range(16, 1200, 8))])
    for _ in range(count):
        start += 4000  # frames of different interactions never touch
        if rng.random() < 0.12:
            out.append([0, start, rng.choice(durations), 1, 2])  # hover and the like
            continue
        ident += 7 * rng.choice([1, 1, 2, 10, 40])
        shown = ident
        if out and rng.random() < 0.1:  # an entry of an interaction that was seen before
            shown = rng.choice([e[0] for e in out]) or ident
        first = [shown, start, rng.choice(durations), rng.choice([0, 1, 8, 12.5]), rng.choice([0, 2, 24, 3000])]
        out.append(first)
        for _ in range(rng.choice([0, 0, 1, 2])):
            same_frame = rng.random() < 0.7
            duration = first[2] + rng.choice([0, 0, 8, -8]) if same_frame else rng.choice(durations)
            out.append([rng.choice([shown, shown, 0]), start, duration, rng.choice([0, 4, 20]), rng.choice([1, 16, 64])])
    return out


def counts(rng, made):
    if rng.random() < 0.5:
        return None
    total, seen, out = 0, set(), []
    for e in made:
        if e[0] and e[0] not in seen:
            seen.add(e[0])
            total += rng.choice([1, 1, 3, 20, 60])
        elif not e[0]:
            total += rng.choice([0, 1])  # an interaction too fast for an entry
        out.append(total)
    return out


def frame(past, entry):
    """Processing start and end over all entries so far that belong to the entry's frame."""
    frames = []
    for e in past:
        paint = e[1] + e[2]
        home = next((f for f in reversed(frames) if abs(f[0][1] + f[0][2] - paint) <= 8), None)
        if home is None:
            frames.append([e])
        else:
            home.append(e)
    mine = next(f for f in frames if any(e is entry for e in f))
    return min(e[1] + e[3] for e in mine), max(e[1] + e[3] + e[4] for e in mine)


def page_count(made, told, upto):
    if told is not None:
        return told[upto - 1] if upto else 0
    ids = [e[0] for e in made[:upto] if e[0]]
    return (max(ids) - min(ids)) / 7 + 1 if ids else 0


def candidate(made, told, begin, upto, restored):
    count = page_count(made, told, upto) - page_count(made, told, begin)
    longest = {}
    for e in made[begin:upto]:
        if e[0] and (e[0] not in longest or e[2] > longest[e[0]][2]):
            longest.pop(e[0], None)
            longest[e[0]] = e  # dicts keep the order in which latencies were reached
    ranked = sorted(longest.values(), key=lambda e: -e[2])[:10]
    if ranked:
        return ranked[min(len(ranked) - 1, int(count // 50))]
    return [None, 0, 8, 0, 0] if restored and count > 0 else None


def instance(made, told, begin, end, navigation):
    reported = None
    for upto in range(begin + 1, end + 1):
        found = candidate(made, told, begin, upto, navigation != "navigate")
        if found and (reported is None or reported[2] != found[2]):
            reported = found
    if reported is None:
        return None
    value = reported[2]
    rating = "good" if value <= 200 else "needs-improvement" if value <= 500 else "poor"
    out = {"inp": value, "rating": rating, "navigationType": navigation, "interactionId": reported[0]}
    if reported[0] is None:
        return out | {"inputDelay": 0, "processingDuration": 0, "presentationDelay": 8}
    first, last = frame(made[:end], reported)
    first = max(first, reported[1])
    paint = max(reported[1] + value, first)
    last = min(last, paint)
    return out | {"inputDelay": first - reported[1], "processingDuration": last - first,
                  "presentationDelay": paint - last}


def vector(number, rng):
    made = entries(rng)
    told = counts(rng, made)
    cuts = sorted(rng.sample(range(len(made) + 1), min(len(made), rng.choice([0, 0, 1, 2, 5]))))
    # A cut between two entries of one frame would let the frame grow after the reset; not tested.
    cuts = [c for c in cuts if c in (0, len(made)) or made[c][1] != made[c - 1][1]]
    resets = [{"type": rng.choice(["back-forward-cache", "soft-navigation"]), "beforeIndex": c} for c in cuts]
    edges, types = [0] + cuts + [len(made)], ["navigate"] + [r["type"] for r in resets]
    expected = [instance(made, told, a, b, t) for a, b, t in zip(edges, edges[1:], types)]
    return {"id": f"random-{number}", "entries": made, "counts": told, "resets": resets, "expected": expected}


def main():
    rng = random.Random(SEED)
    print('{"about": "made by tests/golden/inp.py", "vectors": [')
    print(",\n".join(json.dumps(vector(n, rng), separators=(",", ":")) for n in range(200)))
    print("]}")


if __name__ == "__main__":
    main()
