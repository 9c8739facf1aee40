"""Judges both ends of the Amp External API: ampbridge asks the fake workspace through Prism, which holds every request
and every answer against the API's own document. Neither side may violate it.

ampbridge → recorder (here) → Prism (validating proxy) → fake workspace
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from support import DEADLINE, Bridge, Judge, Reply, Request, free_port, listens, process, receiver, route, scratch
from support import table, wait_for, workspace
from story import HOSTILE, SETTINGS, clear_of_midnight

#: The document, in the project's shared folder.
DOCUMENT = "seeds/000_91f38e7934568e1e.txt"
#: Where Prism says what a request or an answer did wrong.
VIOLATIONS = "sl-violations"
#: Not passed on by a proxy (RFC 9110, section 7.6.1).
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "content-length"}
#: Every operation that reads; a bridge makes no other.
OPERATIONS = {
    "GET /api/v2/threads",
    "GET /api/v2/threads/{threadID}/usage",
    "GET /api/v2/workspace/members",
    "GET /api/v2/workspace/analytics/daily-usage",
}


@dataclass
class Exchange:
    """A request and Prism's answer to it."""

    method: str
    target: str
    status: int
    violations: list[dict]
    kind: str

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def operation(self) -> str:
        path = re.sub(r"/threads/[^/]+", "/threads/{threadID}", urlsplit(self.target).path)
        return f"{self.method} {path}"


@contextlib.contextmanager
def prism(document: pathlib.Path, upstream: str, folder: pathlib.Path) -> Iterator[int]:
    """A validating proxy in front of `upstream`; yields its port."""
    # Prism tells the format by the name.
    spec = folder / "external-api.json"
    spec.write_text(document.read_text())
    port = free_port()
    binary = pathlib.Path(os.environ["JUDGES_NODE"]) / "node_modules/.bin/prism"
    with (folder / "prism.log").open("w") as log:
        args = ["node", binary, "proxy", "-h", "127.0.0.1", "-p", port, spec, upstream]
        with process("sh", "-c", 'exec "$@" >&2', "prism", *args, stderr=log) as child:
            def ready() -> bool:
                if child.poll() is not None:
                    raise RuntimeError(f"Prism ended: {(folder / 'prism.log').read_text()[-2000:]}")
                return listens(port)

            wait_for(ready, "listening Prism", 2 * DEADLINE)
            yield port


@contextlib.contextmanager
def rig(folder: pathlib.Path, document: pathlib.Path, upstream: str) -> Iterator[tuple[str, list[Exchange]]]:
    """Prism with the recorder before it; yields the address to ask and what passes."""
    exchanges: list[Exchange] = []
    with prism(document, upstream, folder) as port:
        def forward(request: Request) -> Reply:
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
            headers = {name: value for name, value in request.headers if name.lower() not in HOP}
            link.request(request.method, request.path, request.body or None, headers)
            answer = link.getresponse()
            body = answer.read()
            link.close()
            found = json.loads(answer.headers.get(VIOLATIONS, "[]"))
            kind = answer.headers.get("content-type", "")
            exchanges.append(Exchange(request.method, request.path, answer.status, found, kind))
            passed = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
            return Reply(answer.status, passed, body)

        with receiver(forward) as recorder:
            yield recorder.url("").rstrip("/"), exchanges


def violations(exchanges: list[Exchange]) -> list[str]:
    return [f"{e.method} {e.target} -> {e.status}: {json.dumps(v)}" for e in exchanges for v in e.violations]


def story(judge: Judge, document: pathlib.Path) -> None:
    clear_of_midnight()
    with (scratch() as folder, workspace(threads=230, members=6, days=60) as space,
          rig(folder, document, space.api) as (base, exchanges), receiver() as hook):
        sink = table("sinks.hook", {"kind": "webhook", "url": hook.url(), "secrets": ["whsec_" + "A" * 43 + "="]})
        source = space.source(base, every="1s", thread_calls_per_hour=600)
        bridge = Bridge(folder / "bridge", source, *SETTINGS["rules"], sink, route(["hook"]))
        connected = bridge("check", "--connect")
        judge.check(connected.code == 0, "check --connect signs in through Prism", connected)
        ran = bridge("once")
        # Late in a week some person's budget of the week may be passed already: that speaks once, as a baseline.
        loud = [event for event in map(json.loads, (r.body for r in hook.requests))
                if not (event["type"].startswith("budget.") and event["data"]["baseline"])]
        judge.check(ran.code == 0 and not loud, "once through Prism: the baseline, quiet", loud or ran)

        change(space)
        ran = bridge("once")
        judge.check(ran.code == 0, "once again, after changes", ran)
        ran = bridge("once")
        judge.check(ran.code == 0, "once a third time, for what is gone", ran)
        types = collections.Counter(json.loads(r.body)["type"] for r in hook.requests)
        want = {"thread.created": 3, "thread.updated": 1, "thread.deleted": 1, "member.added": 1, "member.removed": 1,
                "member.role_changed": 1, "cost.spike": 1, "thread.cost_exceeded": 1}
        got = {kind: count for kind, count in types.items() if not kind.startswith("budget.")}
        judge.equal(got, want, "exactly the events of the changes came through")
        judge.check(types["budget.threshold_reached"] + types["budget.exceeded"] >= 1, "and one of a budget", types)

        seen = len(exchanges)
        with bridge.running():
            wait_for(lambda: sum("after" in e.query for e in exchanges[seen:]) >= 3, "head looks of the service")
            space.do("add_thread", thread={"creator": "member1@example.com", "title": "While it runs"})
            wait_for(lambda: [r for r in hook.requests if b"While it runs" in r.body], "event of a thread while it runs")
        judge.check(True, "run through Prism: head looks, and a new thread is told")

        verdict(judge, exchanges)
        counters = space.do("counters")
        judge.equal(counters["writes_attempted"], 0, "no request would have changed anything")
        rejected = {status: n for status, n in counters["by_status"].items() if status not in ("200", "404")}
        judge.equal(rejected, {}, "the workspace rejected no request")


def change(space) -> None:
    today = space.do("summary")["today"]
    ids = space.do("thread_ids")["ids"]
    main = space.do("add_thread", thread={"creator": "member1@example.com", "title": HOSTILE, "usage": "31.5"})["id"]
    space.do("add_thread", thread={"creator": "member2@example.com", "main_thread": main})
    space.do("add_thread", thread={"creator": "member2@example.com", "repositories": [
        {"url": "https://example.com/acme/web.git", "dir": "a b"}, {"url": "https://example.com/acme/api.git"}]})
    space.do("edit_thread", id=ids[7], edit={"title": "Renamed"})
    space.do("remove_thread", id=ids[100])
    space.do("add_member", name="", email="quiet@example.com")
    space.do("remove_member", who="member6@example.com")
    space.do("set_role", who="member5@example.com", role="admin")
    space.do("set_usage", date=today, who="member2@example.com", usd="120.250000000000004",
             models={"gpt-5.1": {"requests": 40, "input": 900_000, "output": 80_000}, "unheard-of": {"requests": 1}})


def verdict(judge: Judge, exchanges: list[Exchange]) -> None:
    judge.all(violations(exchanges), len(exchanges), "no request and no answer violates the document")
    odd = [f"{e.method} {e.target} -> {e.status} {e.kind}" for e in exchanges
           if not (e.status == 200 or e.status == 404 and e.operation.endswith("/usage"))]
    judge.all(odd, len(exchanges), "no request was rejected")
    kinds = [f"{e.target}: {e.kind}" for e in exchanges if e.kind.split(";")[0] != "application/json"]
    judge.all(kinds, len(exchanges), "every answer is JSON, none a problem document of Prism's own")
    counts = collections.Counter(e.operation for e in exchanges)
    judge.equal(set(counts), OPERATIONS, f"every reading operation was used, and no other: {dict(counts)}")
    used = {name for e in exchanges for name in e.query}
    want = {"limit", "cursor", "after", "sort", "endDate"}
    judge.check(want <= used, f"the parameters used: {', '.join(sorted(used))}", f"missing: {want - used}")


def controls(judge: Judge, document: pathlib.Path) -> None:
    """The rig does find violations, of either side."""
    with (scratch() as folder, workspace(threads=3, members=2) as space,
          rig(folder, document, space.api) as (base, exchanges)):
        link = http.client.HTTPConnection(urlsplit(base).hostname, urlsplit(base).port, timeout=DEADLINE)

        def ask(target: str) -> Exchange:
            link.request("GET", target, headers={"authorization": "Bearer x", "accept": "application/json"})
            link.getresponse().read()
            return exchanges[-1]

        judge.check(bool(ask("/api/v2/threads?limit=500").violations), "control: a limit of 500 is found")
        judge.check(bool(ask("/api/v2/threads?after=yesterday").violations), "control: a bad instant is found")
        space.do("add_fault", rule={"prefix": "/api/v2/threads", "fault": {"status": {"code": 429}}, "count": 1})
        judge.check(bool(ask("/api/v2/threads").violations), "control: a status that the document does not know is found")
        for fault, what in [("wrong_shape", "an object for a list"), ("error_inside200", "an error inside 200")]:
            space.do("add_fault", rule={"prefix": "/api/v2/threads", "fault": fault, "count": 3})
            bridge = Bridge(folder / what.replace(" ", "-"), space.source(base, timeout="5s"))
            before = len(exchanges)
            bridge("once", "--drain", 1)
            space.do("clear_faults")
            judge.check(bool(violations(exchanges[before:])), f"control: {what} is found")


def main() -> None:
    judge = Judge()
    shared = os.environ.get("AMPBRIDGE_SHARED")
    document = pathlib.Path(shared or "") / DOCUMENT
    if not shared or not document.is_file():
        judge.skip(f"AMPBRIDGE_SHARED names no folder with {DOCUMENT}: the document to judge by is missing")
        judge.finish()
    controls(judge, document)
    story(judge, document)
    judge.finish()


if __name__ == "__main__":
    sys.exit(main())
