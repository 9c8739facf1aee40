#!/usr/bin/env python3
"""Many events wait for one dead sink: what that costs in memory, what it does to the other sink, how long a restart takes,
and whether they go out in order once the sink is back.

    scripts/backlog.py [--binary target/release/ampbridge] [--events 100000]

Everything runs on loopback, against the program's own fake workspace. Linux only (/proc). Exit 1 where something is lost.
"""
import json
import os
import pathlib
import tempfile
import time

import loopback

ROUTE = """
[[routes]]
events = ["thread.created"]
sinks = ["dead", "live"]
"""


class Receiver(loopback.Receiver):
    """Notes what comes in which order, and answers 503 for the dead sink until it is alive."""

    def __init__(self):
        self.alive = False
        self.order = {"dead": [], "live": []}
        self.last = {}
        super().__init__()

    def take(self, name, webhook_id, body):
        if b'"type":"thread.created"' not in body:
            return 200
        if name == "dead" and not self.alive:
            return 503
        self.order[name].append(webhook_id)
        self.last[name] = time.monotonic()
        return 200


def main():
    parser = loopback.arguments(__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    args = parser.parse_args()
    binary = os.path.abspath(args.binary)
    receiver = Receiver()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with loopback.workspace(binary, 0, "--members", "5") as (api, _):
            dead = loopback.webhook("dead", receiver.port, 'retry = { min = "1s", max = "5s" }')
            sinks = [dead, loopback.webhook("live", receiver.port)]
            config = [loopback.head("backlog"), loopback.source(api, "5s"), *sinks, ROUTE]
            folder.joinpath("ampbridge.toml").write_text("".join(config))
            done = loopback.run(binary, folder, "once")
            if done.returncode:
                raise SystemExit(f"once: {done.stderr}")
        # The same address, another world: all of it is new.
        port = api.rsplit(":", 1)[1]
        with loopback.workspace(binary, args.events, "--members", "5", "--port", port):
            measure(binary, folder, receiver, args.events)


def measure(binary, folder, receiver, count):
    idle = loopback.Service(binary, folder, folder / "out.log")
    idle.ready()
    base = idle.memory("VmRSS")
    began = time.monotonic()
    wait_for(lambda: len(set(receiver.order["live"])) >= count, "all events at the live sink")
    took = receiver.last["live"] - began
    peak = idle.memory("VmHWM")
    waits = idle.memory("VmRSS")
    print(f"{count:,} events, one of two sinks dead: the other has them all after {took:.1f} s ({count / took:,.0f} a second, the poll included)")
    print(f"memory: {base / 1e6:.0f} MB at the start, at most {peak / 1e6:.0f} MB, {waits / 1e6:.0f} MB with {count:,} waiting")
    idle.kill()
    again = loopback.Service(binary, folder, folder / "again.log")
    print(f"killed and started again, ready after {again.ready() * 1000:.0f} ms, {again.memory('VmRSS') / 1e6:.0f} MB")
    receiver.alive = True
    began = time.monotonic()
    wait_for(lambda: len(set(receiver.order["dead"])) >= count, "all events at the sink that was dead")
    took = receiver.last["dead"] - began
    print(f"the sink is back: drained in {took:.1f} s ({count / took:,.0f} a second), at most {again.memory('VmHWM') / 1e6:.0f} MB")
    again.stop()
    print(f"more than once: {len(receiver.order['dead']) - count}")
    events = json.loads(loopback.run(binary, folder, "events", "list", "--json", "--type", "thread.created", "--limit", str(count)).stdout)
    place = {event["id"]: number for number, event in enumerate(reversed(events))}
    order = [place[one] for one in dict.fromkeys(receiver.order["dead"]) if one in place]
    ahead = max((number - seen for seen, number in enumerate(order)), default=0)
    print(f"order: no event came more than {ahead} places too early")
    audit = loopback.run(binary, folder, "audit")
    print(audit.stdout.strip())
    if audit.returncode:
        raise SystemExit("BROKEN: audit finds something unaccounted for")


def wait_for(condition, what, longest=1200):
    deadline = time.monotonic() + longest
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"BROKEN: {what}: not within {longest} s")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
