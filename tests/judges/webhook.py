"""Judges what the webhook sink sends: PyPI and npm `standardwebhooks` verify it, `cloudevents` (PyPI and npm) parse
it, `jsonschema` holds it against `ampbridge schema event TYPE`, and the raw headers are what the contract says."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import re
import subprocess

import standardwebhooks
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from jsonschema import Draft202012Validator

from support import Bridge, Judge, Reply, Request, ampbridge, payloads, receiver, route, scratch, table
from support import workspace
from story import tell, SETTINGS, EXPECTED

SECRETS = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]
STRANGER = "whsec_" + base64.b64encode(b"s" * 32).decode()
SINGLE = "application/cloudevents+json; charset=utf-8"
BATCH = "application/cloudevents-batch+json; charset=utf-8"
ATTRIBUTES = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "severity", "data"]
DOLLARS = re.compile(r"-?\d+(\.\d{1,6})?\Z")
HERE = pathlib.Path(__file__).parent


def sink(name: str, url: str, **settings: object) -> str:
    return table(f"sinks.{name}", {"kind": "webhook", "url": url, "secrets": SECRETS, **settings})


class Schemas:
    """The schemas the binary prints, one validator a type."""

    def __init__(self) -> None:
        self._known: dict[str, Draft202012Validator] = {}

    def problems(self, event: dict) -> list[str]:
        errors = self.of(event["type"]).iter_errors(event)
        return [f"{event['type']}: {error.json_path}: {error.message[:200]}" for error in errors]

    def of(self, kind: str) -> Draft202012Validator:
        if kind not in self._known:
            ran = ampbridge("schema", "event", kind)
            if ran.code != 0:
                raise RuntimeError(f"no schema of {kind}: {ran}")
            schema = ran.json()
            Draft202012Validator.check_schema(schema)
            self._known[kind] = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        return self._known[kind]


def header_problems(request: Request) -> list[str]:
    """The contract's section on webhook delivery, on the raw headers."""
    problems = []
    events = json.loads(request.body)
    single = isinstance(events, dict)
    if request.method != "POST":
        problems.append(f"the method is {request.method}")
    want = {"content-type": SINGLE if single else BATCH, "content-length": str(len(request.body))}
    for name, value in want.items():
        if request.all(name) != [value]:
            problems.append(f"{name} is {request.all(name)}, not {value}")
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature", "host", "user-agent"):
        if len(request.all(name)) != 1:
            problems.append(f"{name} stands {len(request.all(name))} times")
    for name in ("authorization", "cookie", "expect", "content-encoding"):
        if request.all(name):
            problems.append(f"{name} has no business here")
    if single and request.one("webhook-id") != events["id"]:
        problems.append(f"webhook-id is {request.one('webhook-id')}, the event's id {events['id']}")
    if "." in request.one("webhook-id"):
        problems.append("webhook-id holds a dot, which separates what is signed")
    stamp = request.one("webhook-timestamp")
    if not re.fullmatch(r"[1-9]\d{9}", stamp) or abs(int(stamp) - request.at) > 120:
        problems.append(f"webhook-timestamp is {stamp} at {request.at:.0f}")
    signatures = request.one("webhook-signature")
    if not re.fullmatch(r"v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=", signatures):
        problems.append(f"webhook-signature is {signatures!r}, not two of v1 with a space between")
    return [f"{request.one('webhook-id')}: {problem}" for problem in problems]


def signature_problems(request: Request) -> list[str]:
    """Each of the two secrets verifies; a third, another body, or another id do not."""
    headers = dict(request.headers)
    problems = []
    for number, secret in enumerate(SECRETS):
        try:
            parsed = standardwebhooks.Webhook(secret).verify(request.body, headers)
            if parsed != json.loads(request.body):
                problems.append(f"secret {number} gave another document")
        except standardwebhooks.WebhookVerificationError as error:
            problems.append(f"secret {number}: {error}")
    forged = {
        "a stranger's secret": (STRANGER, request.body, headers),
        "another body": (SECRETS[0], request.body + b" ", headers),
        "another id": (SECRETS[0], request.body, {**headers, "webhook-id": "evt_0"}),
    }
    for what, (secret, body, changed) in forged.items():
        try:
            changed = {name.lower(): value for name, value in changed.items()}
            standardwebhooks.Webhook(secret).verify(body, changed)
            problems.append(f"{what} was verified")
        except standardwebhooks.WebhookVerificationError:
            pass
    return [f"{request.one('webhook-id')}: {problem}" for problem in problems]


def cloudevent_problems(request: Request) -> list[str]:
    """The SDK reads the event, and reads what stands there."""
    problems = []
    body = json.loads(request.body)
    for raw in body if isinstance(body, list) else [body]:
        if list(raw) != ATTRIBUTES:
            problems.append(f"{raw.get('id')}: the members are {list(raw)}")
            continue
        whole = request.body if raw is body else json.dumps(raw).encode()
        try:
            event = from_http_event(HTTPMessage({"content-type": SINGLE}, whole))
        except Exception as error:  # noqa: BLE001: whatever it raises is its verdict
            problems.append(f"{raw['id']}: {type(error).__name__}: {error}")
            continue
        read = {
            "specversion": event.get_specversion(),
            "id": event.get_id(),
            "source": event.get_source(),
            "type": event.get_type(),
            "subject": event.get_subject(),
            "datacontenttype": event.get_datacontenttype(),
            "severity": event.get_extension("severity"),
            "data": event.get_data(),
        }
        problems += [f"{raw['id']}: {name} is read as {v!r}" for name, v in read.items() if v != raw[name]]
        if event.get_time().utcoffset() is None or not raw["time"].endswith("Z"):
            problems.append(f"{raw['id']}: the time {raw['time']} has no zone")
        problems += [f"{raw['id']}: {problem}" for problem in dollar_problems(raw["data"])]
    return problems


def dollar_problems(value: object, name: str = "data") -> list[str]:
    """Dollars are decimal strings, wherever they stand; but what a source says of a thing is passed on as it said it."""
    if isinstance(value, dict):
        found = []
        for key, inner in value.items():
            if key == "facts":
                continue
            if key.endswith("_usd") and not (inner is None or isinstance(inner, str) and DOLLARS.match(inner)):
                found.append(f"{name}.{key} is {inner!r}")
            found += dollar_problems(inner, f"{name}.{key}")
        return found
    if isinstance(value, list):
        return [problem for inner in value for problem in dollar_problems(inner, f"{name}[]")]
    return []


def judge_requests(judge: Judge, requests: list[Request], schemas: Schemas, what: str) -> None:
    count = len(requests)
    judge.all([p for r in requests for p in header_problems(r)], count, f"{what}: raw headers")
    judge.all([p for r in requests for p in signature_problems(r)], count, f"{what}: PyPI standardwebhooks verifies")
    judge.all([p for r in requests for p in cloudevent_problems(r)], count, f"{what}: PyPI cloudevents parses")
    events = [e for r in requests for e in (lambda body: body if isinstance(body, list) else [body])(json.loads(r.body))]
    problems = [problem for event in events for problem in schemas.problems(event)]
    judge.all(problems, len(events), f"{what}: events fit their JSON Schemas")
    told = node(requests)
    judge.all(told["standardwebhooks"], told["count"], f"{what}: npm standardwebhooks verifies")
    judge.all(told["cloudevents"], told["count"], f"{what}: npm cloudevents parses")
    judge.equal(told["count"], count, f"{what}: npm saw all of them")


def node(requests: list[Request]) -> dict:
    """The verdict of webhook.mjs."""
    lines = [
        {"headers": {k.lower(): v for k, v in r.headers}, "body": base64.b64encode(r.body).decode()} for r in requests
    ]
    done = subprocess.run(
        ["node", HERE / "webhook.mjs", os.environ["JUDGES_NODE"]],
        input=json.dumps({"secrets": SECRETS, "stranger": STRANGER, "requests": lines}).encode(),
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


def samples(judge: Judge, schemas: Schemas) -> None:
    """Every sample in every variant, hostile ones included, and messages of several events."""
    with scratch() as folder, receiver() as hook:
        bridge = Bridge(folder, sink("hook", hook.url("/amp?a=1")), route(["hook"]))
        sent = payloads(bridge.config)
        refused = [f"{s['name']} {s['variant']}: {s['detail']}" for s in sent if s["outcome"] != "accepted"]
        judge.all(refused, len(sent), "samples: sent and accepted")
        judge.equal(len(hook.requests), len(sent), "samples: one request each")
        judge_requests(judge, hook.requests, schemas, "samples")
        batches = sum(1 for r in hook.requests if r.body.startswith(b"["))
        # Groups, updates and reminders, plain and hostile; a digest goes out as the one event it is.
        judge.equal(batches, 6, "samples: messages of several events are batches")
        judge.equal({r.path for r in hook.requests}, {"/amp?a=1"}, "samples: path and query as configured")


def life(judge: Judge, schemas: Schemas) -> None:
    """What the real binary sends while things happen in a workspace."""
    with scratch() as folder, workspace(threads=40, members=4, days=60) as space, receiver() as hook:
        bridge = Bridge(folder, space.source(**SETTINGS["source"]), *SETTINGS["rules"],
                        sink("hook", hook.url()), route(["hook"]))
        tell(judge, bridge, space)
        events = [json.loads(r.body) for r in hook.requests]
        seen = {event["type"] for event in events}
        judge.check(EXPECTED <= seen, f"life: {len(seen)} types of events occurred", f"missing: {EXPECTED - seen}")
        judge_requests(judge, hook.requests, schemas, "life")
        ids = [event["id"] for event in events]
        judge.equal(len(set(ids)), len(ids), "life: every event arrived once")
        stored = {event["id"]: event for event in bridge.list("events")}
        judge.equal(stored, {event["id"]: event for event in events}, "life: what is stored is what was sent")


def retries(judge: Judge, schemas: Schemas) -> None:
    """A receiver in trouble: the same id and body at each attempt, another timestamp, a good signature each time."""
    answers = iter([Reply(503, {"Retry-After": "2"}), Reply(500), Reply(302, {"Location": "/elsewhere"}), Reply(404)])
    with scratch() as folder, workspace(members=2) as space, receiver(lambda _: next(answers, Reply(202))) as hook:
        fast = {"retry": {"min": "100ms", "max": "200ms"}}
        bridge = Bridge(folder, space.source(), sink("hook", hook.url(), **fast), route(["hook"], events=["member.*"]))
        first = bridge("once")
        judge.check(first.code == 0 and not hook.requests, "retries: the baseline is quiet", first)
        space.do("add_member", name="Dee", email="dee@example.com")
        ran = bridge("once", "--drain", 60)
        judge.equal((ran.code, len(hook.requests)), (0, 5), "retries: delivered at the fifth attempt, exit 0")
        judge.equal({r.path for r in hook.requests}, {"/"}, "retries: the redirect was not followed")
        judge.equal(len({r.one("webhook-id") for r in hook.requests}), 1, "retries: one webhook-id")
        judge.equal(len({r.body for r in hook.requests}), 1, "retries: one body")
        stamps = [int(r.one("webhook-timestamp")) for r in hook.requests]
        judge.check(stamps == sorted(stamps) and stamps[1] >= stamps[0] + 2,
                    "retries: each attempt has its own timestamp, and Retry-After was obeyed", stamps)
        judge_requests(judge, hook.requests, schemas, "retries")
        delivery = bridge.list("deliveries")[0]
        judge.equal((delivery["state"], delivery["attempts"]), ("delivered", 5), "retries: the ledger says so")


def trouble(judge: Judge, schemas: Schemas) -> None:
    """What a good sink hears of bad ones: one that is gone, and one whose delivery dies."""
    gone, ill = [Reply(410)], [Reply(500)]
    with (scratch() as folder, workspace(members=2) as space, receiver() as good,
          receiver(lambda _: gone[0]) as going, receiver(lambda _: ill[0]) as dying):
        bridge = Bridge(
            folder, space.source(), sink("good", good.url()), sink("going", going.url()),
            sink("dying", dying.url(), retry={"min": "50ms", "max": "100ms", "for": "1s"}),
            route(["good", "going", "dying"], events=["member.*"]),
        )
        bridge("once")
        space.do("add_member", name="Dee", email="dee@example.com")
        ran = bridge("once", "--drain", 60)
        judge.equal(ran.code, 1, "trouble: a delivery that died is exit 1")
        gone[0] = ill[0] = Reply(200)
        judge.equal(bridge("sinks", "enable", "going").code, 0, "trouble: the stopped sink is enabled")
        judge.equal(bridge("once", "--drain", 60).code, 0, "trouble: what waited goes out, exit 0")
        # The last event may have come of a delivery that settled after the others were sent.
        bridge("once", "--drain", 60)
        about = {(e["type"], e["subject"]) for e in (json.loads(r.body) for r in good.requests)}
        want = {("sink.failing", "going"), ("sink.recovered", "going"), ("sink.failing", "dying"),
                ("delivery.dead", "dying")}
        judge.check(want <= about, "trouble: sink.failing, sink.recovered, delivery.dead reach the good sink",
                    f"missing: {want - about}\n{[s for s in bridge.list('sinks')]}")
        kept = [json.loads(r.body)["type"] for r in going.requests]
        judge.check(kept.count("member.added") == 2, "trouble: the stopped sink got its event after all", kept)
        judge_requests(judge, good.requests + going.requests, schemas, "trouble")


def schema_documents(judge: Judge, schemas: Schemas) -> None:
    """The schemas are schemas, and reject what is wrong."""
    ran = ampbridge("schema", "event")
    every = ran.json()
    judge.check(ran.code == 0 and len(every) >= 29, f"schema: {len(every)} types", ran.err)
    judge.all([kind for kind in every if every[kind] != schemas.of(kind).schema], len(every), "schema: one by one as together")
    for kind, change in {
        "budget.exceeded": lambda e: e["data"].update(spend_usd=12.5),
        "member.added": lambda e: e.pop("subject"),
        "thread.created": lambda e: e.update(time="yesterday"),
        "cost.spike": lambda e: e["data"].pop("actual_usd"),
    }.items():
        event = next(p["events"][0] for p in payloads() if p["name"] == kind)
        good = not schemas.problems(event)
        change(event)
        judge.check(good and bool(schemas.problems(event)), f"schema: a spoilt {kind} is rejected")


def main() -> None:
    judge = Judge()
    schemas = Schemas()
    schema_documents(judge, schemas)
    samples(judge, schemas)
    retries(judge, schemas)
    trouble(judge, schemas)
    life(judge, schemas)
    judge.finish()


if __name__ == "__main__":
    main()
