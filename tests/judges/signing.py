"""Judges signatures and the three modes of CloudEvents: PyPI and npm `standardwebhooks` and `svix` verify v1, v1 beside
v1a, and during a rotation; PyPI `cryptography` and Node's own crypto verify v1a; PyPI and npm `cloudevents` read
structured, binary and batch; and where those are lax, JSON Schema and the raw headers."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import re
import subprocess
import time
import urllib.parse

import standardwebhooks
import svix.webhooks
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from support import Bridge, Judge, Request, ampbridge, payloads, receiver, route, scratch, table
from webhook import ATTRIBUTES, BATCH, SINGLE, Schemas

HERE = pathlib.Path(__file__).parent
#: What the HTTP binding lets stand in a header value as it is.
ENCODED = re.compile(r"(?:[!#$&-~]|%[0-9A-F]{2})*\Z")
LIBRARIES = {
    "standardwebhooks": (standardwebhooks.Webhook, standardwebhooks.WebhookVerificationError),
    "svix": (svix.webhooks.Webhook, svix.webhooks.WebhookVerificationError),
}


class Key:
    """A secret as `ampbridge secrets new` prints it."""

    def __init__(self, *args: str) -> None:
        made = ampbridge("secrets", "new", "--json", *args)
        if made.code != 0:
            raise RuntimeError(str(made))
        for name, value in made.json().items():
            setattr(self, name, value)

    def verifies(self, request: Request) -> bool:
        """Whether PyPI `cryptography` finds a v1a signature of this key."""
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.public.removeprefix("whpk_")))
        signed = f"{request.one('webhook-id')}.{request.one('webhook-timestamp')}.".encode() + request.body
        for part in request.one("webhook-signature").split(" "):
            if part.startswith("v1a,"):
                try:
                    public.verify(base64.b64decode(part.removeprefix("v1a,")), signed)
                    return True
                except InvalidSignature:
                    pass
        return False


def library_problems(request: Request, secrets: list[str], stranger: str) -> list[str]:
    """Each official library takes each secret, and not a stranger's or another body."""
    problems = []
    headers = {name.lower(): value for name, value in request.headers}
    for name, (library, refusal) in LIBRARIES.items():
        for number, secret in enumerate(secrets):
            try:
                library(secret).verify(request.body, headers)
            except refusal as error:
                problems.append(f"PyPI {name}, secret {number}: {error}")
        for what, secret, body in [("a stranger", stranger, request.body), ("another body", secrets[0], request.body + b" ")]:
            try:
                library(secret).verify(body, headers)
                problems.append(f"PyPI {name}: {what} was verified")
            except refusal:
                pass
    return [f"{request.one('webhook-id')}: {problem}" for problem in problems]


def node(requests: list[Request], secrets: list[str], stranger: str, publics: list[str], mode: str) -> dict:
    """The verdict of signing.mjs."""
    lines = [
        {"headers": {k.lower(): v for k, v in r.headers}, "body": base64.b64encode(r.body).decode()} for r in requests
    ]
    asked = {"secrets": secrets, "stranger": stranger, "publics": publics, "mode": mode, "requests": lines}
    done = subprocess.run(
        ["node", HERE / "signing.mjs", os.environ["JUDGES_NODE"]],
        input=json.dumps(asked).encode(),
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


def raw_event(request: Request) -> dict:
    """The event of a binary message, put together by hand from the raw headers."""
    event = {
        name.lower().removeprefix("ce-"): urllib.parse.unquote(value, errors="strict")
        for name, value in request.headers
        if name.lower().startswith("ce-")
    }
    event["datacontenttype"] = request.one("content-type")
    event["data"] = json.loads(request.body)
    return {name: event[name] for name in ATTRIBUTES if name in event} | event


def binary_problems(request: Request) -> list[str]:
    """Section 3.1 of the HTTP binding, on the raw headers; then what PyPI `cloudevents` reads."""
    problems = []
    attributes = {n.lower(): v for n, v in request.headers if n.lower().startswith("ce-")}
    want = {"ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time", "ce-severity"}
    if set(attributes) != want:
        problems.append(f"the attributes are {sorted(attributes)}")
    for name, value in attributes.items():
        if len(request.all(name)) != 1 or not ENCODED.match(value):
            problems.append(f"{name} is {value!r}")
    if request.all("content-type") != ["application/json"]:
        problems.append(f"content-type is {request.all('content-type')}")
    raw = raw_event(request)
    event = from_http_event(HTTPMessage(dict(request.headers), request.body))
    read = {
        "specversion": event.get_specversion(), "id": event.get_id(), "source": event.get_source(),
        "type": event.get_type(), "subject": event.get_subject(), "severity": event.get_extension("severity"),
        "datacontenttype": event.get_datacontenttype(), "data": event.get_data(),
    }
    problems += [f"{name} is read as {value!r}" for name, value in read.items() if value != raw[name]]
    return [f"{request.one('webhook-id')}: {problem}" for problem in problems]


def structured_problems(request: Request) -> list[str]:
    """Structured and batch: the type says which it is, and PyPI `cloudevents` reads each event."""
    body = json.loads(request.body)
    kind = BATCH if isinstance(body, list) else SINGLE
    problems = [] if request.all("content-type") == [kind] else [f"content-type is {request.all('content-type')}"]
    if any(name.lower().startswith("ce-") for name, _ in request.headers):
        problems.append("an attribute stands in the headers as well")
    for raw in body if isinstance(body, list) else [body]:
        event = from_http_event(HTTPMessage({"content-type": SINGLE}, json.dumps(raw).encode()))
        if (event.get_id(), event.get_type(), event.get_data()) != (raw["id"], raw["type"], raw["data"]):
            problems.append(f"{raw['id']} is read as another")
    return [f"{request.one('webhook-id')}: {problem}" for problem in problems]


def is_binary(request: Request) -> bool:
    return bool(request.all("ce-id"))


def judge_mode(judge: Judge, schemas: Schemas, what: str, requests: list[Request]) -> None:
    problems = [p for r in requests for p in (binary_problems(r) if is_binary(r) else structured_problems(r))]
    judge.all(problems, len(requests), f"{what}: raw headers, and PyPI cloudevents reads it")
    events = []
    for request in requests:
        body = raw_event(request) if is_binary(request) else json.loads(request.body)
        events += body if isinstance(body, list) else [body]
    broken = [problem for event in events for problem in schemas.problems(event)]
    judge.all(broken, len(events), f"{what}: events fit their JSON Schemas")


def verify_offline(judge: Judge, request: Request, key: Key, stranger: Key, folder: pathlib.Path) -> None:
    """`ampbridge verify` on the request as a receiver would write it down."""
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers)
    captured = folder / "captured.http"
    captured.write_bytes(f"{request.method} {request.path} HTTP/1.1\r\n{head}\r\n".encode() + request.body)
    secret, other = folder / "key", folder / "other"
    secret.write_text(key.secret + "\n")
    other.write_text(stranger.secret + "\n")
    good = ampbridge("verify", captured, "--key-file", secret)
    judge.check(good.code == 0 and key.fingerprint in good.out, f"verify: {key.scheme} is found offline, exit 0", good)
    judge.check(key.secret[6:] not in good.out + good.err, "verify: without telling the key")
    bad = ampbridge("verify", captured, "--key-file", other)
    judge.check(bad.code == 1 and "none of the 1 keys" in bad.err, "verify: another key is exit 1", bad)
    old = ampbridge("verify", captured, "--key-file", secret, "--at", "2000-01-01T00:00:00Z")
    judge.check(old.code == 1 and "--any-age" in old.err, "verify: another time is exit 1", old)
    judge.equal(ampbridge("verify", folder / "nothing", "--key-file", secret).code, 2, "verify: no file is exit 2")
    captured.write_bytes(captured.read_bytes() + b"\n")
    grown = ampbridge("verify", captured, "--key-file", secret)
    judge.equal(grown.code, 0, "verify: what follows the body in the file is left out of account")


def main() -> None:
    judge, schemas = Judge(), Schemas()
    shared, old, stranger, pair, old_pair = Key(), Key(), Key(), Key("--ed25519"), Key("--ed25519")
    judge.check(len({k.secret for k in (shared, old, stranger, pair, old_pair)}) == 5, "secrets new: never the same twice")
    sinks = {
        "v1": ("structured", [shared], r"v1,\S+"),
        "v1a-and-v1": ("binary", [pair, shared], r"v1a,\S{88} v1,\S{44}"),
        "rotation": ("batch", [old, shared, old_pair, pair], r"v1,\S{44} v1,\S{44} v1a,\S{88} v1a,\S{88}"),
    }
    with scratch() as folder, receiver() as hook:
        tables = [
            table(f"sinks.{name}", {"kind": "webhook", "url": hook.url(f"/{name}"), "mode": mode,
                                    "secrets": [key.secret for key in keys]})
            for name, (mode, keys, _) in sinks.items()
        ]
        bridge = Bridge(folder, *tables, route(list(sinks)))
        checked = bridge("check")
        named = all(key.fingerprint in checked.out for _, keys, _ in sinks.values() for key in keys)
        told = any(key.secret[6:20] in checked.out + checked.err for _, keys, _ in sinks.values() for key in keys)
        judge.check(checked.code == 0 and named and not told, "check: says which secrets are in use, never what they are", checked)
        sent = payloads(bridge.config)
        judge.all([f"{s['name']}: {s['detail']}" for s in sent if s["outcome"] != "accepted"], len(sent), "sent and accepted")
        for name, (mode, keys, pattern) in sinks.items():
            requests = [r for r in hook.requests if r.path == f"/{name}"]
            count = len(requests)
            wrong = [r.one("webhook-signature") for r in requests if not re.fullmatch(pattern, r.one("webhook-signature"))]
            judge.all(wrong, count, f"{name}: one signature per secret, in their order")
            secrets = [key.secret for key in keys if key.scheme == "v1"]
            problems = [p for r in requests for p in library_problems(r, secrets, stranger.secret)]
            judge.all(problems, count, f"{name}: PyPI standardwebhooks and svix verify")
            pairs = [key for key in keys if key.scheme == "v1a"]
            if pairs:
                unsigned = [r.one("webhook-id") for r in requests if not all(key.verifies(r) for key in pairs)]
                judge.all(unsigned, count, f"{name}: PyPI cryptography verifies v1a")
            verdict = node(requests, secrets, stranger.secret, [key.public for key in pairs], mode)
            judge.equal(verdict.pop("count"), count, f"{name}: Node saw all of them")
            for what, problems in verdict.items():
                judge.all(problems, count, f"{name}: npm {what}")
            judge_mode(judge, schemas, f"{name} ({mode})", requests)
            shapes = {"binary" if is_binary(r) else "batch" if r.body.startswith(b"[") else "structured" for r in requests}
            want = {"structured": {"structured", "batch"}, "binary": {"binary", "batch"}, "batch": {"batch"}}[mode]
            judge.check(want <= shapes, f"{name}: the modes that occur are {', '.join(sorted(shapes))}")
        newest = max((r for r in hook.requests if r.path == "/rotation"), key=lambda r: r.at)
        judge.check(time.time() - newest.at < 240, "the newest request is recent enough to be verified as it is")
        verify_offline(judge, newest, shared, stranger, folder)
        verify_offline(judge, newest, pair, stranger, folder)
    judge.finish()


if __name__ == "__main__":
    main()
