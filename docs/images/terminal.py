#!/usr/bin/env python3
"""Draws what `ampbridge demo` prints as a picture of a terminal, for the README.

    ampbridge demo | python3 docs/images/terminal.py > docs/images/demo.svg

Lines are the demo's own, cut where they are too long. Left out: of times all but hour and minute, and what comes
between the first budget that is exceeded and the summary.
"""
import re
import sys
from html import escape

COLUMNS, CELL, LINE, MARGIN, BAR = 108, 7.85, 20, 22, 38
INK = {"plain": "#d8dee9", "dim": "#8b949e", "head": "#ffffff", "good": "#6cc07a", "warn": "#ffb454", "bad": "#ff7b72"}


def chosen(lines):
    """The beginning up to the first exceeded budget, then the summary."""
    lines = [re.sub(r"^\d{4}-\d\d-\d\dT(\d\d:\d\d)\S*", r"\1", line) for line in lines]
    exceeded = next(i for i, line in enumerate(lines) if re.match(r"\S+ critical budget\.exceeded", line))
    told = next(i for i, line in enumerate(lines) if i > exceeded and "verified" in line) + 1
    summary = next(i for i, line in enumerate(lines) if line.startswith("in ") and line.endswith(" seconds"))
    end = next(i for i, line in enumerate(lines) if i > summary and not line)
    return lines[:told] + ["…", ""] + lines[summary:end]


def colour(number, line):
    if number == 0 or line.startswith("in "):
        return "head"
    for mark, name in ((" critical ", "bad"), (" warning ", "warn"), ("verified", "good")):
        if mark in line:
            return name
    return "dim" if line.startswith(("·", "…")) else "plain"


def drawn(lines):
    width, height = round(COLUMNS * CELL + 2 * MARGIN), BAR + LINE * len(lines) + MARGIN
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="What ampbridge demo prints: threads, members, a cost spike and a budget exceeded, each as a line and as a verified webhook">'
    yield f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="9" fill="#161b22" stroke="#3d444d"/>'
    for x, fill in ((20, "#ff5f57"), (40, "#febc2e"), (60, "#28c840")):
        yield f'<circle cx="{x}" cy="19" r="6" fill="{fill}"/>'
    yield f'<text x="{width / 2}" y="24" fill="{INK["dim"]}" text-anchor="middle" font-family="sans-serif" font-size="13">ampbridge demo</text>'
    yield '<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,\'DejaVu Sans Mono\',monospace" font-size="13" xml:space="preserve">'
    for number, line in enumerate(lines):
        text = line if len(line) <= COLUMNS else line[: COLUMNS - 1] + "…"
        name = colour(number, line)
        weight = ' font-weight="bold"' if name in ("head", "bad") else ""
        y = BAR + LINE * (number + 1) - 5
        yield f'<text x="{MARGIN}" y="{y}" fill="{INK[name]}"{weight} style="white-space:pre">{escape(text)}</text>'
    yield "</g>\n</svg>"


print("\n".join(drawn(chosen([line.rstrip("\n") for line in sys.stdin]))))
