"""The REST API: against its own OpenAPI document, and what each verb does to people in rooms."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from aiohttp import ClientResponse, web
from conftest import SECRET, Guest, Serve, Service
from fakes import FakeNode
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from signaling.api import OPERATIONS
from signaling.api.openapi import document
from signaling.app import create_app
from signaling.config import API_PREFIX, load
from signaling.tokens import Admin, Grants, issue, issue_admin

SCHEMA = schemathesis.openapi.from_dict(document(OPERATIONS, API_PREFIX))
ROOT = issue_admin(SECRET, Admin("root"), ttl=3600)


def bearer(token: str = ROOT) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token(identity: str, **grants: Any) -> str:
    return issue(SECRET, Grants(room="hall", identity=identity, name=identity.title(), **grants), ttl=60)


class Api:
    """The API of a service, for whoever has the token."""

    def __init__(self, service: Service, token: str = ROOT) -> None:
        self._service = service
        self._headers = bearer(token)

    async def __call__(self, method: str, path: str, body: Any = None) -> ClientResponse:
        return await self._service.client.request(method, API_PREFIX + path, json=body, headers=self._headers)

    async def get(self, path: str) -> Any:
        return await (await self("GET", path)).json(content_type=None)


@pytest.fixture
async def hall(serve: Serve) -> tuple[Service, Guest, Guest]:
    """A server with tokens, and a host and a speaker in the hall."""
    service = await serve(secret=SECRET)
    return service, await service.join(token=token("ann", room_admin=True)), await service.join(token=token("bob"))


# --- the document -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in a thread of its own, for a client that blocks."""
    folder = tmp_path_factory.mktemp("data")
    ready, addresses, loop = threading.Event(), list[str](), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        settings = load({"secret": SECRET, "data_dir": folder})
        runner = web.AppRunner(create_app(settings, start_node=FakeNode.start), access_log=None)  # type: ignore[arg-type]
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        addresses.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    yield addresses[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


CASES = [(operation, GenerationMode.POSITIVE) for operation in OPERATIONS] + [
    # Only a body can be wrong: a part of a path is any text, and of a query too long aiohttp itself says so.
    (operation, GenerationMode.NEGATIVE) for operation in OPERATIONS if operation.body
]


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=lambda value: getattr(value, "id", str(value)))
def test_whatever_comes_in_the_answer_is_as_the_document_says(
    address: str, operation: Any, mode: GenerationMode
) -> None:
    described = SCHEMA[API_PREFIX + operation.path][operation.method]

    @seed(5)
    @settings(max_examples=6, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=described.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        # Left out: that whatever fits the schema is taken. A room may not be there, and 1.0 is no integer here.
        case.call_and_validate(
            base_url=address, headers=bearer(), timeout=10, excluded_checks=[positive_data_acceptance]
        )

    check()


async def test_the_document_is_served_to_anybody_and_names_every_operation(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    answer = await service.client.get(f"{API_PREFIX}/openapi.json")
    described = json.loads(await answer.text())
    operations = {verb["operationId"] for path in described["paths"].values() for verb in path.values()}
    assert operations == {operation.id for operation in OPERATIONS}
    assert len(operations) == len(OPERATIONS)


# --- doors --------------------------------------------------------------------------------------------------

# Functions: a token signed when the tests are collected may be out of date when they run.
CREDENTIALS: dict[str, tuple[Callable[[], str], int]] = {
    "none": (lambda: "", 401),
    "rubbish": (lambda: "rubbish", 401),
    "forged": (lambda: issue_admin("x" * 32, Admin("root"), ttl=60), 401),
    "expired": (lambda: issue_admin(SECRET, Admin("root"), ttl=-120), 401),
    "of a guest": (lambda: token("bob"), 403),
    "of another room": (lambda: issue_admin(SECRET, Admin("cook", "kitchen"), ttl=60), 403),
}


@pytest.mark.parametrize(("credential", "status"), CREDENTIALS.values(), ids=CREDENTIALS)
async def test_who_may_not_learns_not_even_whether_a_room_is_there(
    hall: tuple[Service, Guest, Guest], credential: Callable[[], str], status: int
) -> None:
    api = Api(hall[0], credential())
    for operation in OPERATIONS:
        answers = []
        for room in ("hall", "attic"):
            path = operation.path.replace("{room}", room).replace("{participant}", "x")
            answer = await api(operation.method, path.replace("{identity}", "x").replace("{waiter}", "x"), {})
            assert answer.content_type == "application/problem+json"
            answers.append((answer.status, await answer.text()))
        assert answers[0] == answers[1]
        assert answers[0][0] == status, operation.id


async def test_an_administrator_of_a_room_governs_it_and_no_more(hall: tuple[Service, Guest, Guest]) -> None:
    api = Api(hall[0], token("ann", room_admin=True))
    assert (await api.get("/rooms/hall"))["participants"] == 2
    for path in ("/rooms", "/audit", "/node", "/persons/bob", "/reports", "/rooms/kitchen"):
        assert (await api("GET", path)).status == 403


async def test_an_open_server_answers_to_this_machine_under_its_own_name_only(serve: Serve) -> None:
    service = await serve()
    assert (await service.client.get(f"{API_PREFIX}/node")).status == 200
    for headers in ({"Host": "rebound.example"}, {"Origin": "https://evil.example"}):
        assert (await service.client.get(f"{API_PREFIX}/node", headers=headers)).status == 403


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400), (b"\xff\xfe", "application/json", 400),
        (b"[" * 60_000, "application/json", 422), (b'{"name":"' + b"x" * 70_000 + b'"}', "application/json", 413),
        (b"{}", "text/plain", 415), (b"{}", "application/json", 422), (b'{"name":"a/b"}', "application/json", 422),
        (b'{"name":"a","colour":"red"}', "application/json", 422),
    ],
    ids=["cut off", "no UTF-8", "deep", "huge", "another type", "nothing in it", "no name", "unknown field"],
)
async def test_what_is_no_body_is_a_sentence_and_not_a_traceback(
    serve: Serve, body: bytes, content_type: str, status: int
) -> None:
    service = await serve(secret=SECRET)
    headers = {**bearer(), "Content-Type": content_type}
    answer = await service.client.post(f"{API_PREFIX}/rooms", data=body, headers=headers)
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    assert "Traceback" not in await answer.text()


# --- verbs --------------------------------------------------------------------------------------------------


async def test_a_room_is_made_changed_and_ended(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    api = Api(service)
    made = await api("POST", "/rooms", {"name": "hall", "lobby": True, "maxParticipants": 3})
    assert (made.status, (await made.json())["kept"]) == (201, True)
    service.directory._close_room(service.directory.rooms["hall"])
    assert [(room["name"], room["participants"]) for room in (await api.get("/rooms"))["rooms"]] == [("hall", 0)]
    ann = await service.join(token=token("ann", room_admin=True))
    assert ann.joined["settings"]["lobby"] is True
    assert (await (await api("PATCH", "/rooms/hall", {"locked": True, "lobby": False})).json())["settings"]["locked"]
    assert (await ann.until("room-changed"))["settings"]["locked"] is True
    assert (await api("DELETE", "/rooms/hall")).status == 204
    assert (await ann.until("closed"))["reason"] == "ended"
    assert (await api("GET", "/rooms/hall")).status == 404


async def test_people_are_seen_changed_silenced_and_removed(hall: tuple[Service, Guest, Guest]) -> None:
    service, _ann, bob = hall
    api, me = Api(service), bob.joined["you"]["id"]
    people = {each["identity"]: each for each in (await api.get("/rooms/hall/participants"))["participants"]}
    assert {name: each["role"] for name, each in people.items()} == {"ann": "host", "bob": "speaker"}
    await bob.command("offer", sdp="audio:0")
    sound = (await bob.command("publish", mid="0", source="microphone"))["publication"]["id"]
    silenced = await api("POST", f"/rooms/hall/participants/{me}/silence", {"kind": "audio"})
    assert (await silenced.json())["publications"][0]["muted"] is True
    assert (await bob.command("mute", publication=sound, muted=False))["code"] == "not-permitted"
    assert (await api("POST", f"/rooms/hall/participants/{me}/ask-unmute", {"kind": "audio"})).status == 204
    assert (await bob.until("unmute-asked"))["kind"] == "audio"
    change = await api("PATCH", f"/rooms/hall/participants/{me}", {"canPublish": False, "canPublishData": False})
    assert (await change.json())["role"] == "listener"
    assert not service.node.rooms["hall"].publications
    sent = await bob.command("send", key="k", content={"kind": "text", "text": "hello"})
    assert sent["code"] == "not-permitted"
    assert (await api("DELETE", f"/rooms/hall/participants/{me}")).status == 204
    assert (await bob.until("closed"))["reason"] == "removed"
    assert (await api("GET", f"/rooms/hall/participants/{me}")).status == 404
    assert (await service.refusal(type="join", room="hall", name="", token=token("bob")))["code"] == "banned"


async def test_bans_of_people_who_are_not_there_yet_and_messages_to_those_who_are(
    hall: tuple[Service, Guest, Guest],
) -> None:
    service, ann, _bob = hall
    api = Api(service)
    banned = await api("POST", "/rooms/attic/bans", {"identity": "eve", "seconds": 60, "reason": "noise"})
    assert (banned.status, (await banned.json())["by"]) == (201, "root")
    eve = issue(SECRET, Grants(room="attic", identity="eve", name="Eve"), ttl=60)
    assert (await service.refusal(type="join", room="attic", name="", token=eve))["code"] == "banned"
    assert (await api("DELETE", "/rooms/attic/bans/eve")).status == 204
    assert (await api("DELETE", "/rooms/attic/bans/eve")).status == 404
    await service.join(room="attic", token=eve)
    sent = await (await api("POST", "/rooms/hall/messages", {"text": "We close at ten."})).json()
    message = (await ann.until("message"))["message"]
    assert (message["number"], message["content"]["text"]) == (sent["number"], "We close at ten.")


async def test_a_draining_server_takes_nobody_in_until_it_does_again(serve: Serve) -> None:
    service = await serve(secret=SECRET)
    api = Api(service)
    assert (await (await api("POST", "/node/drain", {})).json())["draining"] is True
    assert (await service.refusal(type="join", room="hall", name="", token=token("bob")))["code"] == "server-full"
    await api("POST", "/node/drain", {"draining": False})
    await service.join(token=token("bob"))


# --- records ------------------------------------------------------------------------------------------------


async def audit(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = await api("GET", f"/audit{query}")
    assert answer.content_type == "application/jsonl"
    return [json.loads(line) for line in (await answer.text()).splitlines()]


async def test_who_did_what_to_whom_is_written_down_in_order(hall: tuple[Service, Guest, Guest]) -> None:
    service, ann, bob = hall
    await ann.command("set-room", locked=True)
    await ann.command("ban", participant=bob.joined["you"]["id"], seconds=60)
    entries = await audit(Api(service))
    assert [(each["what"], each.get("who", ""), each.get("whom", "")) for each in entries] == [
        ("room_started", "", ""), ("participant_joined", "ann", ""), ("participant_joined", "bob", ""),
        ("room_changed", "ann", ""), ("banned", "ann", "bob"), ("participant_left", "bob", ""),
    ]
    numbers = [each["number"] for each in entries]
    assert numbers == sorted(set(numbers))
    assert len(await audit(Api(service), f"?identity=bob&after={numbers[3]}")) == 2


async def test_a_report_keeps_the_evidence(hall: tuple[Service, Guest, Guest]) -> None:
    service, ann, bob = hall
    await bob.command("send", key="1", content={"kind": "text", "text": "something nasty"})
    await bob.command("report", participant=ann.joined["you"]["id"], reason="she is rude")
    report = (await Api(service).get("/reports"))["reports"][0]
    assert (report["by"]["identity"], report["about"]["identity"], report["reason"]) == ("bob", "ann", "she is rude")
    assert {each["identity"] for each in report["present"]} == {"ann", "bob"}
    assert [each["content"]["text"] for each in report["messages"]] == ["something nasty"]
    assert "nasty" not in json.dumps(await audit(Api(service)))


async def test_a_person_is_exported_and_erased_and_leaves_a_pseudonym(hall: tuple[Service, Guest, Guest]) -> None:
    service, ann, bob = hall
    api = Api(service)
    await bob.command("send", key="1", content={"kind": "text", "text": "hello"})
    await ann.command("send", key="2", content={"kind": "text", "text": "stays"})
    records = await api.get("/persons/bob")
    assert [each["content"]["text"] for each in records["messages"]] == ["hello"]
    assert {each["what"] for each in records["audit"]} == {"participant_joined"}
    eve = await service.join(token=token("eve"))
    await eve.command("report", participant=ann.joined["you"]["id"], reason="rude")
    assert (await api("DELETE", "/persons/bob")).status == 409  # is in a room
    await bob.command("leave")
    erased = await (await api("DELETE", "/persons/bob")).json()
    assert (erased["messages"], erased["audit"]) == (1, 3)
    entries = json.dumps(await audit(api))
    assert "bob" not in entries.lower()
    assert "erased-" in entries
    again = await api.get("/persons/bob")
    assert (again["messages"], again["audit"], again["reports"]) == ([], [], [])
    assert len((await ann.command("history"))["messages"]) == 1
    evidence = (await api.get("/reports"))["reports"][0]
    assert {each["identity"] for each in evidence["present"]} == {"ann", "eve"}
    assert [each["content"]["text"] for each in evidence["messages"]] == ["stays"]
