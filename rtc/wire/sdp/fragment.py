"""SDP fragments for trickle ICE and ICE restarts (RFC 8840 section 9, as RFC 9725 section 4.3 uses them)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rtc.wire.sdp.answer import Candidate
from rtc.wire.sdp.lines import SdpError, read_sections
from rtc.wire.sdp.offer import PWD, UFRAG

_WHAT = "the SDP fragment"
_CANDIDATE = re.compile(  # RFC 8839 section 5.1; the address may be a name that only the client can resolve
    r"[0-9A-Za-z+/]{1,32} \d{1,3} [0-9A-Za-z-]+ \d{1,10} [^ ]+ \d{1,5} typ [0-9a-z-]+(?: .*)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a client tells about its ICE agent: the credentials are "" where it names none."""

    ufrag: str = ""
    pwd: str = ""
    candidates: tuple[str, ...] = ()
    end_of_candidates: bool = False


def parse_fragment(text: str) -> Fragment:
    """Read a fragment; credentials count at session level and at media level.

    Raises SdpError, with one sentence for the client, for one that is malformed, says nothing about ICE, or
    has credentials of two ICE sessions.
    """
    sections = read_sections(text, what=_WHAT, begins="")
    credentials = {
        (section.first("ice-ufrag") or "", section.first("ice-pwd") or "")
        for section in sections
        if section.has("ice-ufrag") or section.has("ice-pwd")
    }
    if len(credentials) > 1:
        raise SdpError(f"{_WHAT} has credentials of more than one ICE session")
    ufrag, pwd = credentials.pop() if credentials else ("", "")
    if (ufrag or pwd) and not (UFRAG.fullmatch(ufrag) and PWD.fullmatch(pwd)):
        raise SdpError(f"{_WHAT} has no valid pair of ice-ufrag and ice-pwd")
    candidates = tuple(value for section in sections for value in section.all("candidate"))
    if not all(map(_CANDIDATE.fullmatch, candidates)):
        raise SdpError(f"{_WHAT} has a malformed candidate")
    end = any(section.has("end-of-candidates") for section in sections)
    if not (ufrag or candidates or end):
        raise SdpError(f"{_WHAT} has neither credentials nor candidates")
    return Fragment(ufrag, pwd, candidates, end)


def write_fragment(ufrag: str, pwd: str, candidates: tuple[Candidate, ...], *, kind: str, mid: str) -> str:
    """The reply to an ICE restart, with CRLF line ends; `kind` and `mid` are of the m-line that opens the bundle."""
    lines = [
        "a=ice-lite",
        "a=ice-options:trickle",
        f"m={kind} 9 UDP/TLS/RTP/SAVPF 0",
        f"a=mid:{mid}",
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{pwd}",
        *(f"a=candidate:{candidate.serialize()}" for candidate in candidates),
        "a=end-of-candidates",
    ]
    return "\r\n".join(lines) + "\r\n"
