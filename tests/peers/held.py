#!/usr/bin/env python3
"""Spend of users that no constant of the detector was ever tried on, and how well the spikes in it are found.

usage: held.py SCORE_PY AMPBRIDGE_BINARY [COMPANIES] [FIRST_SEED]      (by hand; docs/spikes.md quotes its output)

  python3 tests/peers/held.py ../shared/data/spikes/score.py target/release/ampbridge

Each company is thirty users over 180 days, made from its seed alone: kinds of work, levels, noise, growth, holidays,
crunches, a price change, and labelled spikes and new levels, as the development set's description says of itself. The
same series as hourly polls for the last 40 days. A z-score stands beside it to show how hard the data is. Standard
library only.
"""
import csv, datetime as dt, importlib.util, json, math, pathlib, random, statistics, subprocess, sys, tempfile

from peers import load, z_score

USERS, DAYS, POLLED = 30, 180, 40
START = dt.datetime(2026, 1, 5, tzinfo=dt.timezone.utc)
FLOOR = 5.0
# Share of users, chance of a working day, of a day of the weekend, weekend's level, noise of a day.
KINDS = [
    ("office", 0.50, 0.92, 0.06, 0.5, (0.25, 0.50)),
    ("mixed", 0.20, 0.85, 0.40, 0.8, (0.30, 0.55)),
    ("automation", 0.17, 1.00, 1.00, 0.9, (0.12, 0.22)),
    ("sparse", 0.13, 0.40, 0.12, 0.9, (0.35, 0.65)),
]


def user(rng, company):
    """Expected spend of each day, what was spent, and the labelled events."""
    pick, kind = rng.random(), KINDS[-1]
    for candidate in KINDS:
        if pick < candidate[1]:
            kind = candidate
            break
        pick -= candidate[1]
    _, _, week, weekend, quieter, noise = kind
    level = math.exp(rng.uniform(math.log(0.3), math.log(250)))
    sigma, growth = rng.uniform(*noise), rng.gauss(0.0, 0.002)
    joined = 0 if rng.random() < 0.7 else rng.randrange(10, 120)
    left = DAYS if rng.random() < 0.9 else rng.randrange(joined + 40, DAYS + 40)
    ramp = rng.uniform(5, 20) if joined else 0
    away = rng.randrange(joined, DAYS) if rng.random() < 0.6 else DAYS
    weekdays = [math.exp(rng.gauss(0, 0.1)) for _ in range(7)]
    expected, spent, echo = [], [], 0.0
    for day in range(DAYS):
        off = (START.weekday() + day) % 7 >= 5
        base = level * math.exp(growth * day) * weekdays[day % 7] * (quieter if off else 1.0)
        if ramp and day - joined < ramp:
            base *= 0.3 + 0.7 * (day - joined) / ramp
        if day >= company["price_day"]:
            base *= 1.35
        if company["crunch"] <= day < company["crunch"] + 7:
            base *= 1.4
        expected.append(base)
        active = rng.random() < (weekend if off else week) and joined <= day < left
        active = active and not away <= day < away + 10 and (day not in company["holidays"] or kind[0] == "automation")
        echo = 0.3 * echo + math.sqrt(1 - 0.09) * rng.gauss(0, sigma)
        busy = rng.uniform(1.3, 2.0) if rng.random() < 0.03 else 1.0
        spent.append(base * math.exp(echo) * busy if active else 0.0)
    events, taken = [], set()
    lifted = [0.0] * DAYS
    for _ in range(sum(rng.random() < 1 / 60 for _ in range(DAYS - joined))):
        day, length = rng.randrange(joined + 14, DAYS + 14), rng.choice([1] * 8 + [2, 3])
        days = [d for d in range(day, day + length) if d < min(DAYS, left)]
        least = max(2.0, 1 + FLOOR / expected[day]) if days else 21.0
        if least >= 20 or taken & set(range(day - 1, day + length + 1)):
            continue
        factor = math.exp(rng.uniform(math.log(least), math.log(20)))
        was_off = spent[day] == 0
        for d in days:
            excess = expected[d] * (factor - 1) * (1 if d == day else rng.uniform(0.6, 1.0))
            spent[d] = (spent[d] or expected[d]) + excess
            lifted[d] = excess
        taken |= set(days)
        events.append(("spike-off" if was_off else "spike", days, factor))
    if rng.random() < 0.35 and joined + 30 < DAYS - 25:
        day, factor = rng.randrange(joined + 30, DAYS - 25), rng.uniform(2, 5)
        high = [d for d in range(day, min(DAYS, left)) if spent[d] > 0]
        if len(high) >= 3 and expected[high[0]] * (factor - 1) >= FLOOR and not taken & set(range(high[0], high[2] + 1)):
            for d in high:
                spent[d] *= factor
                lifted[d] *= factor
            events.append(("shift", list(range(high[0], high[2] + 1)), factor))
            taken |= {d for d in range(high[0], high[2] + 1)}
    return joined, spent, lifted, events


def company(seed):
    rng = random.Random(seed)
    shared = {
        "price_day": rng.randrange(60, 150),
        "crunch": rng.randrange(30, 160),
        "holidays": {rng.randrange(DAYS) for _ in range(6)},
    }
    return {f"user-{n:02}": user(rng, shared) for n in range(USERS)}, rng


def write(folder, users, rng):
    with open(folder / "daily.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["series", "timestamp", "value", "label"])
        for name, (joined, spent, _, events) in users.items():
            labelled = {d for kind, days, _ in events for d in days if kind != "shift" or spent[d] > 0}
            for day in range(joined, DAYS):
                at = (START + dt.timedelta(days=day)).strftime("%Y-%m-%dT%H:%M:%SZ")
                out.writerow([name, at, f"{spent[day]:.2f}", int(day in labelled)])
    with open(folder / "polls.csv", "w", newline="") as file, open(folder / "before.csv", "w", newline="") as earlier:
        out, before = csv.writer(file), csv.writer(earlier)
        for writer in (out, before):
            writer.writerow(["series", "timestamp", "value", "label"])
        for name, (joined, spent, lifted, events) in users.items():
            shape = [math.exp(rng.gauss(0, 0.4)) * (1.0 if 8 <= hour < 19 else 0.12) for hour in range(24)]
            shifted = {d for kind, days, _ in events if kind == "shift" for d in days}
            for day in range(joined, DAYS):
                at = START + dt.timedelta(days=day)
                if day < DAYS - POLLED:
                    before.writerow([name, at.strftime("%Y-%m-%dT%H:%M:%SZ"), f"{spent[day]:.2f}", 0])
                    continue
                hours = [weight * math.exp(rng.gauss(0, 0.5)) for weight in shape]
                begins, lasts = rng.randrange(0, 20), rng.randrange(2, 6)
                sofar = 0.0
                for hour in range(24):
                    sofar += (spent[day] - lifted[day]) * hours[hour] / sum(hours)
                    if lifted[day] and begins <= hour < begins + lasts:
                        sofar += lifted[day] / min(lasts, 24 - begins)
                    label = (lifted[day] and hour >= begins) or (day in shifted and spent[day] > 0)
                    poll = at + dt.timedelta(hours=hour, minutes=55)
                    out.writerow([name, poll.strftime("%Y-%m-%dT%H:%M:%SZ"), f"{sofar:.2f}", int(bool(label))])


def detections(binary, arguments):
    out = tempfile.NamedTemporaryFile(suffix=".csv")
    command = [binary, "backtest", "--detections", out.name, "--json", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    with open(out.name, newline="") as file:
        return [(row["series"], row["timestamp"]) for row in csv.DictReader(file)]


def main():
    scorer, binary = sys.argv[1], sys.argv[2]
    companies = int(sys.argv[3]) if len(sys.argv) > 3 else 8
    first = int(sys.argv[4]) if len(sys.argv) > 4 else 1000
    spec = importlib.util.spec_from_file_location("score", scorer)
    score = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(score)
    totals = {}
    for seed in range(first, first + companies):
        users, rng = company(seed)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            write(folder, users, rng)
            daily, polls = str(folder / "daily.csv"), str(folder / "polls.csv")
            z = [(name, at) for name, points in load(daily).items() for at in z_score(points)]
            runs = [
                ("daily: z-score, 14 days, 6 sigma", daily, z),
                ("daily: ampbridge", daily, detections(binary, ["--csv", daily])),
                ("polls: ampbridge", polls, detections(
                    binary, ["--csv", polls, "--intraday", "--before", str(folder / "before.csv")])),
            ]
            for what, data, found in runs:
                made, _ = score.score(score.load(data), [(s, score.ts(t)) for s, t in found])
                total = totals.setdefault(what, {"points": 0, "events": 0, "found": 0, "false_alarms": 0, "delay": [], "f1": []})
                for key in ("points", "events", "found", "false_alarms"):
                    total[key] += made[key]
                total["delay"].append(made["delay_points_mean"] or 0.0)
                total["f1"].append(made["f1"])
    print(f"{companies} companies of {USERS} users from seed {first}\n")
    print("| what | events | P | R | F1 (least, most) | false alarms per 1,000 points | delay, points |\n|---|---|---|---|---|---|---|")
    for what, t in totals.items():
        p, r = t["found"] / (t["found"] + t["false_alarms"]), t["found"] / t["events"]
        print(f"| {what} | {t['events']} | {p:.2f} | {r:.2f} | {2 * p * r / (p + r):.2f} ({min(t['f1']):.2f}, {max(t['f1']):.2f}) "
              f"| {1000 * t['false_alarms'] / t['points']:.1f} | {statistics.fmean(t['delay']):.2f} |")


if __name__ == "__main__":
    main()
