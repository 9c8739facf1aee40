#!/usr/bin/env python3
"""Events to three sinks while the process is killed, the receiver fails, and the disk fills up. Proves that every event
reaches every sink, none under a second id, and counts what came twice.

    scripts/faults.py [--binary target/release/ampbridge] [--events 10000] [--kills 50] [--fail 0.3] [--full-disk]

Everything runs on loopback, against the program's own fake workspace. `--full-disk` mounts a small tmpfs and needs root.
Exit 1 where a promise is broken.
"""
import collections
import json
import os
import pathlib
import random
import subprocess
import tempfile
import threading
import time
import urllib.request

import loopback

SINKS = ("one", "two", "three")
IN_FLIGHT = 32  # attempts at a time of a webhook sink
ROUTE = """
[[routes]]
events = ["thread.created"]
sinks = ["one", "two", "three"]
"""


class Receiver(loopback.Receiver):
    """Answers 500 to a share of the webhooks. Keeps, per sink, what it has accepted how often."""

    def __init__(self, fail):
        self.fail = fail
        self.random = random.Random(1)
        self.taken = {name: collections.Counter() for name in SINKS}
        self.subjects = collections.defaultdict(set)
        self.refused = self.news = 0
        super().__init__()

    def take(self, name, webhook_id, body):
        event = json.loads(body)
        if self.random.random() < self.fail:
            self.refused += 1
            return 500
        assert webhook_id == event["id"], (webhook_id, event["id"])
        if event["type"] != "thread.created":
            self.news += 1  # of a sink that fails, to the others
            return 200
        self.taken[name][webhook_id] += 1
        self.subjects[event["subject"]].add(webhook_id)
        return 200


def main():
    parser = loopback.arguments(__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--fail", type=float, default=0.0, help="share of requests the receiver fails")
    parser.add_argument("--full-disk", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    binary = os.path.abspath(args.binary)
    random.seed(args.seed)
    receiver = Receiver(args.fail)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        store = folder / "store"
        if args.full_disk:
            store = folder / "disk" / "store"
            store.parent.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", store.parent], check=True)
        try:
            with loopback.workspace(binary, 0) as addresses:
                faults(args, binary, folder, store, addresses, receiver)
        finally:
            if args.full_disk:
                subprocess.run(["umount", "--lazy", store.parent], check=False)


def faults(args, binary, folder, store, addresses, receiver):
    api, control = addresses
    retry = 'retry = { min = "100ms", max = "2s" }'
    sinks = [loopback.webhook(name, receiver.port, retry) for name in SINKS]
    config = [loopback.head("faults", store), loopback.source(api, "300ms"), *sinks, ROUTE]
    folder.joinpath("ampbridge.toml").write_text("".join(config))
    bridge = Bridge(binary, folder)
    bridge.command("once")
    began = time.monotonic()
    adder = threading.Thread(target=add_threads, args=(control, args.events, args.kills))
    adder.start()
    kills = full = 0
    filler = store.parent / "filler"
    while adder.is_alive() or kills < args.kills:
        bridge.ensure()
        if args.full_disk and full < 3 and kills >= (full + 1) * args.kills // 4:
            full += bridge.starve(filler)
            continue
        time.sleep(random.uniform(0.05, 1.5))
        if kills < args.kills:
            bridge.kill()
            kills += 1
    adder.join()
    done = lambda: all(len(receiver.taken[name]) >= args.events for name in SINKS)
    deadline = time.monotonic() + 600
    while not done() and time.monotonic() < deadline:
        bridge.ensure()
        time.sleep(0.1)
    took = time.monotonic() - began
    bridge.terminate()
    verdict(args, bridge, receiver, kills, full, took)


class Bridge:
    """The service, kept running."""

    def __init__(self, binary, folder):
        self.binary, self.folder, self.service, self.codes = binary, folder, None, collections.Counter()

    def command(self, *arguments):
        done = loopback.run(self.binary, self.folder, *arguments)
        if done.returncode:
            raise SystemExit(f"{arguments}: exit {done.returncode}: {done.stderr}")

    def ensure(self):
        """Starts it where it does not run, as a service manager would."""
        if self.service and self.service.process.poll() is not None:
            self.codes[self.service.process.returncode] += 1
            self.service = None
        if not self.service:
            self.service = loopback.Service(self.binary, self.folder, self.folder / "run.log")

    def kill(self):
        self.service.kill()

    def starve(self, filler):
        """Fills the disk until the process gives up with 3, then makes room again."""
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 65536)
            except OSError:
                pass
        for _ in range(600):
            if self.service.process.poll() is not None:
                break
            time.sleep(0.1)
        code = self.service.process.poll()
        self.ensure()
        filler.unlink()
        return code == 3

    def terminate(self):
        self.codes[self.service.stop()] += 1


def add_threads(control, count, kills):
    """Spread over the kills."""
    for number in range(count):
        body = json.dumps({"thread": {"creator": "member1@example.com", "title": f"thread {number}"}}).encode()
        request = urllib.request.Request(control + "/control/add_thread", body, {"content-type": "application/json"})
        urllib.request.urlopen(request).read()
        if number % 50 == 49:
            time.sleep(50 * kills / count)


def verdict(args, bridge, receiver, kills, full, took):
    lost = {name: args.events - len(receiver.taken[name]) for name in SINKS}
    twice = {name: sum(n - 1 for n in receiver.taken[name].values()) for name in SINKS}
    second = [subject for subject, ids in receiver.subjects.items() if len(ids) > 1]
    audit = loopback.run(bridge.binary, bridge.folder, "audit", "--json")
    counts = json.loads(audit.stdout or "{}")
    allowed = (kills + bridge.codes[3]) * IN_FLIGHT
    print(f"{args.events} events to {len(SINKS)} sinks, {kills} kills, {receiver.refused} requests failed, "
          f"{bridge.codes[3]} ends with exit 3 for want of disk, {took:.0f} s")
    print(f"{receiver.news} messages about failing sinks")
    print(f"missing {lost}, more than once {twice} (kills times in flight: {allowed}), second ids {len(second)}")
    print(f"audit: exit {audit.returncode}, unaccounted {counts.get('unaccounted')}, sinks {counts.get('sinks')}")
    broken = [what for what, bad in (
        ("an event is missing", any(lost.values())),
        ("a thread was told under two ids", bool(second)),
        ("more came twice than was in flight at kills", any(n > allowed for n in twice.values())),
        ("audit finds something unaccounted for", audit.returncode != 0),
        ("a full disk did not end with exit 3", args.full_disk and full == 0),
    ) if bad]
    if broken:
        raise SystemExit("BROKEN: " + "; ".join(broken))
    print("held")


if __name__ == "__main__":
    main()
