#!/usr/bin/env python3
"""Whole-process figures of a release binary: polls of many threads, memory, disk writes, idle, start to ready.

    scripts/figures.py [--binary target/release/ampbridge] [--threads 100000,1000000] [--idle 60] [--runs 5]

Everything runs on loopback, against the program's own fake workspace. Prints Markdown tables for docs/benchmarks.md.
Linux only (/proc). Nothing in here asserts a time: machines differ.
"""
import contextlib
import os
import pathlib
import platform
import statistics
import subprocess
import tempfile
import time

import loopback

OUT = """
[sinks.out]
kind = "console"
[[routes]]
sinks = ["out"]
"""


def main():
    parser = loopback.arguments(__doc__)
    parser.add_argument("--threads", default="100000,1000000")
    parser.add_argument("--idle", type=int, default=60, help="seconds of idling that are measured")
    parser.add_argument("--runs", type=int, default=5, help="starts whose median is printed")
    args = parser.parse_args()
    binary = os.path.abspath(args.binary)
    print_machine(binary)
    polls, idle = [], None
    for count in [int(n) for n in args.threads.split(",")]:
        with loopback.workspace(binary, count, "--members", "20") as (api, _), tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            polls.append(poll(binary, folder, api, count))
            if idle is None:
                idle = (count, *service(binary, folder, api, args.idle, args.runs))
    print("| threads | first poll | unchanged poll | peak RSS first / unchanged | of that, above an empty one | store | written by an unchanged poll |")
    print("|---|---|---|---|---|---|---|")
    for row in polls:
        print("| " + " | ".join(row) + " |")
    count, ready, rss, cpu = idle
    print(f"\nStart to ready with {count:,} threads known, median of {args.runs}: {ready * 1000:.0f} ms  ")
    print(f"Idle with {count:,} threads known, over {args.idle} s, default intervals: {rss / 1e6:.0f} MB RSS, {cpu:.2f} % of a core  ")
    print(f"Binary: {os.path.getsize(binary) / 1e6:.1f} MB")


def print_machine(binary):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), platform.machine())
    version = subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.strip()
    print(f"{version}, commit {commit or '?'}, {os.cpu_count()} cores, {cpu}, {platform.system()} {platform.release()}\n")


def configure(folder, *sources):
    config = [loopback.head("figures"), *sources, OUT]
    folder.joinpath("ampbridge.toml").write_text("".join(config))


def once(binary, folder):
    """Runs `once`; seconds, peak RSS and bytes written to disk."""
    began = time.monotonic()
    process = subprocess.Popen([binary, "once"], cwd=folder, env=loopback.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # The counters of a process are gone with it: the last that was seen before its end.
    written = 0
    while True:
        with contextlib.suppress(OSError, StopIteration, ValueError):
            io = open(f"/proc/{process.pid}/io").read()
            written = int(next(line.split()[1] for line in io.splitlines() if line.startswith("write_bytes")))
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        if done:
            process.returncode = os.waitstatus_to_exitcode(status)
            if status:
                raise SystemExit(f"once failed: {process.stderr.read().decode()}")
            return time.monotonic() - began, usage.ru_maxrss * 1024, written
        time.sleep(0.005)


def size(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def poll(binary, folder, api, count):
    with tempfile.TemporaryDirectory() as empty:
        empty = pathlib.Path(empty)
        # What the program needs with nothing to look at.
        configure(empty)
        _, nothing, _ = once(binary, empty)
    configure(folder, loopback.source(api, "60s"))
    first, first_rss, _ = once(binary, folder)
    store = size(folder / "store")
    again, again_rss, written = once(binary, folder)
    mb = lambda n: f"{n / 1e6:.0f} MB"
    return (
        f"{count:,}", f"{first:.1f} s", f"{again:.1f} s", f"{mb(first_rss)} / {mb(again_rss)}",
        f"{mb(first_rss - nothing)} / {mb(again_rss - nothing)}", mb(store), f"{written / 1e3:.0f} kB",
    )


def service(binary, folder, api, idle, runs):
    """Seconds from start to ready, and what idling takes."""
    configure(folder, loopback.source(api, "60s"))
    ready = []
    for number in range(runs):
        running = loopback.Service(binary, folder)
        ready.append(running.ready())
        if number + 1 < runs:
            running.stop()
    # The first round of looks is not idling.
    time.sleep(30)
    pid = running.process.pid
    before, since = ticks(pid), time.monotonic()
    time.sleep(idle)
    cpu = (ticks(pid) - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - since) * 100
    rss = running.memory()
    running.stop()
    return statistics.median(ready), rss, cpu


def ticks(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    main()
