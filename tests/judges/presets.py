"""Judges what presets send over the wire: each request against its receiver's documented schema (`jsonschema`), the cards
for Teams by npm's `adaptivecards`, and that text from outside mentions nobody and formats nothing."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

from jsonschema import Draft202012Validator

from support import ROOT, Bridge, Judge, payloads, receiver, route, scratch, table

HERE = pathlib.Path(__file__).parent
PRESETS = {
    "pagerduty": {"routing_key": "0123456789abcdef0123456789abcdef"},
    "teams": {},
    "discord": {},
    "google_chat": {},
    "github": {"repository": "acme/infra", "auth": {"kind": "bearer", "token": "stand-in-for-a-token"}},
    "ntfy": {"topic": "ampbridge"},
}
#: Of hostile samples: live mentions, markup and templates, by the preset in whose form they would take effect.
LIVE = {
    "discord": ["<@U123>", "](https://", "*bold*"],
    "google_chat": ["<users/", "<script>", "><b>"],
    "teams": ["<at>", "{{DATE", "{{ 7*7"],
}


def cards(bodies: list[dict]) -> list[str]:
    """What npm's `adaptivecards` finds wrong with the cards."""
    lines = json.dumps([body["attachments"][0]["content"] for body in bodies]).encode()
    ran = subprocess.run(
        ["node", HERE / "presets.mjs", os.environ["JUDGES_NODE"]], input=lines, capture_output=True, check=True
    )
    return json.loads(ran.stdout)


def main() -> None:
    judge = Judge()
    with scratch() as folder, receiver() as hook:
        tables = [
            table(f"sinks.{name}", {"kind": "webhook", "preset": name, "url": hook.url(f"/{name}"), **settings})
            for name, settings in PRESETS.items()
        ]
        bridge = Bridge(folder, *tables, route(list(PRESETS)))
        checked = bridge("check")
        judge.check(checked.code == 0 and "not signed" in checked.out, "check takes every preset", checked)
        sent = payloads(bridge.config)
        refused = [f"{s['sink']} {s['name']} {s['variant']}: {s['detail']}" for s in sent if s["outcome"] != "accepted"]
        judge.all(refused, len(sent), "sent and accepted")
        for name in PRESETS:
            requests = [r for r in hook.requests if r.path.startswith(f"/{name}")]
            schema = Draft202012Validator(json.loads((ROOT / f"tests/fixtures/presets/{name}.json").read_text()))
            bodies = [json.loads(r.body) for r in requests]
            problems = [f"{e.json_path}: {e.message[:300]}" for body in bodies for e in schema.iter_errors(body)]
            judge.all(problems, len(bodies), f"{name}: fits the documented schema")
            kinds = {(r.method, *r.all("content-type")) for r in requests}
            judge.equal(kinds, {("POST", "application/json")}, f"{name}: POST of JSON")
            signed = [r.path for r in requests if r.all("webhook-signature")]
            judge.check(not signed, f"{name}: no signature where there is no secret", signed)
            texts = [json.dumps(body, ensure_ascii=False) for body in bodies]
            live = [text[:300] for text in texts for word in LIVE.get(name, []) if word in text]
            judge.all(live, len(texts), f"{name}: text from outside is text")
        github = [r for r in hook.requests if r.path.startswith("/github")]
        judge.equal({r.path for r in github}, {"/github/repos/acme/infra/dispatches"}, "github: the repository's dispatches")
        judge.equal({r.one("authorization") for r in github}, {"Bearer stand-in-for-a-token"}, "github: signed in")
        large = [len(r.body) for r in hook.requests if r.path == "/teams" and len(r.body) > 28_000]
        judge.check(not large, "teams: within 28 KB", large)
        teams = [json.loads(r.body) for r in hook.requests if r.path == "/teams"]
        judge.all(cards(teams), len(teams), "teams: npm adaptivecards reads every card")
        spoilt = json.loads(json.dumps(teams[0]))
        spoilt["attachments"][0]["content"]["body"].append({"type": "NoSuchBlock"})
        judge.check(bool(cards([spoilt])), "teams: a spoilt card would be noticed")
        pager = [json.loads(r.body) for r in hook.requests if r.path == "/pagerduty"]
        keys = {b["dedup_key"] for b in pager if b["event_action"] == "trigger"}
        resolved = [b["dedup_key"] for b in pager if b["event_action"] == "resolve"]
        judge.check(bool(resolved) and any(key in keys for key in resolved),
                    f"pagerduty: {len(resolved)} incidents are resolved under the key that triggered one")
    judge.finish()


if __name__ == "__main__":
    main()
