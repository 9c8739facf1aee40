"""Judges every Slack message made of every sample, hostile ones included: `slack_sdk` and `slackblocks` (PyPI) accept
the blocks, `@slack/types` (npm) types them, Slack's limits hold, nothing from outside takes effect; and what the sink
posts, by webhook and by bot, is what was rendered."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import re
import subprocess
import unicodedata

import slackblocks
from slack_sdk.models.blocks import Block

from support import Bridge, Judge, Reply, Request, payloads, receiver, route, scratch, table, workspace
from story import SETTINGS, tell

#: Limits of reference/notifiers.md, section 5, in code points.
BLOCKS, TOTAL_TEXT, MESSAGE_TEXT = 50, 12_000, 4_000
SECTION, FIELDS, FIELD, HEADER, CONTEXT, ACTIONS = 3_000, 10, 2_000, 150, 10, 25
BUTTON_TEXT, BUTTON_VALUE, URL, ALT, ID = 75, 2_000, 3_000, 2_000, 255
#: What may stand in mrkdwn after an unescaped `<`: a link to the web with or without a label, or formatting marks in place
#: of a date that is none.
LINK = re.compile(r"(https?://[^\s<>|]+(\|[^<>|]*)?|!date\^00000000\^\{_\}\|[*_~`]+)\Z")
#: What the hostile samples say in Slack's own marks.
MARKED = ("*bold*", "_it_", "~gone~", "`code`", "```fence```")
TOKEN = "xoxb-judge"
WEBHOOK = "/services/T/B/X"


def sdk_problems(blocks: list[dict]) -> list[str]:
    """slack_sdk's verdict. It skips what it doesn't know with a warning, so coming back whole is part of it."""
    problems = []
    for index, block in enumerate(blocks):
        try:
            parsed = Block.parse(dict(block))
            if parsed is None:
                problems.append(f"block {index}: of unknown type {block.get('type')!r}")
                continue
            parsed.validate_json()
            written = json.loads(json.dumps(parsed.to_dict()))
            if written != block:
                problems.append(f"block {index}: comes back as {json.dumps(written)[:300]}")
        except Exception as error:  # noqa: BLE001: whatever it raises is its verdict
            problems.append(f"block {index}: {type(error).__name__}: {error}")
    return problems


def slackblocks_problems(blocks: list[dict]) -> list[str]:
    """slackblocks' verdict. It can't read `actions` from JSON; their buttons are built one by one instead."""
    problems = []
    for index, block in enumerate(blocks):
        try:
            if block["type"] != "actions":
                slackblocks.Block.from_dict(dict(block))
                continue
            for button in block["elements"]:
                text = button["text"]["text"]
                slackblocks.Button(text, button.get("action_id", "a"), url=button.get("url"), value=button.get("value"))
        except Exception as error:  # noqa: BLE001
            problems.append(f"block {index}: {type(error).__name__}: {error}")
    return problems


def limit_problems(message: dict) -> list[str]:
    """Slack's own limits, and the one on a message's text that it does not document."""
    problems: list[str] = []

    def most(what: str, got: int, limit: int) -> None:
        if got > limit:
            problems.append(f"{what}: {got} of {limit}")

    def text(where: str, value: object, limit: int, plain: bool = False) -> None:
        if not isinstance(value, dict) or value.get("type") not in (("plain_text",) if plain else ("plain_text", "mrkdwn")):
            problems.append(f"{where} is no text object: {value!r}"[:200])
            return
        if not value["text"].strip():
            problems.append(f"{where} is empty")
        most(where, len(value["text"]), limit)

    blocks = message["blocks"]
    most("blocks", len(blocks), BLOCKS)
    most("text of all blocks", sum(len(found) for found in texts(blocks)), TOTAL_TEXT)
    for at, block in enumerate(blocks):
        where = f"block {at}"
        most(f"{where}: block_id", len(block.get("block_id", "")), ID)
        match block["type"]:
            case "section":
                if "text" not in block and not block.get("fields"):
                    problems.append(f"{where} has neither text nor fields")
                if "text" in block:
                    text(f"{where}: text", block["text"], SECTION)
                most(f"{where}: fields", len(block.get("fields", [])), FIELDS)
                for field in block.get("fields", []):
                    text(f"{where}: field", field, FIELD)
            case "header":
                text(f"{where}: header", block["text"], HEADER, plain=True)
            case "context":
                most(f"{where}: elements", len(block["elements"]), CONTEXT)
                for element in block["elements"]:
                    text(f"{where}: element", element, FIELD)
            case "actions":
                most(f"{where}: elements", len(block["elements"]), ACTIONS)
                for button in block["elements"]:
                    text(f"{where}: button", button["text"], BUTTON_TEXT, plain=True)
                    most(f"{where}: url", len(button.get("url", "")), URL)
                    most(f"{where}: value", len(button.get("value", "")), BUTTON_VALUE)
                    most(f"{where}: action_id", len(button.get("action_id", "")), ID)
                    if not re.match(r"https?://[^\s<>\"|]+\Z", button.get("url", "https://x")):
                        problems.append(f"{where}: a button to {button['url'][:100]!r}")
            case "image":
                most(f"{where}: alt_text", len(block["alt_text"]), ALT)
            case "divider":
                pass
            case other:
                problems.append(f"{where}: the judge knows no limits of {other!r}")
    if not message["text"].strip():
        problems.append("text is empty")
    most("text", len(message["text"]), MESSAGE_TEXT)
    return problems


def texts(value: object) -> list[str]:
    """Every text below a value."""
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [t for inner in value.values() for t in texts(inner)]
    if isinstance(value, list):
        return [t for inner in value for t in texts(inner)]
    return []


def mrkdwn(value: object) -> list[str]:
    """Every mrkdwn text below a value."""
    if isinstance(value, dict):
        own = [value["text"]] if value.get("type") == "mrkdwn" else []
        return own + [t for inner in value.values() for t in mrkdwn(inner)]
    if isinstance(value, list):
        return [t for inner in value for t in mrkdwn(inner)]
    return []


def outside_problems(message: dict) -> list[str]:
    """What came from outside stays text: no mention, no link but ours, no entity cut in half, no control character."""
    problems = []
    for text in [message["text"], *mrkdwn(message["blocks"])]:
        for inside in re.findall(r"<([^>]*)>?", text):
            if not LINK.match(inside):
                problems.append(f"<{inside[:80]}> takes effect")
        if re.search(r"&(?!(amp|lt|gt);)", text):
            problems.append(f"an entity is cut or bare: …{text[-60:]!r}" if text[-6:].count("&") else "a bare &")
        problems += [f"{marked} formats" for marked in MARKED if marked in text]
        if "<" not in text and ">" in text:
            problems.append("a bare >")
    for text in [message["text"], *texts(message["blocks"])]:
        odd = {c for c in text if unicodedata.category(c) == "Cc" and c != "\n"} | (set(text) & set("\u202d\u202e"))
        if odd:
            problems.append(f"control characters: {odd!r}")
    quiet = [t for t in (x for b in message["blocks"] for x in objects(b)) if t.get("type") == "mrkdwn"]
    if not all(t.get("verbatim") is True for t in quiet):
        problems.append("mrkdwn that is not verbatim: Slack would look up names in it")
    return problems


def objects(value: object) -> list[dict]:
    if isinstance(value, dict):
        return [value, *(o for inner in value.values() for o in objects(inner))]
    if isinstance(value, list):
        return [o for inner in value for o in objects(inner)]
    return []


def judge_rendered(judge: Judge, cases: list[dict], what: str = "") -> None:
    def over(problems) -> list[str]:
        return [f"{c['name']} {c['variant']}: {p}" for c in cases for p in problems(c["slack"])]

    count = len(cases)
    judge.all([f"{c['name']} {c['variant']}: {f}" for c in cases for f in c["fallbacks"]], count, f"{what}no template failed")
    judge.all(over(lambda m: [] if m["blocks"] else ["no blocks"]), count, f"{what}every message has blocks")
    judge.all(over(lambda m: sdk_problems(m["blocks"])), count, f"{what}slack_sdk accepts")
    judge.all(over(lambda m: slackblocks_problems(m["blocks"])), count, f"{what}slackblocks accepts")
    judge.all(over(limit_problems), count, f"{what}Slack's limits hold")
    judge.all(over(outside_problems), count, f"{what}nothing from outside takes effect")
    judge.all(typescript([c["slack"]["blocks"] for c in cases]), count, f"{what}@slack/types types them")


def typescript(messages: list[list[dict]]) -> list[str]:
    """tsc's verdict on the blocks written as constants of type KnownBlock[]."""
    node = pathlib.Path(os.environ["JUDGES_NODE"])
    with scratch() as folder:
        (folder / "node_modules").symlink_to(node / "node_modules")
        lines = ['import type { KnownBlock } from "@slack/types";']
        lines += [f"export const m{n}: KnownBlock[] = {json.dumps(blocks)};" for n, blocks in enumerate(messages)]
        (folder / "payloads.ts").write_text("\n".join(lines))
        tsc = node / "node_modules/typescript/bin/tsc"
        options = {"noEmit": True, "strict": True, "skipLibCheck": True, "types": [], "preserveSymlinks": True}
        (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["payloads.ts"]}))
        done = subprocess.run(["node", tsc], cwd=folder, capture_output=True, text=True)
        return [] if done.returncode == 0 else [done.stdout[:2_000] or done.stderr[:2_000]]


def controls(judge: Judge) -> None:
    """The judges do reject what Slack would."""
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "x", "verbatim": True}}
    long = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}
    crowded = {"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}
    judge.check(not sdk_problems([section]) and not slackblocks_problems([section]) and not typescript([[section]]),
                "control: a good section is accepted")
    for what, block in [("a section of 3,001 characters", long), ("a context of 11 elements", crowded)]:
        rejected = [bool(sdk_problems([block])), bool(slackblocks_problems([block]))]
        rejected.append(bool(limit_problems({"blocks": [block], "text": "x"})))
        judge.equal(rejected, [True] * 3, f"control: {what} is rejected by slack_sdk, slackblocks and the limits")
    judge.check(bool(typescript([[{"type": "section", "txt": {}}]])), "control: tsc rejects a key that isn't one")
    for text in ["a *bold* word", "<!date^0^{date}|*>", "<!channel>", "<@U123>", "<javascript:alert(1)|x>", "a & b", "cut &am", "\u202eabc"]:
        message = {"text": text, "blocks": [section]}
        judge.check(bool(outside_problems(message)), f"control: {text!r} would be noticed")


def taken(request: Request) -> Reply:
    """Slack's answer to a good message."""
    if request.path == WEBHOOK:
        return Reply(200, {"Content-Type": "text/plain"}, b"ok")
    answer = {"ok": True, "channel": "C1", "ts": "1.2"}
    return Reply(200, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(answer).encode())


def whole(post: dict) -> dict:
    """A post with the blocks of its coloured bar among the others, as they stand on the screen."""
    bars = post.pop("attachments", [])
    if any(set(bar) != {"color", "blocks"} or not re.match(r"#[0-9a-f]{6}\Z", bar["color"]) for bar in bars):
        raise ValueError(f"an odd attachment: {json.dumps(bars)[:300]}")
    post["blocks"] = [*post["blocks"], *(block for bar in bars for block in bar["blocks"])]
    return post


def wire(judge: Judge, cases: list[dict]) -> None:
    """What is posted: the rendered message with everything off that looks up or unfolds. An edit of a message that was
    never posted posts nothing."""
    cases = [case for case in cases if case["name"] != "update"]
    with scratch() as folder, receiver(taken) as fake:
        hook = table("sinks.hook", {"kind": "slack", "webhook_url": fake.url(WEBHOOK)})
        bot = table("sinks.bot", {"kind": "slack", "bot_token": TOKEN, "channel": "C1", "api_url": fake.url("/api")})
        bridge = Bridge(folder, hook, bot, route(["hook", "bot"]))
        sent = payloads(bridge.config)
        judge.all([f"{s['name']}: {s['detail']}" for s in sent if s["outcome"] != "accepted"], len(sent), "wire: accepted")
        by_path = {WEBHOOK: [], "/api/chat.postMessage": []}
        # The charts of digests follow their messages; what Slack asks of them is the fakeslack judge's.
        for request in fake.requests:
            if not request.path.startswith("/api/files."):
                by_path.setdefault(request.path, []).append(request)
        judge.equal({path: len(found) for path, found in by_path.items()}, {path: len(cases) for path in list(by_path)[:2]},
                    "wire: one post each, by webhook and by bot")
        quiet = {"unfurl_links": False, "unfurl_media": False, "link_names": False}
        for path, extra in [(WEBHOOK, {}), ("/api/chat.postMessage", {"channel": "C1"})]:
            problems = []
            for case, request in zip(cases, by_path[path]):
                post = whole(json.loads(request.body))
                post.pop("metadata", None)
                if post != {**case["slack"], **quiet, **extra}:
                    problems.append(f"{case['name']} {case['variant']}: {json.dumps(post)[:300]}")
                if request.one("content-type").split(";")[0] != "application/json":
                    problems.append(f"{case['name']}: {request.one('content-type')}")
                if request.all("authorization") != ([f"Bearer {TOKEN}"] if extra else []):
                    problems.append(f"{case['name']}: authorization")
            judge.all(problems, len(by_path[path]), f"wire: {path} gets what was rendered, and nothing unfolds")
        marks = [json.loads(r.body)["metadata"]["event_payload"]["id"] for r in by_path["/api/chat.postMessage"]]
        judge.equal(marks, [c["events"][0]["id"] for c in cases], "wire: the bot marks each post with its event's id")


def life(judge: Judge) -> None:
    """What the running program posts while things happen in a workspace."""
    with scratch() as folder, workspace(threads=40, members=4, days=60) as space, receiver(taken) as fake:
        hook = table("sinks.hook", {"kind": "slack", "webhook_url": fake.url(WEBHOOK)})
        bridge = Bridge(folder, space.source(**SETTINGS["source"]), *SETTINGS["rules"], hook, route(["hook"]))
        tell(judge, bridge, space)
        posts = [whole(json.loads(request.body)) for request in fake.requests]
        stored = bridge.list("events")
        judge.equal(len(posts), len(stored), "life: one post for each event")
        cases = [{"name": "life", "variant": str(n), "slack": post, "fallbacks": []} for n, post in enumerate(posts)]
        judge_rendered(judge, cases, "life: ")
        before = len(fake.requests)
        for number in range(5):
            space.do("add_thread", thread={"creator": "member1@example.com", "title": f"One of five: {number}"})
        ran = bridge("once", "--drain", 60)
        told = [request.at for request in fake.requests[before:]]
        # Four seconds; a first post that was slow to arrive takes something off.
        judge.check(ran.code == 0 and len(told) == 5 and told[-1] - told[0] > 2.5, "life: one post a second", f"{ran}\n{told}")


def main() -> None:
    logging.getLogger("slack_sdk").setLevel(logging.ERROR)
    judge = Judge()
    cases = payloads()
    controls(judge)
    judge_rendered(judge, cases)
    wire(judge, cases)
    life(judge)
    judge.finish()


if __name__ == "__main__":
    main()
