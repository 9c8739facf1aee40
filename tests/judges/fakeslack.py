"""Judges the fake Slack that the end-to-end tests trust: Slack's own clients, slack_sdk (PyPI) and @slack/web-api (npm),
use it as they use Slack, read its answers, obey its rate limits and understand its refusals."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time
import urllib.error
import urllib.request

from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from support import Judge

FAKE = os.environ["AMPBRIDGE_FAKE_SLACK"]
QUIET = {"unfurl_links": False, "unfurl_media": False}


def section(text: str) -> dict:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def refusal(call) -> str:
    """The error code a call ends with."""
    try:
        call()
        return "ok"
    except SlackApiError as error:
        return "429" if error.response.status_code == 429 else error.response["error"]


def python(judge: Judge, at: dict[str, str]) -> None:
    web = WebClient(at["token"], base_url=at["api"], retry_handlers=[])
    judge.equal(web.auth_test()["user"], "bridge", "slack_sdk: signs in")
    bar = [{"color": "#c0392b", "blocks": [section("details")]}]
    root = web.chat_postMessage(channel=at["channel"], text="root", blocks=[section("*root*")], attachments=bar, **QUIET)
    judge.check(root["ok"] and root["channel"] == at["channel"] and root["message"]["text"] == "root", "slack_sdk: posts", root)
    reply = web.chat_postMessage(channel=at["channel"], text="reply", thread_ts=root["ts"], reply_broadcast=True, **QUIET)
    judge.check(reply["message"]["thread_ts"] == root["ts"] != reply["ts"], "slack_sdk: answers in a thread", reply)
    edit = web.chat_update(channel=at["channel"], ts=root["ts"], text="edited", blocks=[section("edited")], attachments=[])
    judge.check(edit["ts"] == root["ts"] and edit["text"] == "edited", "slack_sdk: edits", edit)
    uploads(judge, at, web, root["ts"])
    time.sleep(4)
    for what, want, call in [
        ("a token nobody has", "invalid_auth", lambda: WebClient("xoxb-wrong", base_url=at["api"]).auth_test()),
        ("an edit of nothing", "message_not_found",
         lambda: web.chat_update(channel=at["channel"], ts="1.1", text="x", blocks=[], attachments=[])),
        ("an edit that keeps old blocks", "block_mismatch",
         lambda: web.chat_update(channel=at["channel"], ts=root["ts"], text="x")),
        ("51 blocks", "invalid_blocks",
         lambda: web.chat_postMessage(channel=at["channel"], text="t", blocks=[section("x")] * 51)),
        ("more text than Slack takes", "msg_blocks_too_long",
         lambda: web.chat_postMessage(channel=at["channel"], text="t", blocks=[section("x" * 2900)] * 5)),
        ("no text", "no_text", lambda: web.chat_postMessage(channel=at["channel"], text=" ", blocks=[section("x")])),
    ]:
        judge.equal(refusal(call), want, f"slack_sdk: {what}")
    outcomes = [refusal(lambda: web.chat_postMessage(channel=at["channel"], text="rush")) for _ in range(8)]
    judge.check("429" in outcomes, "slack_sdk: a rush is asked to slow down", outcomes)
    patient = WebClient(at["token"], base_url=at["api"], retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=9)])
    outcomes = [refusal(lambda: patient.chat_postMessage(channel=at["channel"], text="rush")) for _ in range(6)]
    judge.equal(outcomes, ["ok"] * 6, "slack_sdk: its own handler of rate limits gets through")
    time.sleep(2)
    hook = WebhookClient(at["webhook"]).send(text="hello", blocks=[section("hello")])
    judge.equal((hook.status_code, hook.body), (200, "ok"), "slack_sdk: an incoming webhook says ok")
    time.sleep(2)
    hook = WebhookClient(at["webhook"]).send(text="hello", blocks=[{"type": "nonsense"}])
    judge.equal((hook.status_code, hook.body), (400, "invalid_blocks"), "slack_sdk: and what is wrong")


def uploads(judge: Judge, at: dict[str, str], web: WebClient, thread: str) -> None:
    """Step by step as ampbridge does it, then as slack_sdk does it by itself."""
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    place = web.files_getUploadURLExternal(filename="spend.png", length=len(picture), alt_txt="a chart")
    early = lambda: web.files_completeUploadExternal(files=[{"id": place["file_id"]}], channel_id=at["channel"])  # noqa: E731
    judge.equal(refusal(early), "file_not_found", "slack_sdk: nothing is shared before it is there")
    short = urllib.request.Request(place["upload_url"], data=picture[:-1], method="POST")
    try:
        urllib.request.urlopen(short, timeout=30)
        judge.check(False, "slack_sdk: an upload shorter than announced is refused")
    except urllib.error.HTTPError as error:
        judge.equal(error.code, 400, "slack_sdk: an upload shorter than announced is refused")
    elsewhere = lambda: web.files_completeUploadExternal(files=[{"id": place["file_id"]}], channel_id="#ops")  # noqa: E731
    judge.equal(refusal(elsewhere), "channel_not_found", "slack_sdk: a file is shared by a channel's id, not its name")
    done = web.files_upload_v2(filename="spend.png", content=picture, alt_txt="a chart", title="$5 in 7 days",
                               channel=at["channel"], thread_ts=thread)
    judge.check(done["ok"] and done["files"][0]["id"] != place["file_id"], "slack_sdk: its own upload goes through", done)


def javascript(judge: Judge, at: dict[str, str]) -> None:
    script = pathlib.Path(__file__).with_suffix(".mjs")
    done = subprocess.run(["node", script, os.environ["JUDGES_NODE"], at["api"], at["token"], at["channel"]],
                          capture_output=True, text=True, timeout=180)
    if not judge.check(done.returncode == 0, "@slack/web-api: runs to its end", done.stderr[-2000:]):
        return
    # Its logger writes to stdout, too.
    found = json.loads(done.stdout.splitlines()[-1])
    want = {"auth": "bridge", "root": [True, True, "string", "root"], "reply": [True, True, True],
            "edit": [True, True, "edited"], "gone": "message_not_found", "stranger": "invalid_auth",
            "tooMany": "invalid_blocks", "tooLong": "invalid_blocks", "rush": True, "limited": True}
    for name, value in want.items():
        judge.equal(found.get(name), value, f"@slack/web-api: {name}")


def main() -> None:
    judge = Judge()
    child = subprocess.Popen([FAKE], stdout=subprocess.PIPE, text=True)
    try:
        at = dict(child.stdout.readline().split(maxsplit=1) for _ in range(4))
        at = {name: value.strip() for name, value in at.items()}
        python(judge, at)
        time.sleep(5)
        javascript(judge, at)
    finally:
        child.kill()
        child.wait()
    judge.finish()


if __name__ == "__main__":
    main()
