"""What the scripts here share: a config, the program and its fake workspace as processes, and a receiver, all on loopback."""
import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import threading
import time
import urllib.request

SECRET = "whsec_YW1wYnJpZGdlLWxvb3BiYWNrLXNjcmlwdC1rZXktMDE="
#: A source that reads the fake workspace; sinks and routes follow it.
HEAD = """
[bridge]
name = "{name}"
[store]
path = "{store}"
sync = "{sync}"
[admin]
listen = "127.0.0.1:0"
"""
ACME = """
[sources.acme]
kind = "amp"
base_url = "{api}"
token_url = "{api}/oauth2/token"
client_id = "demo-client"
client_secret = {{ env = "LOOPBACK_CLIENT_SECRET" }}
max_rps = 100000.0
every = "{every}"
"""
WEBHOOK = """
[sinks.{name}]
kind = "webhook"
url = "http://127.0.0.1:{port}/{name}"
allow_networks = ["127.0.0.0/8"]
secrets = [{{ env = "LOOPBACK_SECRET" }}]
"""


def arguments(description):
    """A parser that knows which binary."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/ampbridge")
    return parser


def head(name, store="store", sync="power"):
    return HEAD.format(name=name, store=store, sync=sync)


def source(api, every):
    return ACME.format(api=api, every=every)


def webhook(name, port, *lines):
    """A webhook sink of the receiver's, with these lines more."""
    return WEBHOOK.format(name=name, port=port) + "".join(f"{line}\n" for line in lines)


def environment():
    return {
        "PATH": os.environ["PATH"],
        "LOOPBACK_CLIENT_SECRET": "demo-secret-that-guards-nothing",
        "LOOPBACK_SECRET": SECRET,
    }


def run(binary, folder, *arguments):
    """Runs a command to its end."""
    return subprocess.run([binary, *arguments], cwd=folder, env=environment(), capture_output=True, text=True)


@contextlib.contextmanager
def workspace(binary, threads, *more):
    """The fake workspace; yields its address and that of its control surface."""
    command = [binary, "demo-workspace", "--threads", str(threads), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    addresses = []
    try:
        while len(addresses) < 2:
            line = process.stdout.readline()
            if not line:
                raise SystemExit("the fake workspace did not say where it is")
            addresses += re.findall(r"http://127\.0\.0\.1:\d+", line)
        yield addresses[0], addresses[1]
    finally:
        process.kill()
        process.wait()


class Service:
    """`ampbridge run` as a process."""

    def __init__(self, binary, folder, log=None):
        """`log`: a file that what it says is added to."""
        self.folder = folder
        self.address = folder / "store" / "admin.json"
        self.address.unlink(missing_ok=True)
        self.began = time.monotonic()
        with open(log, "ab") if log else contextlib.nullcontext(subprocess.DEVNULL) as out:
            self.process = subprocess.Popen([binary, "run"], cwd=folder, env=environment(), stdout=out, stderr=out)

    def ready(self):
        """Seconds from the start until it was."""
        while self.process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                base = "http://" + json.loads(self.address.read_text())["listen"]
                with urllib.request.urlopen(base + "/readyz", timeout=1) as answer:
                    if answer.status == 200:
                        return time.monotonic() - self.began
            time.sleep(0.002)
        raise SystemExit("the service ended")

    def memory(self, name="VmRSS"):
        """Bytes, as /proc counts them."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(name + r":\s+(\d+)", status.read()).group(1)) * 1024

    def kill(self):
        self.process.kill()
        return self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait()


class Receiver:
    """Takes webhooks on a port of its own; `take(sink, id, body)` says which status each gets."""

    def __init__(self):
        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True).start()
        started.wait()

    async def _serve(self, started):
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await server.serve_forever()

    async def _talk(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(re.search(r"(?i)content-length: (\d+)", head).group(1))
                body = await reader.readexactly(length)
                name = head.split(" ", 2)[1].lstrip("/")
                status = self.take(name, re.search(r"(?i)webhook-id: (\S+)", head).group(1), body)
                writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n\r\n" % status)
                await writer.drain()
        writer.close()

    def take(self, name, webhook_id, body):
        raise NotImplementedError
