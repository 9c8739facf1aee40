"""Judges the AsyncAPI document: npm's parser finds nothing wrong with it, follows every reference, and `jsonschema` holds
the examples against the payloads as the parser resolved them."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

from jsonschema import Draft202012Validator

from support import Judge, ampbridge, scratch

HERE = pathlib.Path(__file__).parent


def parse(document: pathlib.Path) -> dict:
    done = subprocess.run(
        ["node", HERE / "asyncapi.mjs", os.environ["JUDGES_NODE"], document], capture_output=True, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    judge = Judge()
    with scratch() as folder:
        ran = ampbridge("schema", "asyncapi", "--out", folder)
        judge.equal(ran.code, 0, "schema asyncapi --out writes it")
        document = folder / "asyncapi.json"
        judge.equal(ampbridge("schema", "asyncapi").json(), json.loads(document.read_text()), "and prints the same")
        types = set(ampbridge("schema", "event").json())
        read = parse(document)
        judge.check(not read["faults"] and read["parsed"], "npm @asyncapi/parser finds no error and no warning", read["faults"])
        judge.equal(set(read["messages"]), types | {"batch"}, f"a message for each of {len(types)} types, and the batch")
        judge.equal(read["operations"], {"deliver": "send"}, "one operation, which sends")
        problems, samples = [], []
        for name, message in read["messages"].items():
            validator = Draft202012Validator(message["payload"])
            problems += [f"{name}: {e.json_path}: {e.message[:200]}" for x in message["examples"] for e in validator.iter_errors(x)]
            samples += message["examples"]
        judge.all(problems, len(samples), "the examples fit the payloads as resolved")
        batch = Draft202012Validator(read["messages"]["batch"]["payload"])
        judge.check(batch.is_valid(samples) and not batch.is_valid([]) and not batch.is_valid([{"id": 1}]),
                    "a batch is a list of events")
        spoilt = json.loads(document.read_text())
        del spoilt["operations"]["deliver"]["action"]
        document.write_text(json.dumps(spoilt))
        judge.check(bool(parse(document)["faults"]), "a spoilt document would be noticed")
    judge.finish()


if __name__ == "__main__":
    main()
