"""Judges README.md by doing what it says.

A comment before a block says what it is:
  <!-- test: file NAME -->   goes into that file of every folder that blocks are run in
  <!-- test: GROUP -->       `sh` or `console`: blocks of one group are run in order, in one shell, in an empty folder
                             with `ampbridge` on the PATH; each command must succeed
A block that is followed by "It prints `TEXT`" must have printed that. Every `toml` block is loaded by `ampbridge
check`, unless its comment says `test: part`: then it is added to the last whole config. What is not marked is not run.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

from support import AMPBRIDGE, DEADLINE, ROOT, Judge, check_config, scratch

MARK = re.compile(r"<!--\s*test:\s*(?P<what>[^>]*?)\s*-->\s*\Z")
FENCE = re.compile(r"(?ms)^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$")
PROMISE = re.compile(r"\s*It prints\s+`([^`]+)`")
SHELLS = ("sh", "bash", "console")
#: Turns loopback on in a new network namespace, then becomes the command: SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP.
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket() as s:
    name, flags = struct.unpack("16sh", fcntl.ioctl(s, 0x8913, struct.pack("16sh", b"lo", 0)))
    fcntl.ioctl(s, 0x8914, struct.pack("16sh", name, flags | 1))
os.execvp(sys.argv[1], sys.argv[1:])
"""
#: Longest a group may take: some of its commands wait for polls.
PATIENCE = 5 * DEADLINE


@dataclass
class Block:
    line: int
    language: str
    text: str
    #: What its comment says, if it has one.
    mark: str | None
    #: What the page says it prints.
    prints: str | None

    @property
    def commands(self) -> str:
        """What is typed: all of it, or of a transcript what stands after the prompts."""
        if self.language != "console":
            return self.text
        typed, goes_on = [], False
        for line in self.text.splitlines():
            if line.startswith("$ ") or (goes_on and line.startswith("> ")):
                typed.append(line[2:])
                goes_on = line.endswith("\\")
        return "\n".join(typed) + "\n"


def blocks(page: str) -> list[Block]:
    found = []
    for match in FENCE.finditer(page):
        mark = MARK.search(page[: match.start()])
        prints = PROMISE.match(page[match.end():])
        indent = len(match["indent"])
        text = "".join(line[indent:] for line in match["text"].splitlines(keepends=True))
        line = page[: match.start()].count("\n") + 1
        found.append(Block(line, match["language"], text, mark and mark["what"], prints and prints[1]))
    return found


def judge_page(judge: Judge, page: str) -> None:
    found = blocks(page)
    files = {b.mark.split()[1]: b.text for b in found if b.mark and b.mark.startswith("file ")}
    groups: dict[str, list[Block]] = {}
    for block in found:
        if block.language in SHELLS and block.mark:
            groups.setdefault(block.mark, []).append(block)
    configs(judge, [b for b in found if b.language == "toml"])
    for name, group in groups.items():
        run_group(judge, name, group, files)
    for block in found:
        if block.language in SHELLS and not block.mark:
            print(f"  ----  line {block.line}: not marked, not run: {block.text.splitlines()[0]}")


def configs(judge: Judge, found: list[Block]) -> None:
    whole = ""
    for block in found:
        text = block.text
        if block.mark == "part":
            text = f"{whole}\n{text}"
        else:
            whole = text
        with scratch() as folder:
            file = folder / "ampbridge.toml"
            file.write_text(text)
            ran = check_config(file)
        judge.check(ran.code == 0, f"line {block.line}: ampbridge check loads the config", ran)


def run_group(judge: Judge, name: str, group: list[Block], files: dict[str, str]) -> None:
    """One shell for all of them; before each block it says which one it is about to run."""
    script = ["set -euo pipefail"]
    for number, block in enumerate(group):
        script += [f"printf '\\n@@ block {number}\\n'", block.commands]
    script.append("printf '\\n@@ end\\n'")
    with scratch() as folder:
        for file, text in files.items():
            (folder / file).write_text(text)
        home = folder / ".home"
        home.mkdir()
        path = os.pathsep.join([str(AMPBRIDGE.parent), os.environ["PATH"]])
        env = {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8"}
        output = folder / ".output"
        with output.open("w") as out:
            # A session of its own, so that what it leaves in the background can be ended with it.
            shell = subprocess.Popen([*alone(), "bash", "-c", "\n".join(script)], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                     stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                shell.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                pass
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(shell.pid, signal.SIGKILL)
                shell.wait()
        said = output.read_text(errors="replace").split("\n@@ ")
        reached = {part.split("\n", 1)[0]: part.split("\n", 1)[1] if "\n" in part else "" for part in said}
        for number, block in enumerate(group):
            following = f"block {number + 1}" if number + 1 < len(group) else "end"
            out = reached.get(f"block {number}", "")
            good = judge.check(following in reached, f"line {block.line}: {name}, step {number + 1} succeeds",
                               f"{block.text}\nshell exit: {shell.returncode}\n{out[-2_000:]}")
            if not good:
                break
            if block.prints:
                judge.check(block.prints in out, f"line {block.line}: prints {block.prints}", out[-2_000:])
        arrived(judge, name, folder / "received.log")


def arrived(judge: Judge, name: str, log: pathlib.Path) -> None:
    """A walkthrough whose stand-ins keep a log has an event in each of the three sinks."""
    if log.is_file():
        text = log.read_text(errors="replace")
        found = {sink: bool(re.search(line, text, re.M)) for sink, line in
                 {"Slack": r"^slack\b", "webhook": r"^webhook\b.*\bgenuine$", "email": r"^mail\b"}.items()}
        judge.check(all(found.values()), f"{name}: an event in each of the three sinks", f"{found}\n{text[-2_000:]}")


def alone() -> list[str]:
    """What to put before a command so that it has loopback for itself: the page's ports are fixed, and may be in use.
    Nothing where that takes rights we don't have."""
    prefix = ["unshare", "--net", sys.executable, "-c", LOOPBACK_UP]
    done = subprocess.run([*prefix, "true"], capture_output=True)
    return prefix if done.returncode == 0 else []


class Silent(Judge):
    """Judges without a word, for controls."""

    def check(self, good: bool, what: str, detail: object = "") -> bool:
        self.passed += good
        self.failed += not good
        return good


def controls(judge: Judge) -> None:
    """Pages with mistakes fail."""
    toml = '<!-- test: file a.toml -->\n```toml\n[bridge]\nname = "x"\n```\n'
    for what, page, good in [
        ("a page that works", toml + "<!-- test: a -->\n```sh\nx=1\ngrep -q bridge a.toml\n```\ntext\n"
         "<!-- test: a -->\n```console\n$ echo \\\n> $x\n1\n```\nIt prints `1`.\n", True),
        ("a command that fails", "<!-- test: a -->\n```sh\nfalse\ntrue\n```\n", False),
        ("one that fails in a later block", "<!-- test: a -->\n```sh\ntrue\n```\n<!-- test: a -->\n```sh\nfalse\n```\n", False),
        ("a promise that is not kept", "<!-- test: a -->\n```sh\necho 1\n```\nIt prints `2`.\n", False),
        ("a config with an unknown key", "```toml\n[bridge]\nnme = 1\n```\n", False),
        ("a part that does not fit", toml + "<!-- test: part -->\n```toml\n[[routes]]\nsinks = [\"x\"]\n```\n", False),
    ]:
        silent = Silent()
        judge_page(silent, page)
        judge.check((silent.failed == 0) == good and silent.passed + silent.failed > 0, f"control: {what}",
                    f"{silent.passed} passed, {silent.failed} failed")


def main() -> None:
    judge = Judge()
    controls(judge)
    readme = ROOT / "README.md"
    if not readme.is_file():
        judge.skip("there is no README.md")
        judge.finish()
    judge_page(judge, readme.read_text())
    judge.finish()


if __name__ == "__main__":
    main()
