#!/usr/bin/env python3
"""ampbridge's spike detector beside three others, on the same labelled series, judged by the same scorer.

usage: peers.py SPIKES_FOLDER AMPBRIDGE_BINARY        (by hand; the table in docs/spikes.md is its output)

  python3 -m venv venv && venv/bin/pip install river statsmodels
  venv/bin/python tests/peers/peers.py ../shared/data/spikes target/release/ampbridge

The others work on the same active days, get the same floor of 5 USD, and the thresholds that were best on the
development set; every point is judged from the points before it alone.
"""
import collections, csv, importlib.util, json, math, statistics, subprocess, sys, tempfile, time, warnings

FLOOR = 5.0


def load(path):
    series = collections.defaultdict(list)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            series[row["series"]].append((row["timestamp"], float(row["value"])))
    return series


def z_score(points, days=14, k=6.0):
    """Mean and deviation of the last `days` active days."""
    past, found = [], []
    for at, usd in points:
        if usd > 0 and len(past) >= 7:
            mean, spread = statistics.fmean(past[-days:]), statistics.pstdev(past[-days:])
            if usd - mean >= FLOOR and usd - mean > k * max(spread, 1e-9):
                found.append(at)
        if usd > 0:
            past.append(usd)
    return found


def gaussian(points, quantile=0.9999, window=28):
    """river's GaussianScorer on the logarithms."""
    from river import anomaly

    scorer, past, found = anomaly.GaussianScorer(window_size=window, grace_period=7), [], []
    for at, usd in points:
        if usd <= 0:
            continue
        y = math.log(usd)
        usual = math.exp(statistics.median(past[-window:])) if past else usd
        if scorer.score_one(None, y) >= quantile and usd > usual and usd - usual >= FLOOR:
            found.append(at)
        scorer.learn_one(None, y)
        past.append(y)
    return found


def stl(points, k=20.0, window=56):
    """statsmodels' STL over the last eight weeks; the last day's residual against the others'."""
    from statsmodels.tsa.seasonal import STL

    values, found = [usd for _, usd in points], []
    for n, (at, usd) in enumerate(points):
        past = values[max(0, n - window + 1) : n + 1]
        if usd <= 0 or len(past) < 21:
            continue
        residuals = STL(past, period=7, robust=True).fit().resid
        spread = statistics.median(abs(r) for r in residuals[:-1]) or 1e-9
        if residuals[-1] >= FLOOR and residuals[-1] > k * spread:
            found.append(at)
    return found


def ours(data, binary, preset=None):
    out = tempfile.NamedTemporaryFile(suffix=".csv")
    more = ["--preset", preset] if preset else []
    began = time.perf_counter()
    subprocess.run([binary, "backtest", "--csv", data, "--detections", out.name, "--json", *more], check=True, capture_output=True)
    took = time.perf_counter() - began
    with open(out.name, newline="") as file:
        return [(row["series"], row["timestamp"]) for row in csv.DictReader(file)], took


def main():
    folder, binary = sys.argv[1], sys.argv[2]
    spec = importlib.util.spec_from_file_location("score", f"{folder}/score.py")
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    warnings.simplefilter("ignore")
    for name in ("synth_daily", "semireal_daily"):
        data = f"{folder}/dev/{name}.csv"
        series, labels = load(data), scorer.load(data)
        count = sum(len(points) for points in series.values())
        print(f"\n**{name}**\n\n| method | P | R | F1 | false alarms per user-month | delay, days | time per point |\n|---|---|---|---|---|---|---|")
        rows = []
        for label, method in (("z-score, 14 days, 6 sigma", z_score), ("river GaussianScorer, .9999", gaussian), ("statsmodels STL, 20 MAD", stl)):
            began = time.perf_counter()
            found = [(s, at) for s, points in series.items() for at in method(points)]
            rows.append((label, found, time.perf_counter() - began))
        for preset in ("calm", "default", "eager"):
            found, took = ours(data, binary, preset)
            rows.append((f"**ampbridge, {preset}**" if preset == "default" else f"ampbridge, {preset}", found, took))
        for label, found, took in rows:
            r, _ = scorer.score(labels, [(s, scorer.ts(at)) for s, at in found])
            delay = "" if r["delay_points_mean"] is None else f"{r['delay_points_mean']:.2f}"
            print(f"| {label} | {r['precision']:.2f} | {r['recall']:.2f} | {r['f1']:.2f} | {r['false_per_1000'] * 0.03:.3f} | {delay} | {took / count * 1e6:.0f} us |")


if __name__ == "__main__":
    main()
