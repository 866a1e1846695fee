"""For whoever runs the server: /healthz, /readyz and /metrics."""

from __future__ import annotations

import hmac
from collections import Counter as Tally
from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import Metric

from rtc import sfu
from rtc.sfu.latency import BOUNDS
from signaling.keys import DIRECTORY, METRICS, NODE, SETTINGS
from signaling.metrics import counter, gauge, histogram
from signaling.rooms import Directory

KINDS = ("audio", "video")
MEMBER_KINDS = ("web", "python", "whip", "whep")
STATES = ("new", "connecting", "connected", "disconnected", "failed", "closed")


def setup(app: web.Application) -> None:
    """Add the routes."""
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)


async def healthz(request: web.Request) -> web.Response:
    """The process is up and its event loop turns."""
    return web.json_response({"status": "ok", "eventLoopLagSeconds": round(request.app[METRICS].last_lag, 4)})


async def readyz(request: web.Request) -> web.Response:
    """503 while the server takes nobody in: it drains, or is full."""
    refusal = request.app[DIRECTORY].refusal()
    if refusal:
        return web.json_response({"ready": False, "reason": refusal}, status=503)
    return web.json_response({"ready": True})


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text format; open only where the whole server is, or to the bearer of `metrics_token`."""
    settings = request.app[SETTINGS]
    token = settings.metrics_token.get_secret_value()
    if token:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        if not hmac.compare_digest(given, token.encode()):
            raise web.HTTPUnauthorized(
                headers={"WWW-Authenticate": 'Bearer realm="metrics"'}, text="This needs the metrics token."
            )
    elif not settings.open:
        raise web.HTTPForbidden(text="Set CLARION_METRICS_TOKEN to read the metrics of this server.")
    return web.Response(body=request.app[METRICS].text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def collect(app: web.Application) -> Iterator[Metric]:
    """What is counted when it is asked for: rooms, participants, media."""
    directory: Directory = app[DIRECTORY]
    members = [member for room in directory.rooms.values() for member in room.members.values()]
    kinds = Tally(dict.fromkeys(MEMBER_KINDS, 0))
    kinds.update(member.kind for member in members)
    states = Tally(dict.fromkeys(STATES, 0))
    states.update(member.transport for member in members)
    tracks = Tally(dict.fromkeys(KINDS, 0))
    tracks.update(publication.kind for member in members for publication in member.publications.values())
    yield gauge("rooms", "Rooms.", Tally({"": len(directory.rooms)}))
    yield gauge("participants", "Participants and viewers.", kinds, "kind")
    yield gauge("peer_connections", "Media transports.", states, "state")
    yield gauge("tracks", "Published tracks.", tracks, "kind")
    yield from media(app[NODE].statistics())


def media(statistics: sfu.NodeStatistics) -> Iterator[Metric]:
    """The counts of the media node; `in` is what participants send."""
    counts, feedback = statistics.media, statistics.media.feedback
    labels = ("direction", "kind")
    yield counter(
        "rtp_packets_total", "RTP packets.", labels, both_ways(counts.packets_in, counts.packets_out)
    )
    yield counter(
        "rtp_bytes_total", "Bytes of RTP payload.", labels, both_ways(counts.bytes_in, counts.bytes_out)
    )
    yield counter(
        "rtp_lost_packets_total", "Packets of participants that nothing brought back.", ("kind",),
        [((kind,), counts.lost[kind]) for kind in KINDS],
    )
    for name, received, sent in (
        ("nack", feedback.nacks_in, feedback.nacks_out),
        ("pli", feedback.plis_in, feedback.plis_out),
    ):
        directions: list[tuple[tuple[str, ...], float]] = [(("in",), received), (("out",), sent)]
        yield counter(f"{name}_total", f"RTCP {name.upper()} messages.", ("direction",), directions)
    yield counter("fir_total", "RTCP FIR messages.", ("direction",), [(("in",), feedback.firs_in)])
    yield counter("rtp_resent_packets_total", "Packets sent again on request.", (), [((), feedback.resent)])
    yield histogram(
        "forward_latency_seconds", "From the arrival of a datagram to its way out, by the oldest of each batch.",
        BOUNDS, statistics.forwarding.counts, statistics.forwarding.seconds,
    )
    yield gauge(
        "event_loop_stall_seconds", "Longest time that the event loop was late, over the last minute or two.",
        Tally({"": statistics.longest_stall}),
    )
    yield counter(
        "dropped_total", "Datagrams and packets dropped, by reason.", ("reason",),
        [((reason,), count) for reason, count in sorted(statistics.drops.items())],
    )


def both_ways(received: Tally[str], sent: Tally[str]) -> list[tuple[tuple[str, ...], float]]:
    """Values for the labels direction and kind."""
    return [
        ((direction, kind), tally[kind])
        for direction, tally in (("in", received), ("out", sent))
        for kind in KINDS
    ]
