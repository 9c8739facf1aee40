#!/usr/bin/env python3
"""Many events wait for one dead sink: what that costs in memory, what it does to the other sink, how long a restart takes,
and whether they go out in order once the sink is back.

    scripts/backlog.py [--binary target/release/ampbridge] [--events 100000]

Everything runs on loopback, against the program's own fake workspace. Linux only (/proc). Exit 1 where something is lost.
"""
import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import time
import urllib.request

CONFIG = """
[bridge]
name = "backlog"
[store]
path = "store"
[admin]
listen = "127.0.0.1:0"
[sources.acme]
kind = "amp"
base_url = "{api}"
token_url = "{api}/oauth2/token"
client_id = "demo-client"
client_secret = {{ env = "BACKLOG_CLIENT_SECRET" }}
max_rps = 100000.0
every = "5s"
[sinks.dead]
kind = "webhook"
url = "http://127.0.0.1:{port}/dead"
allow_networks = ["127.0.0.0/8"]
secrets = [{{ env = "BACKLOG_SECRET" }}]
retry = {{ min = "1s", max = "5s" }}
[sinks.live]
kind = "webhook"
url = "http://127.0.0.1:{port}/live"
allow_networks = ["127.0.0.0/8"]
secrets = [{{ env = "BACKLOG_SECRET" }}]
[[routes]]
events = ["thread.created"]
sinks = ["dead", "live"]
"""


class Receiver:
    def __init__(self):
        self.alive = False
        self.order = {"dead": [], "live": []}
        self.last = {}
        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(started)), daemon=True).start()
        started.wait()

    async def serve(self, started):
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await server.serve_forever()

    async def talk(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
                if b'"type":"thread.created"' not in await reader.readexactly(length):
                    writer.write(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n")
                    continue
                name = "dead" if b"/dead " in head[:40] else "live"
                status = 200 if name == "live" or self.alive else 503
                if status == 200:
                    self.order[name].append(re.search(rb"(?i)webhook-id: (\S+)", head).group(1))
                    self.last[name] = time.monotonic()
                writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n\r\n" % status)
        writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/ampbridge")
    parser.add_argument("--events", type=int, default=100_000)
    args = parser.parse_args()
    binary = os.path.abspath(args.binary)
    receiver = Receiver()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with workspace(binary, 0, 0) as api:
            folder.joinpath("ampbridge.toml").write_text(CONFIG.format(api=api, port=receiver.port))
            done = run(binary, folder, "once")
            if done.returncode:
                raise SystemExit(f"once: {done.stderr}")
        # The same address, another world: all of it is new.
        with workspace(binary, int(api.rsplit(":", 1)[1]), args.events):
            measure(binary, folder, receiver, args.events)


def measure(binary, folder, receiver, count):
    idle = Service(binary, folder, "out.log")
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
    again = Service(binary, folder, "again.log")
    print(f"killed and started again, ready after {again.ready() * 1000:.0f} ms, {again.memory('VmRSS') / 1e6:.0f} MB")
    receiver.alive = True
    began = time.monotonic()
    wait_for(lambda: len(set(receiver.order["dead"])) >= count, "all events at the sink that was dead")
    took = receiver.last["dead"] - began
    print(f"the sink is back: drained in {took:.1f} s ({count / took:,.0f} a second), at most {again.memory('VmHWM') / 1e6:.0f} MB")
    again.stop()
    print(f"more than once: {len(receiver.order['dead']) - count}")
    events = json.loads(run(binary, folder, "events", "list", "--json", "--type", "thread.created", "--limit", str(count)).stdout)
    place = {event["id"].encode(): number for number, event in enumerate(reversed(events))}
    order = [place[one] for one in dict.fromkeys(receiver.order["dead"]) if one in place]
    ahead = max((number - seen for seen, number in enumerate(order)), default=0)
    print(f"order: no event came more than {ahead} places too early")
    audit = run(binary, folder, "audit")
    print(audit.stdout.strip())
    if audit.returncode:
        raise SystemExit("BROKEN: audit finds something unaccounted for")


class Service:
    def __init__(self, binary, folder, log):
        self.folder = folder
        (folder / "store" / "admin.json").unlink(missing_ok=True)
        self.began = time.monotonic()
        out = open(folder / log, "wb")
        self.process = subprocess.Popen([binary, "run"], cwd=folder, env=environment(), stdout=out, stderr=out)

    def ready(self):
        while self.process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                base = "http://" + json.loads((self.folder / "store" / "admin.json").read_text())["listen"]
                with urllib.request.urlopen(base + "/readyz", timeout=1) as answer:
                    if answer.status == 200:
                        return time.monotonic() - self.began
            time.sleep(0.005)
        raise SystemExit("the service ended")

    def memory(self, name):
        text = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(name + r":\s+(\d+)", text).group(1)) * 1024

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def workspace(binary, port, threads):
    command = [binary, "demo-workspace", "--port", str(port), "--threads", str(threads), "--members", "5"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline()).group(0)
    finally:
        process.kill()
        process.wait()


def environment():
    return {
        "PATH": os.environ["PATH"],
        "BACKLOG_CLIENT_SECRET": "demo-secret-that-guards-nothing",
        "BACKLOG_SECRET": "whsec_YW1wYnJpZGdlLWJhY2tsb2ctc2NyaXB0LWtleS0wMQ==",
    }


def run(binary, folder, *arguments):
    return subprocess.run([binary, *arguments], cwd=folder, env=environment(), capture_output=True, text=True)


def wait_for(condition, what, longest=1200):
    deadline = time.monotonic() + longest
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"BROKEN: {what}: not within {longest} s")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
