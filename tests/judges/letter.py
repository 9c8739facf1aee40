"""What a letter must be, whoever received it."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage
from html.parser import HTMLParser

#: Elements our HTML is made of; anything else came from outside or does not belong into a mail.
ELEMENTS = {"html", "head", "meta", "title", "style", "body", "div", "p", "span", "strong", "em", "b", "i", "small", "br",
            "hr", "img", "a", "h1", "h2", "h3", "ul", "ol", "li", "table", "thead", "tbody", "tr", "td", "th", "code", "pre"}
#: Headers a letter has, in any order, each once. What a relay adds is not judged.
HEADERS = {"from", "to", "subject", "date", "message-id", "mime-version", "content-type", "auto-submitted",
           "x-auto-response-suppress"}
OPTIONAL = {"reply-to", "in-reply-to", "references"}
RELAYS = {"received", "return-path", "delivered-to", "x-original-to", "x-peer", "x-mailfrom", "x-rcptto"}
ENCODED_WORD = re.compile(r"=\?[^?]+\?[bBqQ]\?[^?]*\?=")


def parse(raw: bytes) -> EmailMessage:
    """Reads a letter; raises where it breaks the rules of mail."""
    return email.message_from_bytes(raw, policy=email.policy.strict)


def problems(raw: bytes, own: bool = True) -> list[str]:
    """All that is wrong with a letter; `own`: exactly as ampbridge sent it, with CRLF and no relay's headers."""
    try:
        letter = parse(raw)
        found = header_problems(letter) + body_problems(letter)
    except Exception as error:  # noqa: BLE001: the strict policy raises what it finds
        return [f"{type(error).__name__}: {error}"]
    return found + (wire_problems(raw) if own else [])


def message_id(raw: bytes) -> str:
    return str(parse(raw)["message-id"])


def header_problems(letter: EmailMessage) -> list[str]:
    found = []
    names = [name.lower() for name in letter.keys() if name.lower() not in RELAYS]
    if missing := HEADERS - set(names):
        found.append(f"headers missing: {sorted(missing)}")
    if unknown := set(names) - HEADERS - OPTIONAL:
        found.append(f"headers that nobody wrote: {sorted(unknown)}")
    found += [f"{name} stands {names.count(name)} times" for name in sorted(set(names)) if names.count(name) > 1]
    for name, value in letter.items():
        found += [f"{name}: {defect!r}" for defect in getattr(value, "defects", ())]
        if re.search(r"[\r\n\x00-\x08\x0b-\x1f\x7f]", str(value)):
            found.append(f"{name} holds control characters: {str(value)[:200]!r}")
    if letter["date"].datetime is None or letter["date"].datetime.tzinfo is None:
        found.append(f"Date is {letter['date']}")
    if not re.fullmatch(r"<dlv_[0-9a-z_]+@example\.com>", str(letter["message-id"])):
        found.append(f"Message-ID is {letter['message-id']}")
    if letter["auto-submitted"] != "auto-generated":
        found.append(f"Auto-Submitted is {letter['auto-submitted']}")
    subject = str(letter["subject"])
    if not subject.strip() or len(subject) > 120:
        found.append(f"the subject has {len(subject)} characters")
    return found


def body_problems(letter: EmailMessage) -> list[str]:
    found = []
    if letter.get_content_type() != "multipart/alternative":
        return [f"it is {letter.get_content_type()}"]
    parts = list(letter.iter_parts())
    pictures: dict[str, EmailMessage] = {}
    if [part.get_content_type() for part in parts] == ["text/plain", "multipart/related"]:
        # RFC 2387: the first part is the whole, the others are what it shows.
        related = parts.pop()
        if related.get_param("type") != "text/html":
            found.append(f"multipart/related of the type {related.get_param('type')}")
        html, *rest = related.iter_parts()
        parts.append(html)
        pictures = {str(part["content-id"]).strip("<>"): part for part in rest}
        found += [problem for part in rest for problem in picture_problems(part)]
    if [part.get_content_type() for part in parts] != ["text/plain", "text/html"]:
        return [f"its parts are {[part.get_content_type() for part in parts]}"]
    for part in parts:
        if part.defects:
            found.append(f"{part.get_content_type()}: {part.defects!r}")
        if str(part.get_content_charset()).lower() != "utf-8":
            found.append(f"{part.get_content_type()} is in {part.get_content_charset()}")
        text = part.get_content()
        if not text.strip() or "\ufffd" in text:
            found.append(f"{part.get_content_type()} is empty or broken")
        if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202d\u202e]", text):
            found.append(f"{part.get_content_type()} holds control characters")
    reader = Html()
    reader.feed(parts[1].get_content())
    reader.close()
    if sorted(reader.shown) != sorted(pictures):
        found.append(f"the HTML shows {reader.shown}, and {sorted(pictures)} travel along")
    return found + reader.problems


def picture_problems(part: EmailMessage) -> list[str]:
    found = []
    if part.get_content_type() != "image/png" or part.get_content_disposition() != "inline":
        found.append(f"a picture that is {part.get_content_type()}, {part.get_content_disposition()}")
    if not re.fullmatch(r"<[0-9A-Za-z_.]+@example\.com>", str(part["content-id"])):
        found.append(f"Content-ID is {part['content-id']}")
    content = part.get_content()
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or len(content) > 200_000:
        found.append(f"a picture of {len(content)} bytes that begins with {content[:8]!r}")
    return found


class Html(HTMLParser):
    """Whether markup is ours alone: known elements, no script, no picture from afar, links to the web only."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.open: list[str] = []
        #: Content-IDs of the pictures shown.
        self.shown: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ELEMENTS:
            self.problems.append(f"<{tag}> in the HTML")
        if tag == "img":
            given = dict(attrs)
            if not (given.get("src") or "").startswith("cid:") or not (given.get("alt") or "").strip():
                self.problems.append(f"a picture from {given.get('src')!r} with the words {given.get('alt')!r}")
            self.shown.append((given.get("src") or "").removeprefix("cid:"))
        for name, value in attrs:
            if name.startswith("on") or (name == "src" and tag != "img"):
                self.problems.append(f"<{tag} {name}=…> in the HTML")
            if name == "href" and not re.match(r"https?://", value or ""):
                self.problems.append(f"a link to {(value or '')[:100]!r}")
            if "url(" in (value or "").lower():
                self.problems.append(f"<{tag} {name}=…> fetches something")
        if tag not in ("meta", "br", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def close(self) -> None:
        super().close()
        if self.open:
            self.problems.append(f"not closed: {self.open}")


def wire_problems(raw: bytes) -> list[str]:
    """The bytes: ASCII, CRLF, lines within RFC 5322's hard limit, header lines within the soft one where they can be."""
    found = []
    if any(byte > 126 or (byte < 32 and byte not in b"\t\r\n") for byte in raw):
        found.append("not all of it is printable ASCII")
    if re.search(rb"(?<!\r)\n|\r(?!\n)", raw):
        found.append("a bare CR or LF")
    lines = raw.split(b"\r\n")
    if (longest := max(map(len, lines))) > 998:
        found.append(f"a line of {longest} octets")
    head = raw.split(b"\r\n\r\n", 1)[0].decode("ascii", "replace")
    for word in ENCODED_WORD.findall(head):
        if len(word) > 75:
            found.append(f"an encoded word of {len(word)} characters: {word[:90]}")
    for line in head.split("\r\n"):
        if len(line) > 78 and " " in line.strip().split(": ", 1)[-1]:
            found.append(f"a header line of {len(line)} characters that could be folded: {line[:90]}")
    return found
