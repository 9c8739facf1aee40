"""The short form of scripts/faults.py: kills, and a receiver that fails. And of scripts/figures.py: that it runs."""

from __future__ import annotations

import subprocess
import sys

from support import AMPBRIDGE, ROOT, Judge


def run(script: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / script), "--binary", str(AMPBRIDGE), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)


def main() -> None:
    judge = Judge()
    for name, more in (("killed", []), ("killed while the receiver fails", ["--fail", "0.3"])):
        done = run("faults.py", "--events", "400", "--kills", "5", *more)
        judge.check(done.returncode == 0 and "held" in done.stdout, f"faults: {name}", done.stdout)
        print(done.stdout)
    done = run("figures.py", "--threads", "2000", "--idle", "2", "--runs", "1")
    judge.check(done.returncode == 0 and "Start to ready" in done.stdout, "figures: the script runs", done.stdout)
    judge.finish()


if __name__ == "__main__":
    main()
