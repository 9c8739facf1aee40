#!/usr/bin/env python3
"""Events to three sinks while the process is killed, the receiver fails, and the disk fills up. Proves that every event
reaches every sink, none under a second id, and counts what came twice.

    scripts/faults.py [--binary target/release/ampbridge] [--events 10000] [--kills 50] [--fail 0.3] [--full-disk]

Everything runs on loopback, against the program's own fake workspace. `--full-disk` mounts a small tmpfs and needs root.
Exit 1 where a promise is broken.
"""
import argparse
import asyncio
import collections
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

SINKS = ("one", "two", "three")
IN_FLIGHT = 32  # attempts at a time of a webhook sink
CONFIG = """
[bridge]
name = "faults"
[store]
path = "{store}"
[admin]
listen = "127.0.0.1:0"
[sources.acme]
kind = "amp"
base_url = "{api}"
token_url = "{api}/oauth2/token"
client_id = "demo-client"
client_secret = {{ env = "FAULTS_CLIENT_SECRET" }}
max_rps = 100000.0
every = "300ms"
{sinks}
[[routes]]
events = ["thread.created"]
sinks = ["one", "two", "three"]
"""
SINK = """
[sinks.{name}]
kind = "webhook"
url = "http://127.0.0.1:{port}/{name}"
allow_networks = ["127.0.0.0/8"]
secrets = [{{ env = "FAULTS_SECRET" }}]
retry = {{ min = "100ms", max = "2s" }}
"""


class Receiver:
    """Takes webhooks; answers 500 to a share of them. Keeps, per sink, what it has accepted how often."""

    def __init__(self, fail):
        self.fail = fail
        self.random = random.Random(1)
        self.taken = {name: collections.Counter() for name in SINKS}
        self.subjects = collections.defaultdict(set)
        self.refused = self.news = 0
        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(started)), daemon=True).start()
        started.wait()

    async def serve(self, started):
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await server.serve_forever()

    async def talk(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(re.search(r"(?i)content-length: (\d+)", head).group(1))
                body = await reader.readexactly(length)
                name = head.split(" ", 2)[1].lstrip("/")
                status = self.take(name, head, json.loads(body))
                writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def take(self, name, head, event):
        if self.random.random() < self.fail:
            self.refused += 1
            return 500
        webhook_id = re.search(r"(?i)webhook-id: (\S+)", head).group(1)
        assert webhook_id == event["id"], (webhook_id, event["id"])
        if event["type"] != "thread.created":
            self.news += 1  # of a sink that fails, to the others
            return 200
        self.taken[name][webhook_id] += 1
        self.subjects[event["subject"]].add(webhook_id)
        return 200


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/ampbridge")
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
        workspace = subprocess.Popen([binary, "demo-workspace", "--threads", "0"], stdout=subprocess.PIPE, text=True)
        try:
            faults(args, binary, folder, store, workspace, receiver)
        finally:
            workspace.kill()
            if args.full_disk:
                subprocess.run(["umount", "--lazy", store.parent], check=False)


def faults(args, binary, folder, store, workspace, receiver):
    addresses = []
    while len(addresses) < 2:
        addresses += re.findall(r"http://127\.0\.0\.1:\d+", workspace.stdout.readline())
    api, control = addresses[:2]
    sinks = "".join(SINK.format(name=name, port=receiver.port) for name in SINKS)
    folder.joinpath("ampbridge.toml").write_text(CONFIG.format(store=store, api=api, sinks=sinks))
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
    def __init__(self, binary, folder):
        self.binary, self.folder, self.process, self.codes = binary, folder, None, collections.Counter()
        self.env = {
            "PATH": os.environ["PATH"],
            "FAULTS_CLIENT_SECRET": "demo-secret-that-guards-nothing",
            "FAULTS_SECRET": "whsec_YW1wYnJpZGdlLWZhdWx0LXNjcmlwdC1rZXktMDAwMDE=",
        }

    def command(self, *arguments):
        done = subprocess.run([self.binary, *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{arguments}: exit {done.returncode}: {done.stderr}")

    def ensure(self):
        """Starts it where it does not run, as a service manager would."""
        if self.process and self.process.poll() is not None:
            self.codes[self.process.returncode] += 1
            self.process = None
        if not self.process:
            log = open(self.folder / "run.log", "ab")
            self.process = subprocess.Popen([self.binary, "run"], cwd=self.folder, env=self.env, stdout=log, stderr=log)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def starve(self, filler):
        """Fills the disk until the process gives up with 3, then makes room again."""
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 65536)
            except OSError:
                pass
        for _ in range(600):
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        code = self.process.poll()
        self.ensure()
        filler.unlink()
        return code == 3

    def terminate(self):
        self.process.terminate()
        self.codes[self.process.wait()] += 1


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
    audit = subprocess.run([bridge.binary, "audit", "--json"], cwd=bridge.folder, env=bridge.env, capture_output=True, text=True)
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
