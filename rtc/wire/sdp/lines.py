"""The lines of a session description, grouped by section (RFC 8866 section 5)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rtc.wire.errors import WireError

MAX_OFFER_BYTES = 256 * 1024  # 50 of the longest m-lines that Chromium writes (5 kB, recvonly video)
MAX_MEDIA_SECTIONS = 64  # m-lines: a page asks for about a dozen
MAX_SECTION_LINES = 512  # Chromium's video section has 120; bounds codecs, SSRCs, extensions and rids at once

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")  # other readers end a line there
_LINE = re.compile("[a-z]=")


class SdpError(WireError):
    """An offer that cannot be answered; the message is one sentence meant for the client."""


@dataclass(slots=True)
class Section:
    """The attributes of the session (`media` is "") or of one m-line (`media` is the text after `m=`)."""

    media: str
    attributes: dict[str, list[str]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether the attribute is there, with or without a value."""
        return name in self.attributes

    def all(self, name: str) -> list[str]:
        """The values of every `a=name:value` line, in order."""
        return self.attributes.get(name, [])

    def first(self, name: str) -> str | None:
        """The value of the first `a=name:value` line, "" for a line without value, None for no line."""
        values = self.attributes.get(name)
        return values[0] if values else None


def read_sections(text: str, *, what: str = "the offer", begins: str = "v=0") -> list[Section]:
    """Split a description into the session section and one section for each m-line.

    Lines end in CRLF or LF; blank ones are passed over. Raises SdpError, which calls the text `what`, for one
    that is too long, holds control characters or lone surrogates, does not start with the line `begins` (""
    for any), or has a line that is not `<letter>=<value>`.
    """
    try:
        size = len(text) if len(text) > MAX_OFFER_BYTES else len(text.encode())
    except UnicodeEncodeError:
        raise SdpError(f"{what} is not valid UTF-8") from None
    if size > MAX_OFFER_BYTES:
        raise SdpError(f"{what} is longer than {MAX_OFFER_BYTES} bytes")
    text = text.replace("\r\n", "\n")
    if _CONTROL.search(text):
        raise SdpError(f"{what} holds control characters")
    if begins and text.split("\n", 1)[0] != begins:
        raise SdpError(f"{what} does not start with {begins}")
    sections = [Section("")]
    count = 0
    for index, line in enumerate(text.split("\n"), start=1):
        if not line:
            continue
        if not _LINE.match(line):
            raise SdpError(f"line {index} of {what} is not of the form <letter>=<value>")
        count += 1
        if line.startswith("m="):
            if len(sections) > MAX_MEDIA_SECTIONS:
                raise SdpError(f"{what} has more than {MAX_MEDIA_SECTIONS} media sections")
            sections.append(Section(line[2:]))
            count = 0
        elif count > MAX_SECTION_LINES:
            raise SdpError(f"a section of {what} has more than {MAX_SECTION_LINES} lines")
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            sections[-1].attributes.setdefault(name, []).append(value.strip())
    return sections


def number(text: str, high: int, what: str) -> int:
    """Read a decimal number from 0 to `high`; `what` names it in the SdpError raised for anything else."""
    if text.isascii() and text.isdigit() and len(text) <= len(str(high)) and int(text) <= high:
        return int(text)
    raise SdpError(f"{what} is not a number from 0 to {high}")
