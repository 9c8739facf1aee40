"""A name that turns inward between two look-ups, against the real binary: nothing inside is ever connected to.

Runs in a network and a mount namespace of its own, where the only interface is a loopback that also has a public address
and the metadata address of clouds, and the only name server is the one below. Needs root, or user namespaces."""

from __future__ import annotations

import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading

from support import Bridge, Judge, route, scratch, table, wait_for, workspace

#: Says that the process is in its namespaces already.
INSIDE = "AMPBRIDGE_JUDGE_INSIDE"
NAME = "rebinding.example.com"
#: A public address: nothing leaves the namespace, so nobody is disturbed.
PUBLIC = "93.184.216.34"
LOOPBACK = "127.0.0.1"
METADATA = "169.254.169.254"
SECRET = "whsec_" + "A" * 43 + "="
EVENTS = 6


def loopback_up() -> None:
    """Brings the loopback up, with the other addresses on it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        def address(request: int, name: str, text: str) -> None:
            packed = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))
            fcntl.ioctl(control, request, struct.pack("16s16s8x", name.encode(), packed))
        fcntl.ioctl(control, 0x8914, struct.pack("16sH22x", b"lo", 0x49))  # SIOCSIFFLAGS: up, running, loopback
        for number, text in enumerate([PUBLIC, METADATA], 1):
            address(0x8916, f"lo:{number}", text)  # SIOCSIFADDR
            address(0x891C, f"lo:{number}", "255.255.255.255")  # SIOCSIFNETMASK


class Names(threading.Thread):
    """A name server that answers each question for an address with the next of its answers, over and over."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.answers: list[list[str]] = [[PUBLIC]]
        self.asked = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((LOOPBACK, 53))
        self.start()

    def set(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    def run(self) -> None:
        while True:
            question, who = self.socket.recvfrom(1500)
            end = question.index(b"\0", 12) + 5
            kind = struct.unpack("!H", question[end - 4:end - 2])[0]
            found: list[str] = []
            if kind == 1:
                found = self.answers[self.asked % len(self.answers)]
                self.asked += 1
            head = question[:2] + struct.pack("!HHHHH", 0x8580, 1, len(found), 0, 0)
            records = [b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(text) for text in found]
            self.socket.sendto(head + question[12:end] + b"".join(records), who)


class Door(threading.Thread):
    """Takes every request at one address, closes, and counts who came."""

    def __init__(self, address: str, port: int = 0) -> None:
        super().__init__(daemon=True)
        self.opened = 0
        self.listener = socket.create_server((address, port))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            visitor, _ = self.listener.accept()
            self.opened += 1
            with visitor:
                visitor.settimeout(5)
                seen = b""
                try:
                    while b"\r\n\r\n" not in seen:
                        piece = visitor.recv(65536)
                        if not piece:
                            break
                        seen += piece
                    head, _, body = seen.partition(b"\r\n\r\n")
                    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                    left = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
                    while left > 0:
                        left -= len(visitor.recv(65536)) or left
                    visitor.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                except OSError:
                    pass


def judge_all(judge: Judge) -> None:
    loopback_up()
    names = Names()
    public = Door(PUBLIC)
    inside = {address: Door(address, public.port) for address in (LOOPBACK, METADATA)}
    with scratch() as folder, workspace(threads=0) as world:
        resolver = folder / "resolv.conf"
        resolver.write_text(f"nameserver {LOOPBACK}\noptions timeout:1 attempts:2\n")
        subprocess.run(["mount", "--bind", resolver, "/etc/resolv.conf"], check=True)
        sink = {"kind": "webhook", "url": f"http://{NAME}:{public.port}/hook", "secrets": [SECRET],
                "retry": {"min": "100ms", "max": "300ms"}}
        bridge = Bridge(folder / "guarded", table("store", {"path": "store", "sync": "process"}),
                        world.source(every="300ms"), table("sinks.hook", sink), route(["hook"], events=["thread.*"]))
        judge.equal(bridge("once").code, 0, "the first look")
        for what, answers in [
            ("to loopback", [[PUBLIC], [LOOPBACK]]),
            ("to the metadata address", [[PUBLIC], [METADATA]]),
            ("to both in one answer", [[PUBLIC], [PUBLIC, LOOPBACK]]),
        ]:
            turn(judge, bridge, world, names, public, inside, what, answers)
        ledger(judge, bridge)
        names.set([LOOPBACK])
        for command in (["check", "--connect"], ["send-test", "--sink", "hook"]):
            ran = bridge(*command)
            judge.check(ran.code != 0 and f"{LOOPBACK} is a loopback address" in ran.out + ran.err,
                        f"`{' '.join(command)}` refuses and says why", ran)
        opened = {address: door.opened for address, door in inside.items()}
        judge.equal(opened, {LOOPBACK: 0, METADATA: 0}, "nothing inside was ever connected to")
        allowed = Bridge(folder / "open", world.source(),
                         table("sinks.hook", {**sink, "allow_networks": ["127.0.0.0/8", METADATA]}))
        for address, door in inside.items():
            names.set([address])
            ran = allowed("send-test", "--sink", "hook")
            judge.check(ran.code == 0 and door.opened == 1, f"control: where it is allowed, {address} is connected to", ran)


def turn(judge: Judge, bridge: Bridge, world, names: Names, public: Door, inside: dict[str, Door], what: str,
         answers: list[list[str]]) -> None:
    """The name turns at every look-up; events are delivered all the same, at the public address only."""
    names.set(*answers)
    before, known = public.opened, len(bridge.list("deliveries"))
    with bridge.running():
        for number in range(EVENTS):
            world.do("add_thread", thread={"creator": "member1@example.com", "title": f"{what} {number}"})
        def done() -> bool:
            rows = bridge.list("deliveries")
            return len(rows) == known + EVENTS and all(row["state"] == "delivered" for row in rows)

        wait_for(done, "end of all deliveries")
    judge.check(names.asked >= 2 * EVENTS - 1, f"{what}: the name was asked for at each connection", names.asked)
    judge.equal(public.opened - before, EVENTS, f"{what}: each event came in once, at the public address")
    judge.equal([door.opened for door in inside.values()], [0, 0], f"{what}: nothing inside was connected to")


def ledger(judge: Judge, bridge: Bridge) -> None:
    """Refused attempts say what was refused and which setting would allow it."""
    attempts = [attempt for row in bridge.list("deliveries")
                for attempt in bridge("deliveries", "show", row["id"]).json()["log"]]
    refused = [attempt for attempt in attempts if attempt["outcome"] != "accepted"]
    judge.check(bool(refused), "refused attempts are in the ledger", attempts[:3])
    unclear = [attempt["detail"] for attempt in refused if "sinks.hook.allow_networks" not in attempt["detail"]]
    judge.all(unclear, len(refused), "each of them names the setting")
    for words in (f"{LOOPBACK} is a loopback address", f"{METADATA} is a cloud metadata address"):
        judge.check(any(words in attempt["detail"] for attempt in refused), f"an attempt says: {words}",
                    {attempt["detail"] for attempt in refused})


def main() -> None:
    judge = Judge()
    if os.environ.get(INSIDE):
        judge_all(judge)
        judge.finish()
    alone = ["unshare", "--net", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    able = subprocess.run([*alone, "true"], capture_output=True, text=True)
    if not judge.check(able.returncode == 0, "namespaces can be made",
                       f"{able.stderr}\nThis judge needs a network and a mount namespace of its own: run it as root (in a "
                       "container with CAP_SYS_ADMIN), or allow unprivileged user namespaces."):
        judge.finish()
    script = str(pathlib.Path(__file__).resolve())
    sys.exit(subprocess.run([*alone, sys.executable, script], env={**os.environ, INSIDE: "1"}).returncode)


if __name__ == "__main__":
    main()
