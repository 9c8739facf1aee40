"""Judges what is in deploy/: systemd reads the unit, hadolint the Dockerfiles, the Compose Specification's schema the
compose files, Kubernetes' schemas the manifests, and ampbridge the configs. Nothing is built or started."""

from __future__ import annotations

import json
import os
import pathlib
import py_compile
import re
import subprocess
import sys
import tempfile

import yaml

from support import AMPBRIDGE, ROOT, Judge, check_config, scratch

DEPLOY = ROOT / "deploy"
TOOLS = pathlib.Path(sys.executable).parent
#: Tenths of systemd's exposure level (0 to 10) that a hardened unit may have.
EXPOSURE = 20


def run(*args: object, cwd: pathlib.Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([str(a) for a in args], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, env={**os.environ, "NO_COLOR": "1", "TERM": "dumb"})


def found(*patterns: str) -> list[pathlib.Path]:
    return sorted(path for pattern in patterns for path in DEPLOY.rglob(pattern) if path.is_file())


def name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def units(judge: Judge) -> None:
    for unit in found("*.service"):
        with scratch() as folder:
            # The program is not installed here; the one that was built stands in for it.
            copy = folder / unit.name
            text = re.sub(r"(?m)^(Exec\w+=[-+!:@|]*)/\S*ampbridge\b", rf"\g<1>{AMPBRIDGE}", unit.read_text())
            copy.write_text(text)
            judge.check(f"={AMPBRIDGE} run" in text, f"{name(unit)}: runs `ampbridge run`")
            done = run("systemd-analyze", "verify", copy)
            # What systemd does not know it ignores with a warning, and succeeds.
            told = [line for line in done.stdout.splitlines() if unit.name in line or str(folder) in line]
            judge.check(done.returncode == 0 and not told, f"{name(unit)}: systemd-analyze verify", done.stdout)
            done = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", copy)
            judge.check(done.returncode == 0, f"{name(unit)}: exposure at most {EXPOSURE / 10}", done.stdout[-3_000:])


def dockerfiles(judge: Judge) -> None:
    for file in (f for f in found("Dockerfile*", "*.Dockerfile") if not f.name.endswith("ignore")):
        done = run(TOOLS / "hadolint", "--failure-threshold", "style", file)
        judge.check(done.returncode == 0, f"{name(file)}: hadolint", done.stdout)
        text = file.read_text()
        users = re.findall(r"(?m)^USER\s+(\S+)", text)
        judge.check(bool(users) and users[-1].split(":")[0] not in ("0", "root"), f"{name(file)}: not as root", users)
        judge.check("HEALTHCHECK" in text, f"{name(file)}: has a health check")
        copied = {part for source in re.findall(r"(?m)^COPY (?!--from)(.+)$", text) for part in source.split()[:-1]
                  if not part.startswith("--")}
        judge.equal([part for part in sorted(copied) if not (ROOT / part).exists()], [], f"{name(file)}: what it copies is there")
        judge.equal(sorted(compiled_in() - copied), [], f"{name(file)}: what the program includes is copied")


def compiled_in() -> set[str]:
    """Files and folders at the root that the sources include when they are compiled."""
    included = set()
    for source in (ROOT / "src").rglob("*.rs"):
        for path in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text().split("#[cfg(test)]")[0]):
            whole = (source.parent / path).resolve()
            if whole.is_relative_to(ROOT):
                included.add(whole.relative_to(ROOT).parts[0])
    return included


def compose_files(judge: Judge) -> None:
    for file in found("compose*.y*ml", "docker-compose*.y*ml"):
        done = run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)
        judge.check(done.returncode == 0, f"{name(file)}: the Compose Specification's schema", done.stdout)
        services = yaml.safe_load(file.read_text())["services"]
        for service, settings in services.items():
            mounts = [v.split(":")[0] for v in settings.get("volumes", []) if isinstance(v, str) and v.startswith(".")]
            missing = [mount for mount in mounts if not (file.parent / mount).exists()]
            judge.equal(missing, [], f"{name(file)}: {service}: what it mounts is there")
            pinned = "build" in settings or ":" in settings.get("image", "") or settings.get("image") in {
                s.get("image") for s in services.values() if "build" in s}
            judge.check(pinned, f"{name(file)}: {service}: its image has a version or is built here", settings)


def manifests(judge: Judge) -> None:
    files = [f for f in found("kubernetes/**/*.y*ml", "k8s/**/*.y*ml") if not f.name.startswith("kustomization")]
    documents = [(file, document) for file in files for document in yaml.safe_load_all(file.read_text()) if document]
    for file in files:
        done = run(TOOLS / "kubernetes-validate", "--strict", "--quiet", file)
        judge.check(done.returncode == 0, f"{name(file)}: Kubernetes' schemas, strictly", done.stdout)
    for file in found("kustomization.y*ml"):
        said = yaml.safe_load(file.read_text())
        named = said.get("resources", []) + [f.split("=")[-1] for g in said.get("configMapGenerator", [])
                                             for f in g.get("files", [])]
        missing = [path for path in named if not (file.parent / path).exists()]
        judge.check(not missing and bool(named), f"{name(file)}: what it names is there ({len(named)})", missing)
    for file, document in documents:
        if document["kind"] in ("StatefulSet", "Deployment"):
            workload(judge, f"{name(file)}: {document['kind']}", document)


def workload(judge: Judge, what: str, document: dict) -> None:
    """What the contract asks of it: one process for one store, probes, no root, secrets from outside."""
    spec = document["spec"]
    pod = spec["template"]["spec"]
    container = next(c for c in pod["containers"] if c["name"] == "ampbridge")
    judge.equal(spec["replicas"], 1, f"{what}: one replica")
    if document["kind"] == "Deployment":
        judge.equal(spec.get("strategy", {}).get("type"), "Recreate", f"{what}: never two at once")
    probes = {kind: container.get(kind, {}).get("httpGet", {}).get("path") for kind in ("livenessProbe", "readinessProbe")}
    judge.equal(probes, {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}, f"{what}: probes")
    security = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
    wanted = {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
    judge.equal({key: security.get(key) for key in wanted}, wanted, f"{what}: without rights")
    written = json.dumps(container.get("env", [])) + json.dumps(container.get("args", []))
    outside = any("secretRef" in source for source in container.get("envFrom", [])) or "secretKeyRef" in written
    judge.check(outside, f"{what}: secrets come from a Secret", container)
    mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
    claimed = {c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", [])}
    claimed |= {v["name"] for v in pod.get("volumes", []) if "persistentVolumeClaim" in v}
    judge.check(bool(mounted & claimed), f"{what}: the store is on a volume that stays", mounted)


def configs(judge: Judge) -> None:
    for file in [*found("*.toml"), *sorted((ROOT / "config").glob("ampbridge*.toml"))]:
        ran = check_config(file)
        judge.check(ran.code == 0, f"{name(file)}: ampbridge check", ran)
    for file in found("*.py"):
        with tempfile.NamedTemporaryFile(suffix=".pyc") as compiled:
            try:
                py_compile.compile(str(file), cfile=compiled.name, doraise=True)
                problem = ""
            except py_compile.PyCompileError as error:
                problem = str(error)
        judge.check(not problem, f"{name(file)}: is Python", problem)
    for file in found("*.sh"):
        done = run("sh", "-n", file)
        judge.check(done.returncode == 0, f"{name(file)}: is a shell script", done.stdout)


def controls(judge: Judge) -> None:
    """The tools do find what is wrong."""
    bad = {
        "systemd-analyze": ("x.service", "[Service]\nExecStart=/bin/true\nRestrt=yes\n",
                            lambda file: ("systemd-analyze", "verify", file)),
        "hadolint": ("Dockerfile", "FROM debian\nRUN cd /tmp\n", lambda file: (TOOLS / "hadolint", file)),
        "compose": ("compose.yaml", "services: {a: {image: x, restrt: always}}\n",
                    lambda file: (TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)),
        "kubernetes": ("pod.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{nam: a}]}}\n",
                       lambda file: (TOOLS / "kubernetes-validate", "--strict", "--quiet", file)),
    }
    for what, (file, text, command) in bad.items():
        with scratch() as folder:
            (folder / file).write_text(text)
            done = run(*command(folder / file))
            judge.check(done.returncode != 0 or "Restrt" in done.stdout, f"control: {what} finds a mistake", done.stdout)


def main() -> None:
    judge = Judge()
    controls(judge)
    if not DEPLOY.is_dir():
        judge.skip("there is no deploy/")
        judge.finish()
    for kind in (units, dockerfiles, compose_files, manifests):
        before = judge.passed + judge.failed
        kind(judge)
        judge.check(judge.passed + judge.failed > before, f"deploy: there are {kind.__name__.replace('_', ' ')}")
    configs(judge)
    judge.finish()


if __name__ == "__main__":
    main()
