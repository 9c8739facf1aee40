"""What the judges share: counting, running ampbridge, the fake workspace, and servers on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
AMPBRIDGE = pathlib.Path(os.environ.get("AMPBRIDGE_BIN", TARGET / "debug/ampbridge"))
PAYLOADS = pathlib.Path(os.environ.get("AMPBRIDGE_PAYLOADS", TARGET / "debug/examples/payloads"))
#: Longest wait for anything: the machines are slow and shared, and nothing here measures time.
DEADLINE = 60.0
#: The fake workspace knows this one client.
CLIENT_ID = "demo-client"
CLIENT_SECRET = "demo-secret-that-guards-nothing"


class Judge:
    """Counts what was judged and says each thing in a line."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self.skipped = 0

    def check(self, good: bool, what: str, detail: object = "") -> bool:
        """One thing judged; `detail` is shown where it is not good."""
        if good:
            self.passed += 1
            print(f"  ok    {what}")
        else:
            self.failed += 1
            print(f"  FAIL  {what}")
            for line in str(detail).splitlines()[:40]:
                print(f"        {line[:600]}")
        sys.stdout.flush()
        return good

    def equal(self, got: object, want: object, what: str) -> bool:
        return self.check(got == want, what, f"got  {got!r}\nwant {want!r}")

    def all(self, problems: list[str], count: int, what: str) -> bool:
        """Many alike things judged as one: none has a problem, and there was at least one."""
        if count == 0:
            return self.check(False, what, "there was nothing to judge")
        return self.check(not problems, f"{what} ({count})", "\n".join(problems))

    def skip(self, what: str) -> None:
        self.skipped += 1
        print(f"  skip  {what}")

    def finish(self) -> None:
        """Prints the counts and ends the process."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        print(f"{self.passed} passed, {self.failed} failed{skipped}")
        nothing = self.passed + self.failed + self.skipped == 0
        if nothing:
            print("nothing was judged")
        sys.exit(1 if self.failed or nothing else 0)


def wait_for(condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
    """The first true value of `condition`."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} within {deadline:.0f} s")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def scratch() -> Iterator[pathlib.Path]:
    """A folder that is gone afterwards. Others may look into it: mail servers run as other users."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ampbridge-judge-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}{self.err}"

    def json(self) -> Any:
        return json.loads(self.out)


def ampbridge(*args: object, cwd: pathlib.Path | None = None, env: dict[str, str] | None = None) -> Ran:
    """Runs the binary to its end."""
    done = subprocess.run(
        [AMPBRIDGE, *map(str, args)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=5 * DEADLINE,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"))


def payloads(config: pathlib.Path | None = None, env: dict[str, str] | None = None) -> list[dict]:
    """What `examples/payloads` prints: all payloads, or, with a config, what came of sending them."""
    done = subprocess.run(
        [PAYLOADS, *([config] if config else [])],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=5 * DEADLINE,
    )
    if done.returncode != 0:
        raise RuntimeError(f"payloads ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextlib.contextmanager
def process(*args: object, cwd: pathlib.Path | None = None, env: dict[str, str] | None = None,
            stderr: Any = None) -> Iterator[subprocess.Popen]:
    """A process that is stopped afterwards, whatever happens."""
    child = subprocess.Popen(
        [str(arg) for arg in args],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout:
            child.stdout.close()


class Workspace:
    """The fake workspace as a process of its own, driven over its control surface."""

    def __init__(self, api: str, control: str) -> None:
        self.api = api
        self._control = control

    def do(self, op: str, **fields: Any) -> Any:
        """A change or a question (src/demo/control.rs)."""
        request = urllib.request.Request(f"{self._control}/control/{op}", json.dumps(fields).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            raise RuntimeError(f"{op} {fields}: {refused.read().decode()}") from None

    def source(self, base_url: str | None = None, **settings: Any) -> str:
        """The source of a config that reads this workspace."""
        values = {
            "kind": "amp",
            "base_url": base_url or self.api,
            "token_url": f"{self.api}/oauth2/token",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "max_rps": 500,
            **settings,
        }
        return table("sources.acme", values)


@contextlib.contextmanager
def workspace(**options: int) -> Iterator[Workspace]:
    """Starts `ampbridge demo-workspace` with `--threads`, `--members`, `--days`, `--seed`."""
    args = [part for name, value in options.items() for part in (f"--{name}", value)]
    with process(AMPBRIDGE, "demo-workspace", *args) as child:
        said = dict(child.stdout.readline().split() for _ in range(2))
        yield Workspace(said["api"], said["control"])


def table(name: str, values: dict[str, Any]) -> str:
    """A TOML table. JSON's strings, numbers, booleans and flat lists are TOML's."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            inner = ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items())
            lines.append(f"{key} = {{ {inner} }}")
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join([f"[{name}]", *lines, ""])


class Bridge:
    """A config file and its store in a folder."""

    def __init__(self, folder: pathlib.Path, *tables: str, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.env = env or {}
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        head = table("admin", {"listen": f"127.0.0.1:{self.port}"})
        self.config = folder / "ampbridge.toml"
        self.config.write_text("\n".join([head, *tables]))

    def __call__(self, *args: object) -> Ran:
        return ampbridge("--config", self.config, *args, env=self.env)

    def list(self, what: str, *args: object) -> list[dict]:
        ran = self(what, "list", "--json", *args)
        if ran.code != 0:
            raise RuntimeError(f"{what} list: {ran}")
        return ran.json()

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen]:
        """The service, once it is ready."""
        with (self.folder / "run.log").open("a") as log:
            with process(AMPBRIDGE, "--config", self.config, "run", env=self.env, stderr=log) as child:
                def ready() -> bool:
                    if child.poll() is not None:
                        raise RuntimeError(f"run ended: {(self.folder / 'run.log').read_text()[-2000:]}")
                    with contextlib.suppress(OSError):
                        url = f"http://127.0.0.1:{self.port}/readyz"
                        return urllib.request.urlopen(url, timeout=5).status == 200
                    return False

                wait_for(ready, "answer of /readyz")
                yield child


def route(sinks: list[str], **fields: Any) -> str:
    values = {**fields, "sinks": sinks}
    return "\n".join(["[[routes]]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""])


@dataclass
class Request:
    """A request as it came in."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    at: float

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    def one(self, name: str) -> str:
        values = self.all(name)
        if len(values) != 1:
            raise ValueError(f"{name} stands {len(values)} times in the headers")
        return values[0]


@dataclass
class Reply:
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Receiver:
    """An HTTP server that remembers what it was sent."""

    port: int
    requests: list[Request]

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextlib.contextmanager
def receiver(answer: Callable[[Request], Reply] = lambda _: Reply()) -> Iterator[Receiver]:
    requests: list[Request] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Answers are small; without this each waits for the acknowledgement of its headers.
        disable_nagle_algorithm = True

        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            request = Request(self.command, self.path, list(self.headers.items()), body, time.time())
            with lock:
                requests.append(request)
                reply = answer(request)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if reply.status != 204:
                self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_request

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Receiver(server.server_port, requests)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def stand_ins(config: str) -> dict[str, str]:
    """Values for the environment variables a config names, so that it can be checked without anything being reached."""
    values = {}
    for key, name in re.findall(r'(\w+)\s*=\s*\[?\s*\{\s*env\s*=\s*"([^"]+)"', config):
        if key == "smtp_url":
            values[name] = "smtps://user:password@mail.example.com:465"
        elif key.endswith("url"):
            values[name] = "https://example.com/stand-in"
        elif key == "secrets":
            values[name] = "whsec_" + "A" * 43 + "="
        else:
            values[name] = "stand-in-for-a-secret"
    return values


def check_config(config: pathlib.Path, env: dict[str, str] | None = None) -> Ran:
    """`ampbridge check` on a copy of a config in a folder of its own, secrets stood in for."""
    text = config.read_text()
    with scratch() as folder:
        copy = folder / "ampbridge.toml"
        copy.write_text(text)
        return ampbridge("--config", copy, "check", cwd=folder, env={**stand_ins(text), **(env or {})})
