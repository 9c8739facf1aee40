"""Judges the email sink by a real mail server: Postfix, configured in a folder of its own on a high port, takes letters
and delivers them into a mailbox, where they parse. It is killed while a letter is being handed in, and is down for a
while: every letter arrives, each once."""

from __future__ import annotations

import base64
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import dkim
import letter
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support import Bridge, Judge, free_port, listens, payloads, route, scratch, table, wait_for, workspace

#: Where the package puts its parts on Debian.
DAEMONS = "/usr/lib/postfix/sbin"
FAST = {"min": "200ms", "max": "500ms"}


#: Who may sign in at the port with TLS.
USER, PASSWORD = "bridge", "p@ss:word"


class Talker:
    """A server of lines on a Unix socket, a thread per connection."""

    def __init__(self, path: pathlib.Path, talk) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        os.chmod(path, 0o666)
        self.listener.listen()
        self.talk = talk
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rw", newline="\n") as stream:
            self.talk(stream)

    def close(self) -> None:
        self.listener.close()


def authenticate(stream) -> None:
    """Dovecot's authentication protocol, as much of it as Postfix speaks for PLAIN."""
    stream.write("VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0\nDONE\n")
    stream.flush()
    for line in stream:
        parts = line.rstrip("\n").split("\t")
        if parts[0] != "AUTH":
            continue
        said = next((part[5:] for part in parts if part.startswith("resp=")), "")
        good = base64.b64decode(said) == f"\0{USER}\0{PASSWORD}".encode()
        stream.write(f"OK\t{parts[1]}\tuser={USER}\n" if good else f"FAIL\t{parts[1]}\tuser={USER}\n")
        stream.flush()


class Greylist:
    """Postfix's policy protocol: a recipient named grey is put off the first few times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.asked = 0

    def __call__(self, stream) -> None:
        asked: dict[str, str] = {}
        for line in stream:
            name, _, value = line.rstrip("\n").partition("=")
            if name:
                asked[name] = value
                continue
            action = "DUNNO"
            if asked.get("recipient", "").startswith("grey@"):
                self.asked += 1
                action = "451 4.7.1 Greylisted, come back later" if self.asked <= self.times else "DUNNO"
            stream.write(f"action={action}\n\n")
            stream.flush()
            asked = {}


class Postfix:
    """An instance with nothing of the machine's own configuration."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.tls_port = free_port()
        self.greylist = Greylist(times=2)
        self.talkers = [Talker(folder / "auth", authenticate), Talker(folder / "policy", self.greylist)]
        self.ca = folder / "ca.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca))
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        self.log = folder / "log"
        self._config = folder / "etc"
        self._queue = folder / "spool"
        self._mail = folder / "mail"
        owner = pwd.getpwnam("postfix")
        for made in (self._config, self._queue, folder / "data", self._mail):
            made.mkdir()
        for made in (folder / "data", self._mail):
            os.chown(made, owner.pw_uid, owner.pw_gid)
        (self._config / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {self._queue}
data_directory = {folder}/data
daemon_directory = {DAEMONS}
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {self.log}
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mta.example.com
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
default_transport = error:nothing leaves this machine
relay_transport = error:nothing leaves this machine
virtual_mailbox_domains = example.com
virtual_mailbox_base = {self._mail}
virtual_mailbox_maps = inline:{{ ana@example.com=ana/ finance@example.com=finance/ grey@example.com=grey/ }}
virtual_uid_maps = static:{owner.pw_uid}
virtual_gid_maps = static:{owner.pw_gid}
virtual_minimum_uid = 100
smtpd_recipient_restrictions = check_policy_service unix:{folder}/policy, permit_mynetworks, reject
smtpd_tls_chain_files = {folder}/server.pem
smtpd_sasl_type = dovecot
smtpd_sasl_path = {folder}/auth
smtpd_delay_reject = no
smtpd_timeout = 300s
# Stands for a slow content filter: the answer to the letter keeps its sender waiting.
smtpd_end_of_data_restrictions = $judge_slowness
judge_slowness =
""")
        services = ["anvil unix - - n - 1 anvil", "bounce unix - - n - 0 bounce", "cleanup unix n - n - 0 cleanup",
                    "defer unix - - n - 0 bounce", "error unix - - n - - error", "flush unix n - n 1000? 0 flush",
                    "pickup unix n - n 60 1 pickup", "postlog unix-dgram n - n - 1 postlogd",
                    "proxymap unix - - n - - proxymap", "qmgr unix n - n 300 1 qmgr", "rewrite unix - - n - - trivial-rewrite",
                    "scache unix - - n - 1 scache", "tlsmgr unix - - n 1000? 1 tlsmgr", "trace unix - - n - 0 bounce",
                    "verify unix - - n - 1 verify", "virtual unix - n n - - virtual",
                    f"127.0.0.1:{self.port} inet n - n - - smtpd",
                    # TLS from the first byte, and nobody comes in who has not signed in.
                    f"127.0.0.1:{self.tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes"
                    " -o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject"]
        (self._config / "master.cf").write_text("\n".join(services) + "\n")

    def start(self, slow: bool = False) -> None:
        self._command("postconf", "-e", f"judge_slowness = {'sleep 120' if slow else ''}")
        self._command("postfix", "start")
        wait_for(lambda: listens(self.port), "listening Postfix")

    def kill(self) -> None:
        """All of it at once, as a crash would."""
        master = int((self._queue / "pid/master.pid").read_text().strip())
        # Its daemons are in its process group, which `postfix start` made.
        os.killpg(os.getpgid(master), signal.SIGKILL)
        wait_for(lambda: not listens(self.port), "end of Postfix")

    def stop(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._command("postfix", "stop")

    def said(self, text: str) -> int:
        return self.log.read_text(errors="replace").count(text) if self.log.exists() else 0

    def mailbox(self, user: str) -> list[bytes]:
        """Letters that were delivered; a maildir's files appear there whole."""
        return [path.read_bytes() for path in sorted((self._mail / user / "new").glob("*"))]

    def _command(self, name: str, *args: str) -> None:
        done = subprocess.run([f"/usr/sbin/{name}", "-c", self._config, *args], capture_output=True, text=True)
        if done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, name, done.stdout, done.stderr + self._tail())

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-2_000:] if self.log.exists() else ""


@contextlib.contextmanager
def postfix() -> Iterator[Postfix]:
    with scratch() as folder:
        server = Postfix(folder)
        try:
            yield server
        finally:
            server.stop()


def sink(server: Postfix, *to: str) -> str:
    return table("sinks.finance", {"kind": "email", "smtp_url": f"smtp://127.0.0.1:{server.port}", "retry": FAST,
                                   "from": "Bridge <bridge@example.com>", "to": list(to), "timeout": "30s"})


def samples(judge: Judge, server: Postfix) -> None:
    """Every sample in every variant, through the server into two mailboxes."""
    with scratch() as folder:
        made = Bridge(folder, sink(server, "Ana <ana@example.com>", "finance@example.com"), route(["finance"]))
        sent = payloads(made.config)
        judge.all([f"{s['name']} {s['variant']}: {s['detail']}" for s in sent if s["outcome"] != "accepted"], len(sent),
                  "samples: Postfix takes them")
        ids = {f"<{s['delivery']}@example.com>" for s in sent}
        for user in ("ana", "finance"):
            wait_for(lambda: len(server.mailbox(user)) >= len(sent), f"{len(sent)} letters for {user}")
            found = server.mailbox(user)
            judge.equal(sorted(map(letter.message_id, found)), sorted(ids), f"samples: each arrived once for {user}")
            judge.all([f"{letter.message_id(raw)}: {p}" for raw in found for p in letter.problems(raw, own=False)],
                      len(found), f"samples: what arrived for {user} parses and is what it must be")


def crash(judge: Judge, server: Postfix) -> None:
    """The running service hands a letter in, and the server dies before it has answered; then it is down for long."""
    with scratch() as folder, workspace(members=2) as space:
        made = Bridge(folder, space.source(every="1s"), sink(server, "ana@example.com", "nobody@example.com"),
                      route(["finance"], events=["member.added"]))
        judge.equal(made("once").code, 0, "crash: the baseline")
        before = len(server.mailbox("ana"))
        server.stop()
        server.start(slow=True)
        # Postfix says this once it has taken sender and recipient; the letter itself follows at once.
        handed_in = server.said("client=localhost")
        with made.running():
            space.do("add_member", name="Dee", email="dee@example.com")
            wait_for(lambda: server.said("client=localhost") > handed_in, "letter under way", 120)
            # Not needed for the proof; most of the time the letter is complete by then and waits for its answer.
            time.sleep(0.5)
            server.kill()
            judge.equal(len(server.mailbox("ana")), before, "crash: killed before it had taken the letter")
            # Until an attempt has failed because nobody was there.
            wait_for(lambda: delivery(made)["attempts"] >= 2, "attempts while the server is down", 120)
            judge.equal(delivery(made)["state"], "due", "crash: the delivery is kept")
            server.start()
            wait_for(lambda: delivery(made)["state"] == "dead", "end of the delivery", 120)
        wait_for(lambda: len(server.mailbox("ana")) > before, "letter in the mailbox")
        found = server.mailbox("ana")[before:]
        judge.equal(len(found), 1, "crash: the letter arrived once")
        judge.all([p for raw in found for p in letter.problems(raw, own=False)], len(found), "crash: it parses")
        row = delivery(made)
        judge.check("nobody@example.com" in row["reason"] and "ana@" not in row["reason"],
                    "crash: the unknown recipient alone is refused, by name", row)
        judge.equal(letter.message_id(found[0]), f"<{row['id']}@example.com>", "crash: under the delivery's own id")


def secured(judge: Judge, server: Postfix) -> None:
    """TLS, a password, a signature, a recipient who is put off and one who is refused: each has an end of its own."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    with scratch() as folder, workspace(members=2) as space:
        settings = {"kind": "email", "smtp_url": f"smtps://{USER}:p%40ss%3Aword@127.0.0.1:{server.tls_port}",
                    "ca_file": str(server.ca), "retry": FAST, "from": "Bridge <bridge@example.com>", "timeout": "30s",
                    "envelope_from": "bounces@example.com", "list_id": "amp.example.com",
                    "list_unsubscribe": ["https://lists.example.com/leave"],
                    "dkim": {"domain": "example.com", "selector": "amp", "key": private.decode()},
                    "to": ["ana@example.com", "grey@example.com", "nobody@example.com"]}
        made = Bridge(folder, space.source(), table("sinks.finance", settings), route(["finance"], events=["member.added"]))
        judge.equal(made("once").code, 0, "secured: the baseline")
        before = {user: len(server.mailbox(user)) for user in ("ana", "grey")}
        space.do("add_member", name="Eve", email="eve@example.com")
        made("once", "--drain", "60")
        row = delivery(made)
        judge.equal(row["state"], "dead", "secured: with one refused for good it ends as dead")
        judge.check("nobody@example.com" in row["reason"] and "grey@" not in row["reason"], "secured: by name", row)
        for user in before:
            wait_for(lambda: len(server.mailbox(user)) > before[user], f"letter for {user}")
            judge.equal(len(server.mailbox(user)) - before[user], 1, f"secured: {user} has it once")
        judge.check(server.greylist.asked > server.greylist.times, "secured: who was put off was asked again")
        raw = server.mailbox("grey")[-1]
        raw = raw if isinstance(raw, bytes) else raw.encode()
        raw = b"DKIM-Signature:" + raw.split(b"DKIM-Signature:", 1)[1]
        raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        look_up = lambda name, timeout=5: record  # noqa: E731
        judge.check(dkim.verify(raw, dnsfunc=look_up), "secured: dkimpy verifies the signature", raw[:1500])
        judge.check(not dkim.verify(raw.replace(b"eve@", b"bob@"), dnsfunc=look_up), "secured: and no other letter's")
        for header in (b"List-Id: <amp.example.com>", b"List-Unsubscribe: <https://lists.example.com/leave>",
                       b"List-Unsubscribe-Post: List-Unsubscribe=One-Click"):
            judge.check(header in raw, f"secured: {header.decode()}", raw[:1500])
        wrong = {**settings, "smtp_url": f"smtps://{USER}:wrong@127.0.0.1:{server.tls_port}"}
        made = Bridge(folder / "wrong", space.source(), table("sinks.finance", wrong), route(["finance"]))
        refused = made("check", "--connect")
        judge.check(refused.code == 1, "secured: a wrong password is refused", refused)


def delivery(made: Bridge) -> dict:
    rows = [row for row in made.list("deliveries") if row["event_type"] == "member.added"]
    return rows[0] if rows else {"attempts": 0, "state": "none"}


def main() -> None:
    judge = Judge()
    if os.geteuid() != 0 or not shutil.which("postfix", path="/usr/sbin"):
        judge.skip("Postfix needs to be installed and started by root")
        judge.finish()
    with postfix() as server:
        server.start()
        samples(judge, server)
        crash(judge, server)
        secured(judge, server)
    judge.finish()


if __name__ == "__main__":
    main()
