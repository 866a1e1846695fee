"""RFC 9725 and the WHEP draft as a table: one request and one thing it must give back for each row."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import aiohttp
import pytest
from broadcasting import FRAGMENT, PWD, SDP, SECRET, UFRAG, Service, fragment, media_section, offer, serving

from signaling.tokens import Grants, issue

WHIP, WHEP = "/whip/hall", "/whep/hall"
WATCH = offer(media_section("audio", "0", "recvonly"), media_section("video", "1", "recvonly"))
CANDIDATE = "1 1 udp 2130706431 192.0.2.7 40000 typ host generation 0 ufrag abcd"
NEW = fragment("efgh", "new-password-of-22-characters")
TURN = (
    '[{"urls": ["turn:turn.example.org?transport=udp", "turns:turn.example.org"],'
    ' "username": "ann", "credential": "a\\"b"}, {"urls": ["stun:stun.example.org"]}]'
)
ORIGIN = {"Origin": "https://player.example.org"}
PREFLIGHT = ORIGIN | {"Access-Control-Request-Method": "POST"}


@dataclass(frozen=True)
class Row:
    """A request, and what one of status, a header (`name: pattern`) or the body (pattern) must be."""

    rule: str
    method: str
    target: str
    """A path; `session` is the address of a session that was made before."""
    expect: int | str
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    of: Literal["whip", "whep"] = "whip"
    settings: Mapping[str, object] = field(default_factory=dict)
    absent: bool = False
    room: str = "hall"
    """That of the token."""


def post(rule: str, body: str, expect: int | str, target: str = WHIP, **fields: object) -> Row:
    return replace(Row(rule, "POST", target, expect, body, SDP), **fields)  # type: ignore[arg-type]  # its own fields


def patch(rule: str, body: str, expect: int | str, if_match: str | None, **fields: object) -> Row:
    headers = FRAGMENT if if_match is None else FRAGMENT | {"If-Match": if_match}
    return replace(Row(rule, "PATCH", "session", expect, body, headers), **fields)  # type: ignore[arg-type]  # its own


AUDIO, VIDEO = media_section("audio", "0", "sendonly"), media_section("video", "1", "sendonly")
DATA = (
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sctp-port:5000\r\n"
)
LENIENT = {"whip_lenient_patch": True}
ROWS = [
    post("1 an offer is answered", offer(), 201),
    post("1 a charset parameter does no harm", offer(), 201,
         headers={"Content-Type": "application/sdp; charset=utf-8"}),
    Row("1 another type", "POST", WHIP, 415, offer(), {"Content-Type": "text/plain"}),
    Row("1 what type it must be", "POST", WHIP, r"Accept-Post: application/sdp", offer(),
        {"Content-Type": "text/plain"}),
    Row("1 no type", "POST", WHIP, 415, offer(), {"Content-Type": ""}),
    post("1 no SDP", "hello", 422),
    post("1 no body", "", 422),
    post("1 no SDP for a viewer", "hello", 422, WHEP),
    post("2 type of the answer", offer(), r"Content-Type: application/sdp"),
    post("2 address of the session", offer(), r"Location: /whip/hall/[\w-]{32}"),
    post("2 address of a viewer's session", WATCH, r"Location: /whep/hall/[\w-]{32}", WHEP),
    post("2 an endpoint with a name of another script", offer(), r"Location: /whip/%C3%A9t%C3%A9/[\w-]{32}",
         "/whip/été", room="été"),
    post("3 answers receive only", offer(), r"a=recvonly(?s:.*)a=recvonly"),
    post("3 and nothing else", offer(), r"a=(sendonly|sendrecv|inactive)", absent=True),
    post("3 a sendrecv offer is narrowed", offer(media_section("audio", "0", "sendrecv")), r"a=recvonly"),
    post("3 viewers' answers send only", WATCH, r"a=sendonly(?s:.*)a=sendonly", WHEP),
    post("3 and nothing else", WATCH, r"a=(recvonly|sendrecv|inactive)", WHEP, absent=True),
    post("3 a viewer's sendrecv offer is narrowed", offer(media_section("audio", "0", "sendrecv")),
         "a=sendonly", WHEP),
    post("3 a publisher that only receives", WATCH, 422),
    post("3 a viewer that only sends", offer(), 422, WHEP),
    post("3 an inactive section", offer(media_section("audio", "0", "inactive")), 422),
    post("4 all candidates are in the answer", offer(), r"a=candidate:\S+ 1 udp \d+ 127.0.0.1 \d+ typ host"),
    post("4 and that is said", offer(), r"a=end-of-candidates"),
    post("5 bundle", offer(), r"a=group:BUNDLE 0 1\r\n"),
    post("5 multiplexed", offer(),
         r"(?s)a=rtcp-mux\r\na=rtcp-mux-only\r\n.*a=rtcp-mux\r\na=rtcp-mux-only\r\n"),
    post("6 two audio sections", offer(AUDIO, AUDIO.replace("mid:0", "mid:1")), 422),
    post("6 two video sections", offer(AUDIO, VIDEO, VIDEO.replace("mid:1", "mid:2")), 422),
    post("6 data channel", offer(AUDIO, VIDEO, DATA), 422),
    post("6 one stream for sound and picture", WATCH, r"(?s)a=msid:(\S+) \S+\r.*m=video.*a=msid:\1 ", WHEP),
    post("7 a codec that nobody has",
         offer(AUDIO, media_section("video", "1", "sendonly", codec="96 H263/90000")), 422),
    post("8 the client is the DTLS client", offer(setup="active"), r"a=setup:passive"),
    post("8 the client lets us choose", offer(), r"a=setup:active"),
    Row("9 GET of an endpoint", "GET", WHIP, 204),
    Row("9 GET of a viewer's endpoint", "GET", WHEP, 204),
    Row("9 GET of a session", "GET", "session", 204),
    Row("9 GET of a session that is not", "GET", "/whip/hall/nothing", 404),
    Row("9 a room that cannot be", "GET", "/whip/a%20b", 404),
    Row("10 HEAD of a viewer's endpoint", "HEAD", WHEP, 200),
    Row("10 says what it takes", "HEAD", WHEP, r"Content-Type: application/sdp"),
    Row("10 HEAD of a publisher's endpoint", "HEAD", WHIP, 204),
    Row("11 OPTIONS of an endpoint", "OPTIONS", WHIP, 200),
    Row("11 says what it takes", "OPTIONS", WHEP, r"Accept-Post: application/sdp"),
    Row("11 preflight", "OPTIONS", "session", r"Access-Control-Allow-Methods: .*\bPATCH\b.*\bDELETE\b.*",
        "", PREFLIGHT),
    Row("11 headers", "OPTIONS", WHIP,
        r"Access-Control-Allow-Headers: Authorization, Content-Type, If-Match.*", "", PREFLIGHT),
    post("11 readable", offer(), r"Access-Control-Expose-Headers: Location, Link, ETag, Accept-Patch.*",
         headers=SDP | ORIGIN),
    post("11 any page may use it where tokens are needed", "x",
         r"Access-Control-Allow-Origin: https://player.example.org",
         headers=SDP | ORIGIN),
    post("11 errors can be read as well", "x", r"Access-Control-Expose-Headers: .*ETag.*",
         headers=SDP | ORIGIN),
    Row("12 DELETE", "DELETE", "session", 200),
    Row("12 an entity tag is ignored", "DELETE", "session", 200, "", {"If-Match": '"other"'}),
    Row("12 DELETE of nothing", "DELETE", "/whip/hall/nothing", 404),
    Row("12 a viewer's session is none of publishing", "DELETE", "/whip/hall/{id}", 404, of="whep"),
    Row("12 a session belongs to its room", "DELETE", "/whip/other/{id}", 403),
    Row("14 another type", "PATCH", "session", 415, fragment(), {"Content-Type": "application/json"}),
    Row("14 what type it must be", "PATCH", "session", r"Accept-Patch: application/trickle-ice-sdpfrag", "{}",
        {"Content-Type": "application/json"}),
    Row("14 we never offer, so take no answer", "PATCH", "session", 415, "v=0", SDP, "whep"),
    patch("14 garbage", "hello", 400, "{etag}"),
    patch("14 nothing", "", 400, "{etag}"),
    patch("14 half of the credentials", "a=ice-ufrag:abcd\r\n", 400, "{etag}"),
    patch("14 bad candidate", fragment(UFRAG, PWD, "over there"), 400, "{etag}"),
    patch("14 no such session", fragment(), 404, "{etag}", target="/whip/hall/nothing"),
    post("16 strong entity tag", offer(), r'ETag: "[\w-]+"'),
    post("16 a viewer's too", WATCH, r'ETag: "[\w-]+"', WHEP),
    patch("17 no If-Match", fragment(), 428, None),
    patch("17 no If-Match, new credentials", NEW, 428, None, settings=LENIENT),
    patch("17 lenient", fragment(), 204, None, settings=LENIENT),
    patch("17 stale", fragment(), 412, '"stale"'),
    patch("17 weak", fragment(), 412, "W/{etag}"),
    patch("17 stale and lenient", fragment(), 412, '"stale"', settings=LENIENT),
    patch("18 candidates", fragment(UFRAG, PWD, CANDIDATE), 204, "{etag}"),
    patch("18 candidates of a viewer", fragment(UFRAG, PWD, CANDIDATE), 204, "{etag}", of="whep"),
    patch("18 one of several entity tags", fragment(), 204, '"stale", {etag}'),
    patch("18 a name that only the client knows",
          fragment(UFRAG, PWD, CANDIDATE.replace("192.0.2.7", "x.local")), 204, "{etag}"),
    patch("18 TCP", fragment(UFRAG, PWD, "1 1 tcp 1 192.0.2.7 9 typ host tcptype active"), 204, "{etag}"),
    patch("18 credentials at session level",
          f"a=ice-ufrag:{UFRAG}\r\na=ice-pwd:{PWD}\r\na=end-of-candidates\r\n", 204, "{etag}"),
    patch("18 no entity tag", fragment(), r"ETag: .*", "{etag}", absent=True),
    patch("18 candidates for anybody", fragment(), 204, "*"),
    patch("19 restart", NEW, 200, "*"),
    patch("19 the spec's own example", NEW, 200, '"*"'),
    patch("19 restart of a viewer", NEW, 200, "*", of="whep"),
    patch("19 type", NEW, "Content-Type: application/trickle-ice-sdpfrag", "*"),
    patch("19 entity tag", NEW, r'ETag: "[\w-]+"', "*"),
    patch("19 the old entity tag is gone", NEW, r"ETag: {etag}", "*", absent=True),
    patch("19 credentials", NEW, r"(?s)a=mid:0\r\na=ice-ufrag:\S{8}\r\na=ice-pwd:\S{24}\r\n", "*"),
    patch("19 one candidate", NEW,
          r"a=candidate:\S+ 1 udp \d+ 127.0.0.1 \d+ typ host\r\na=end-of-candidates\r\n$", "*"),
    patch("19 the options of the answer", NEW, r"^a=ice-lite\r\na=ice-options:trickle\r\n", "*"),
    patch("19 restart without saying so", NEW, 422, "{etag}"),
    patch("20 a restart that cannot be", fragment("e", "f"), 400, "*"),
    post("21 no place for another room", offer(), 503, "/whip/other", room="other",
         settings={"max_rooms": 1}),
    post("21 when to come again", offer(), r"Retry-After: \d+", settings={"max_participants": 1}, of="whep"),
    post("21 a full room", offer(), 503, settings={"max_participants_per_room": 1}, of="whep"),
    post("22 TURN", offer(),
         r'Link: <turn:turn.example.org\?transport=udp>; rel="ice-server"; username="ann"; '
         r'credential="a\\"b"; credential-type="password"', settings={"ice_servers": TURN}),
    post("22 one link for each", offer(), r"Link: <turns:turn.example.org>; rel=.ice-server.; username.*",
         settings={"ice_servers": TURN}),
    post("22 STUN", WATCH, r'Link: <stun:stun.example.org>; rel="ice-server"', WHEP,
         settings={"ice_servers": TURN}),
    Row("22 OPTIONS", "OPTIONS", WHIP, r"Link: <turn:.*", settings={"ice_servers": TURN}),
    Row("22 but not on a preflight", "OPTIONS", WHIP, r"Link: .*", "", PREFLIGHT,
        settings={"ice_servers": TURN}, absent=True),
    Row("22 nor to strangers", "OPTIONS", WHIP, r"Link: .*", "", {"Authorization": ""},
        settings={"ice_servers": TURN},
        absent=True),
    Row("23 preflight without a token", "OPTIONS", WHIP, 200, "", PREFLIGHT | {"Authorization": ""}),
    post("23 no token", offer(), 401, headers=SDP | {"Authorization": ""}),
    post("23 how to bring one", offer(), "WWW-Authenticate: Bearer .*", headers=SDP | {"Authorization": ""}),
    post("23 a forged one", offer(), 401, headers=SDP | {"Authorization": "Bearer x.y.z"}),
    post("23 a byte that no token has", offer(), 401, headers=SDP | {"Authorization": "Bearer \xff"}),
    post("23 not a bearer", offer(), 401, headers=SDP | {"Authorization": "Basic eDp5"}),
    post("23 the scheme in any case", offer(), 201, headers=SDP | {"Authorization": "bearer {token}"}),
    post("23 another room", offer(), 403, "/whip/other"),
    Row("23 GET of an endpoint", "GET", WHIP, 401, "", {"Authorization": ""}),
    Row("23 session without a token", "DELETE", "session", 401, "", {"Authorization": ""}),
    patch("23 restart without a token", NEW, 401, "*",
          headers=FRAGMENT | {"If-Match": "*", "Authorization": ""}),
    Row("23 nobody learns which sessions there are", "GET", "/whip/hall/nothing", 401, "",
        {"Authorization": ""}),
    post("27 errors are explained", "hello", r"Content-Type: application/problem\+json; charset=utf-8"),
    post("27 in a sentence", "hello",
         '"title": "Unprocessable Entity", "status": 422, "detail": "the offer does not start'),
    Row("27 a method that is not there", "PUT", WHIP, 405),
    Row("27 nor at a session", "POST", "session", 405, offer(), SDP),
    post("27 a name that cannot be", offer(), 400, "/whip/hall?name=%00"),
]  # fmt: skip


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session:
        yield session


def token(room: str = "hall", **grants: bool) -> str:
    return issue(SECRET, Grants(room=room, **grants), ttl=60)  # type: ignore[arg-type]  # only those of a bool


async def make_session(service: Service, http: aiohttp.ClientSession, kind: str) -> dict[str, str]:
    """What a row may name: path, id and entity tag of a session that is there, and a token."""
    bearer = token()
    async with http.post(
        f"{service.url}/{kind}/hall", data=offer() if kind == "whip" else WATCH,
        headers=SDP | {"Authorization": f"Bearer {bearer}"},
    ) as response:  # fmt: skip
        assert response.status == 201, await response.text()
        path = response.headers["Location"]
        return {
            "session": path, "id": path.rpartition("/")[2], "etag": response.headers["ETag"], "token": bearer,
        }


def filled(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.rule)
async def test_checklist(row: Row, http: aiohttp.ClientSession) -> None:
    async with serving(secret=SECRET, **row.settings) as service:
        names = await make_session(service, http, row.of)
        target = names["session"] if row.target == "session" else filled(row.target, names)
        headers = {"Authorization": f"Bearer {token(row.room)}", **row.headers}
        headers = {name: filled(value, names) for name, value in headers.items() if value}
        async with http.request(
            row.method, service.url + target, data=row.body.encode(), headers=headers
        ) as response:
            body = await response.text()
            if isinstance(row.expect, int):
                assert response.status == row.expect, body
                return
            lines = [f"{name}: {value}" for name, value in response.headers.items()]
            pattern = re.compile(filled(row.expect, names), re.IGNORECASE)
            found = any(map(pattern.fullmatch, lines)) or pattern.search(body)
            assert bool(found) is not row.absent, (response.status, lines, body)


async def test_a_session_lives_on_after_a_failed_restart_and_dies_once(http: aiohttp.ClientSession) -> None:
    async with serving() as service:
        names = await make_session(service, http, "whip")
        url = service.url + names["session"]

        async def status(method: str, body: str = "", if_match: str = "*") -> int:
            headers = FRAGMENT | {"If-Match": if_match} if body else {}
            async with http.request(method, url, data=body, headers=headers) as response:
                return response.status

        assert await status("PATCH", fragment("e", "f")) == 400
        assert await status("GET") == 204
        assert await status("PATCH", NEW) == 200
        assert await status("PATCH", fragment("efgh", "new-password-of-22-characters"), names["etag"]) == 412
        assert await status("DELETE") == 200
        assert await status("DELETE") == 404
        assert await status("GET") == 404


async def test_a_restart_asked_for_twice_gives_the_same(http: aiohttp.ClientSession) -> None:
    """A client that lost the reply asks again, and must not be left with credentials that nobody has."""
    async with serving() as service:
        url = service.url + (await make_session(service, http, "whep"))["session"]
        replies = []
        for _ in range(2):
            async with http.patch(url, data=NEW, headers=FRAGMENT | {"If-Match": "*"}) as response:
                replies.append((response.status, response.headers["ETag"], await response.text()))
        assert replies[0][0] == 200
        assert replies[0] == replies[1]


@pytest.mark.parametrize(
    ("kind", "grants", "status"),
    [
        ("whip", {"can_publish": False}, 403), ("whip", {"can_subscribe": False}, 201),
        ("whip", {"hidden": True}, 403), ("whep", {"can_subscribe": False}, 403),
        ("whep", {"can_publish": False}, 201), ("whep", {"hidden": True}, 201),
    ],
)  # fmt: skip
async def test_what_a_token_allows(
    http: aiohttp.ClientSession, kind: str, grants: dict[str, bool], status: int
) -> None:
    async with serving(secret=SECRET) as service:
        headers = SDP | {"Authorization": f"Bearer {token(**grants)}"}
        body = offer() if kind == "whip" else WATCH
        async with http.post(f"{service.url}/{kind}/hall", data=body, headers=headers) as response:
            assert response.status == status, await response.text()


async def test_the_token_of_a_session_stays_good_for_it(http: aiohttp.ClientSession) -> None:
    """A broadcast may last longer than its token, and must still be able to end."""
    async with serving(secret=SECRET) as service:
        names = await make_session(service, http, "whip")
        session = service.broadcasts.find("whip", "hall", names["id"])
        assert session is not None
        session.token = issue(SECRET, Grants(room="hall"), ttl=-3600)
        headers = {"Authorization": f"Bearer {session.token}"}
        async with http.post(f"{service.url}{WHIP}", data=offer(), headers=SDP | headers) as response:
            assert response.status == 401
        async with http.delete(service.url + names["session"], headers=headers) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://evil.example.org", 403), ("null", 403), ("http://127.0.0.1:1", 403), ("http://friend.example", 204)],
)
async def test_an_open_server_serves_only_pages_it_knows(
    http: aiohttp.ClientSession, origin: str, status: int
) -> None:
    async with serving(allowed_origins="http://friend.example") as service:
        async with http.get(service.url + WHEP, headers={"Origin": origin}) as response:
            assert response.status == status
            assert response.headers.get("Access-Control-Allow-Origin") == (origin if status == 204 else None)
        async with http.get(service.url + WHEP, headers={"Origin": service.url}) as response:
            assert response.status == 204


async def test_the_name_of_a_publisher(http: aiohttp.ClientSession) -> None:
    async with serving() as service:
        for query in ("", "?name=Stage%20camera"):
            async with http.post(f"{service.url}{WHIP}{query}", data=offer(), headers=SDP) as response:
                assert response.status == 201
        assert service.members("hall") == {"Broadcast": "whip", "Stage camera": "whip"}
    async with serving(secret=SECRET) as service:
        bearer = issue(SECRET, Grants(room="hall", name="Of the token"), ttl=60)
        headers = SDP | {"Authorization": f"Bearer {bearer}"}
        async with http.post(f"{service.url}{WHIP}?name=Other", data=offer(), headers=headers) as response:
            assert response.status == 201
        assert service.members("hall") == {"Of the token": "whip"}
