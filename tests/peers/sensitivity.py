#!/usr/bin/env python3
"""How the scores move with the detector's score and floor. usage: sensitivity.py SPIKES_FOLDER AMPBRIDGE_BINARY"""
import csv, importlib.util, subprocess, sys, tempfile

folder, binary = sys.argv[1], sys.argv[2]
spec = importlib.util.spec_from_file_location("score", f"{folder}/score.py")
scorer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scorer)
print("| score | floor | synth_daily P / R / F1 / FA | semireal_daily P / R / F1 / FA |\n|---|---|---|---|")
for z, floor in [(2.25, 5), (2.5, 5), (2.6, 5), (2.75, 5), (2.9, 5), (3.0, 5), (3.25, 5), (2.75, 2), (2.75, 10), (2.75, 20)]:
    cells = []
    for name in ("synth_daily", "semireal_daily"):
        data = f"{folder}/dev/{name}.csv"
        out = tempfile.NamedTemporaryFile(suffix=".csv")
        command = [binary, "backtest", "--csv", data, "--detections", out.name, "--score", str(z), "--floor", str(floor), "--json"]
        subprocess.run(command, check=True, capture_output=True)
        with open(out.name, newline="") as file:
            found = [(row["series"], scorer.ts(row["timestamp"])) for row in csv.DictReader(file)]
        r, _ = scorer.score(scorer.load(data), found)
        cells.append(f"{r['precision']:.2f} / {r['recall']:.2f} / {r['f1']:.2f} / {r['false_per_1000']:.1f}")
    print(f"| {z} | {floor} | {' | '.join(cells)} |")
