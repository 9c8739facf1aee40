"""Judges the email sink by aiosmtpd (PyPI): plaintext, STARTTLS, implicit TLS, sign-in; letters that Python's strict
parser reads; one Message-ID over all attempts; one refused recipient who keeps nobody else's letter."""

from __future__ import annotations

import collections
import contextlib
import logging
import ssl
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

import letter
from story import SETTINGS, tell
from support import Bridge, Judge, free_port, payloads, route, scratch, table, workspace

USER, PASSWORD = "bridge@example.com", "p:a/ss w%rd+ä"
#: The same, as a URL writes them.
SIGN_IN = "bridge%40example.com:p%3Aa%2Fss%20w%25rd%2B%C3%A4"
FAST = {"min": "100ms", "max": "200ms"}
#: A name of the test's own that leads to this machine: STARTTLS is for hosts that are not loopback by their name.
HOST = "mail.example.com"


@dataclass
class Delivered:
    """A letter that was handed in, taken or not."""

    sender: str
    to: list[str]
    raw: bytes
    tls: bool
    user: str | None
    reply: str


@dataclass
class Post:
    """What a scripted server does and remembers."""

    rcpt: Callable[[str], str] = lambda _: "250 OK"
    data: Callable[[list[str]], str] = lambda _: "250 OK"
    letters: list[Delivered] = field(default_factory=list)
    sign_ins: list[bool] = field(default_factory=list)
    port: int = 0
    #: TLS from the first byte, which aiosmtpd's session does not know of.
    implicit: bool = False

    async def handle_RCPT(self, server, session: Session, envelope: Envelope, address: str, options) -> str:
        reply = self.rcpt(address)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server, session: Session, envelope: Envelope) -> str:
        reply = self.data(envelope.rcpt_tos)
        user = session.auth_data.login.decode() if session.auth_data else None
        self.letters.append(
            Delivered(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content, self.implicit or session.ssl is not None,
                      user, reply))
        return reply

    def authenticate(self, server, session, envelope, mechanism: str, data: object) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == (USER, PASSWORD)
        self.sign_ins.append(good)
        return AuthResult(success=good, handled=good, auth_data=data)

    def taken(self) -> list[Delivered]:
        return [found for found in self.letters if found.reply.startswith("250")]


@contextlib.contextmanager
def server(post: Post, sign_in: bool = False, starttls: ssl.SSLContext | None = None,
           implicit: ssl.SSLContext | None = None) -> Iterator[Post]:
    settings: dict = {"auth_required": sign_in, "authenticator": post.authenticate if sign_in else None,
                      "auth_require_tls": starttls is not None, "enable_SMTPUTF8": False, "hostname": "127.0.0.1",
                      "port": free_port()}
    if starttls:
        settings |= {"tls_context": starttls, "require_starttls": True}
    if implicit:
        settings |= {"ssl_context": implicit}
        post.implicit = True
    running = Controller(post, ready_timeout=30, **settings)
    running.start()
    post.port = running.port
    try:
        yield post
    finally:
        running.stop()


def sink(url: str, to: list[str] | None = None, **settings: object) -> str:
    values = {"kind": "email", "smtp_url": url, "from": "Bridge <bridge@example.com>",
              "to": to or ["finance@example.com"], "retry": FAST, **settings}
    return table("sinks.finance", values)


@contextlib.contextmanager
def bridge(sink_table: str, env: dict[str, str] | None = None) -> Iterator[tuple[Bridge, Callable[[], None]]]:
    """A bridge past its baseline with an email sink for new members, and what makes one join."""
    with scratch() as folder, workspace(members=2) as space:
        made = Bridge(folder, space.source(), sink_table, route(["finance"], events=["member.added"]), env=env)
        first = made("once")
        if first.code != 0:
            raise RuntimeError(f"the baseline: {first}")
        joined = iter(range(100))
        yield made, lambda: space.do("add_member", name="Dée <b>\r\nBcc: eve@example.com",
                                     email=f"dee{next(joined)}@example.com")


def samples(judge: Judge) -> None:
    """Every sample in every variant, with sign-in, over plaintext loopback."""
    with server(Post(), sign_in=True) as post, scratch() as folder:
        made = Bridge(folder, sink(f"smtp://{SIGN_IN}@127.0.0.1:{post.port}", reply_to="help@example.com",
                                   to=["Ana Ä <ana@example.com>", "bo@example.com"]), route(["finance"]))
        sent = payloads(made.config)
        judge.all([f"{s['name']} {s['variant']}: {s['detail']}" for s in sent if s["outcome"] != "accepted"], len(sent),
                  "samples: sent and accepted")
        judge.equal(len(post.letters), 2 * len(sent), "samples: a transaction for each recipient")
        judge.all([f"{letter.message_id(d.raw)}: {p}" for d in post.letters for p in letter.problems(d.raw)],
                  len(post.letters), "samples: Python's strict parser reads them, and they are what they must be")
        judge.check({d.user for d in post.letters} == {USER} and all(post.sign_ins), "samples: signed in",
                    post.sign_ins)
        judge.equal({d.sender for d in post.letters}, {"bridge@example.com"}, "samples: envelope sender")
        judge.equal(collections.Counter(tuple(d.to) for d in post.letters),
                    {("ana@example.com",): len(sent), ("bo@example.com",): len(sent)}, "samples: envelope recipients")
        ids = {letter.message_id(d.raw) for d in post.letters}
        judge.equal(len(ids), len(sent), "samples: one Message-ID a delivery, the same for all recipients")
        heads = [letter.parse(d.raw) for d in post.letters]
        judge.equal({(str(h["from"]), str(h["to"]), str(h["reply-to"])) for h in heads},
                    {("Bridge <bridge@example.com>", "Ana Ä <ana@example.com>, bo@example.com", "help@example.com")},
                    "samples: From, To and Reply-To as configured")
        rendered = {c["events"][0]["id"]: c["email"] for c in payloads() if c["kind"] == "single"}
        texts = {str(h["subject"]) for h in heads}
        lost = [e["subject"] for e in rendered.values() if e["subject"] not in texts]
        judge.all(lost, len(rendered), "samples: subjects arrive as rendered")


def retries(judge: Judge) -> None:
    """Refused for now twice, then taken: the same letter under the same Message-ID."""
    replies = iter(["451 4.3.0 Try again later", "421 4.3.2 Shutting down"])
    with (server(Post(data=lambda _: next(replies, "250 OK"))) as post,
          bridge(sink(f"smtp://127.0.0.1:{post.port}")) as (made, join)):
        join()
        ran = made("once", "--drain", 60)
        judge.equal((ran.code, len(post.letters), len(post.taken())), (0, 3, 1), "retries: taken at the third attempt")
        judge.equal(len({letter.message_id(d.raw) for d in post.letters}), 1, "retries: one Message-ID")
        judge.all([p for d in post.letters for p in letter.problems(d.raw)], len(post.letters), "retries: good letters")
        bodies = {d.raw.split(b"\r\n\r\n", 1)[1] for d in post.letters}
        judge.equal(len(bodies), 1, "retries: one body")
        made("once", "--drain", 5)
        judge.equal(len(post.taken()), 1, "retries: nothing is sent again")


def recipients(judge: Judge) -> None:
    """One of three is refused for good, one for now: each gets what is his, once."""
    cy = iter(["450 4.2.1 Busy"])

    def rcpt(address: str) -> str:
        if address == "bo@example.com":
            return "550 5.1.1 No such user here"
        return next(cy, "250 OK") if address == "cy@example.com" else "250 OK"

    to = ["bo@example.com", "ana@example.com", "cy@example.com"]
    with server(Post(rcpt)) as post, bridge(sink(f"smtp://127.0.0.1:{post.port}", to)) as (made, join):
        join()
        ran = made("once", "--drain", 60)
        got = collections.Counter(address for d in post.taken() for address in d.to)
        judge.equal(got, {"ana@example.com": 1, "cy@example.com": 1}, "recipients: the others got one letter each")
        judge.check(ran.code == 1 and "finance" in ran.err, "recipients: exit 1, and stderr names the sink", ran)
        row = next(d for d in made.list("deliveries") if d["event_type"] == "member.added")
        judge.check(row["state"] == "dead" and "bo@example.com" in (row["reason"] or ""),
                    "recipients: dead, naming who was refused", row)
        made("deliveries", "retry", row["id"])
        made("once", "--drain", 5)
        again = collections.Counter(address for d in post.taken() for address in d.to)
        judge.equal(again, got, "recipients: who has it is not sent it again, whatever is retried")


def refusals(judge: Judge) -> None:
    """A wrong password, and a server that lacks what the config asks for."""
    with (server(Post(), sign_in=True) as post,
          bridge(sink(f"smtp://{USER.replace('@', '%40')}:wrong-secret@127.0.0.1:{post.port}")) as (made, join)):
        join()
        ran = made("once", "--drain", 20)
        judge.check(post.sign_ins and not any(post.sign_ins) and not post.letters, "sign-in: refused, nothing sent", ran)
        judge.equal([s["state"] for s in made.list("sinks")], ["stopped"], "sign-in: the sink is stopped")
        everything = ran.out + ran.err + str(made.list("sinks")) + str(made.list("deliveries"))
        judge.check("wrong-secret" not in everything, "sign-in: the password is nowhere in what is said", everything)
        connected = made("check", "--connect")
        judge.check(connected.code == 1 and "finance" in connected.err, "sign-in: check --connect says so", connected)
    with (server(Post(rcpt=lambda _: "550 5.7.1 Go away")) as post,
          bridge(sink(f"smtp://127.0.0.1:{post.port}")) as (made, join)):
        join()
        ran = made("once", "--drain", 20)
        states = [d["state"] for d in made.list("deliveries") if d["event_type"] == "member.added"]
        judge.equal((ran.code, states, post.letters), (1, ["dead"], []), "all refused: dead, exit 1")


def encrypted(judge: Judge) -> None:
    """STARTTLS and implicit TLS with a certificate authority of our own, and everything that must not be trusted."""
    authority, stranger = trustme.CA(), trustme.CA()
    with scratch() as folder:
        own, other, hosts = folder / "own.pem", folder / "other.pem", folder / "hosts"
        authority.cert_pem.write_to_path(own)
        stranger.cert_pem.write_to_path(other)
        hosts.write_text(f"127.0.0.1 {HOST} other.example.com\n127.0.0.1 localhost\n")
        env = {"LD_PRELOAD": "libnss_wrapper.so", "NSS_WRAPPER_HOSTS": str(hosts)}
        tls = context(authority, HOST, "localhost")

        with server(Post(), sign_in=True, starttls=tls) as post:
            url = f"smtp://{SIGN_IN}@{HOST}:{post.port}"
            one(judge, "STARTTLS", post, sink(url, ca_file=str(own)), env)
            nothing(judge, "STARTTLS with another authority", post, sink(url, ca_file=str(other)), env)
            nothing(judge, "STARTTLS with no authority", post, sink(url), env)
            wrong = url.replace(HOST, "other.example.com")
            nothing(judge, "STARTTLS under another name", post, sink(wrong, ca_file=str(own)), env)
        with server(Post(), sign_in=True, implicit=tls) as post:
            url = f"smtps://{SIGN_IN}@localhost:{post.port}"
            one(judge, "implicit TLS", post, sink(url, ca_file=str(own)), env)
            nothing(judge, "implicit TLS with another authority", post, sink(url, ca_file=str(other)), env)
        with server(Post(), sign_in=False) as post:
            url = f"smtp://{SIGN_IN}@{HOST}:{post.port}"
            nothing(judge, "a server without STARTTLS", post, sink(url, ca_file=str(own)), env)
            one(judge, "plaintext where it is allowed", post,
                sink(f"smtp://{HOST}:{post.port}", allow_plaintext=True), env, tls=False)


def context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(made)
    return made


def one(judge: Judge, what: str, post: Post, sink_table: str, env: dict[str, str], tls: bool = True) -> None:
    """Exactly one letter arrives."""
    before = len(post.letters)
    with bridge(sink_table, env) as (made, join):
        connected = made("check", "--connect")
        judge.check(connected.code == 0, f"{what}: check --connect", connected)
        join()
        ran = made("once", "--drain", 60)
        found = post.letters[before:]
        judge.check(ran.code == 0 and [d.tls for d in found] == [tls], f"{what}: one letter arrives", f"{ran}\n{found}")
        judge.all([p for d in found for p in letter.problems(d.raw)], len(found), f"{what}: a good letter")
        if tls:
            judge.equal([d.user for d in found], [USER], f"{what}: signed in")


def nothing(judge: Judge, what: str, post: Post, sink_table: str, env: dict[str, str]) -> None:
    """No letter and no password leaves the house, and it is said why."""
    letters, sign_ins = len(post.letters), len(post.sign_ins)
    with bridge(sink_table, env) as (made, join):
        join()
        ran = made("once", "--drain", 1)
        judge.check(ran.code == 1 and len(post.letters) == letters and len(post.sign_ins) == sign_ins,
                    f"{what}: nothing is sent, not even the password", ran)
        row = next(d for d in made.list("deliveries") if d["event_type"] == "member.added")
        judge.check(row["state"] == "due" and bool(row["reason"]), f"{what}: kept for another time", row)


def threads(judge: Judge) -> None:
    """Letters of one incident hang together."""
    with server(Post()) as post, scratch() as folder, workspace(members=2, threads=3, days=40) as space:
        budget = table("rules.daily", {"kind": "budget", "limit_usd": 200, "period": "day", "thresholds": [50, 100]})
        made = Bridge(folder, space.source(), budget, sink(f"smtp://127.0.0.1:{post.port}"),
                      route(["finance"], events=["budget.*"]))
        made("once")
        today = space.do("summary")["today"]
        for usd in ("120", "240"):
            space.do("set_usage", date=today, who="member1@example.com", usd=usd)
            made("once", "--drain", 60)
        heads = [letter.parse(d.raw) for d in post.taken()]
        judge.equal(len(heads), 2, "incident: two letters")
        judge.check(heads[1]["in-reply-to"] == heads[0]["message-id"] == heads[1]["references"],
                    "incident: the second answers the first", [h.items() for h in heads])
        judge.all([p for d in post.taken() for p in letter.problems(d.raw)], len(heads), "incident: good letters")


def life(judge: Judge) -> None:
    """What the running program writes while things happen in a workspace."""
    with server(Post()) as post, scratch() as folder, workspace(threads=40, members=4, days=60) as space:
        made = Bridge(folder, space.source(**SETTINGS["source"]), *SETTINGS["rules"],
                      sink(f"smtp://127.0.0.1:{post.port}"), route(["finance"]))
        tell(judge, made, space)
        stored = made.list("events")
        judge.equal(len({letter.message_id(d.raw) for d in post.letters}), len(stored), "life: a letter for each event")
        judge.equal(len(post.letters), len(stored), "life: each once")
        judge.all([f"{letter.message_id(d.raw)}: {p}" for d in post.letters for p in letter.problems(d.raw)],
                  len(post.letters), "life: good letters")


def controls(judge: Judge) -> None:
    """The parser of this judge does find what is wrong."""
    good = (b"From: a@example.com\r\nTo: b@example.com\r\nSubject: x\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
            b"Message-ID: <dlv_1@example.com>\r\nMIME-Version: 1.0\r\nAuto-Submitted: auto-generated\r\n"
            b"X-Auto-Response-Suppress: All\r\nContent-Type: multipart/alternative; boundary=\"=_b\"\r\n\r\n"
            b"--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nx\r\n"
            b"--=_b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>x</p>\r\n--=_b--\r\n")
    judge.equal(letter.problems(good), [], "control: a good letter")
    for what, old, new in [
        ("a header line from outside", b"Subject: x\r\n", b"Subject: x\r\nBcc: eve@example.com\r\n"),
        ("a bare LF", b"\r\nx\r\n", b"\r\nx\ny\r\n"),
        ("a script", b"<p>x</p>", b"<script>x</script>"),
        ("a picture", b"<p>x</p>", b"<p><img src=x></p>"),
        ("HTML first", b"text/plain", b"text/html"),
        ("an open boundary", b"--=_b--", b"--=_c--"),
        ("no Date", b"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n", b""),
        ("bytes beyond ASCII", b"\r\nx\r\n", b"\r\n\xc3\xa4\r\n"),
        ("a long line", b"\r\nx\r\n", b"\r\n" + b"x" * 999 + b"\r\n"),
    ]:
        judge.check(bool(letter.problems(good.replace(old, new, 1))), f"control: {what} is found")


def main() -> None:
    # Handshakes that fail are what some of this is about, and so is signing in without TLS on loopback.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="aiosmtpd")
    judge = Judge()
    controls(judge)
    samples(judge)
    retries(judge)
    recipients(judge)
    refusals(judge)
    threads(judge)
    life(judge)
    encrypted(judge)
    judge.finish()


if __name__ == "__main__":
    main()
