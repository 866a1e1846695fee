"""What /metrics shows, in the words of Prometheus: base units, no label per room or person."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from itertools import accumulate

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

NAMESPACE = "clarion"
LAG_SAMPLE_SECONDS = 0.5
JOIN_BUCKETS = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
LAG_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5)
"""Seconds. A lag of 20 ms is one audio packet late for everybody."""
QUEUE_BUCKETS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)


class Metrics:
    """The counters of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.joins = self._counter("joins_total", "Attempts to join a room, by result.", "result")
        self.join_duration = self._histogram(
            "join_duration_seconds", "From entering the room to connected media.", JOIN_BUCKETS
        )
        self.leaves = self._counter("leaves_total", "Participants that left, by reason.", "reason")
        self.reconnects = self._counter("reconnects_total", "Lost connections, by result.", "result")
        self.messages_in: Tally[type[msgspec.Struct]] = Tally()
        """WebSocket messages that came, by type; plain numbers, for there are very many."""
        self.messages_out: Tally[type[msgspec.Struct]] = Tally()
        """The same of those for clients."""
        self.add(self._ws_messages)
        self.ws_queue = self._histogram(
            "ws_send_queue_depth", "Events waiting for a WebSocket when it is written.", QUEUE_BUCKETS
        )
        self.rate_limited = self._counter("rate_limited_total", "Refused for coming too fast.", "rule")
        self.webhook_deliveries = self._counter(
            "webhook_deliveries_total", "Attempts to deliver a webhook, by result.", "result"
        )
        self.loop_lag = self._histogram("event_loop_lag_seconds", "How late timers run.", LAG_BUCKETS)
        self.draining = Gauge(
            "draining", "1 while the server is about to stop.", namespace=NAMESPACE, registry=self.registry
        )
        build = Gauge("build_info", "The program.", ["version"], namespace=NAMESPACE, registry=self.registry)
        build.labels(version("clarion")).set(1)
        self.last_lag = 0.0
        """The last sample of the loop's lag, seconds."""
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def add(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Ask `collect` for more at every scrape."""
        self.registry.register(_Scraped(collect))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    @asynccontextmanager
    async def sampling(self) -> AsyncIterator[None]:
        """Sample the event loop's lag while the context is open."""
        task = asyncio.create_task(self._sample(), name="event loop lag")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_SAMPLE_SECONDS
            await asyncio.sleep(LAG_SAMPLE_SECONDS)
            self.last_lag = max(0.0, loop.time() - due)
            self.loop_lag.observe(self.last_lag)

    def _ws_messages(self) -> Iterable[Metric]:
        directions = ("in", self.messages_in), ("out", self.messages_out)
        values = [
            ((str(kind.__struct_config__.tag), way), float(count))
            for way, counts in directions for kind, count in counts.items()
        ]
        yield counter("ws_messages", "WebSocket messages.", ("type", "direction"), values)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, namespace=NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, documentation, namespace=NAMESPACE, buckets=buckets, registry=self.registry)


class _Scraped(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def gauge(name: str, documentation: str, values: Tally[str], label: str = "") -> GaugeMetricFamily:
    """A gauge with one label, or without labels the one value under "", for a collect function."""
    family = GaugeMetricFamily(f"{NAMESPACE}_{name}", documentation, labels=[label] if label else [])
    for value, count in sorted(values.items()):
        family.add_metric([value] if label else [], count)
    return family


def histogram(
    name: str, documentation: str, bounds: Sequence[float], counts: Sequence[int], total: float
) -> HistogramMetricFamily:
    """A histogram, for a collect function: how many in each class, and the sum of all values."""
    family = HistogramMetricFamily(f"{NAMESPACE}_{name}", documentation)
    edges = [*map(str, bounds), "+Inf"]
    family.add_metric([], list(zip(edges, accumulate(counts), strict=True)), total)
    return family


def counter(
    name: str, documentation: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> CounterMetricFamily:
    """A counter with labels, for a collect function."""
    family = CounterMetricFamily(f"{NAMESPACE}_{name}", documentation, labels=labels)
    for key, value in values:
        family.add_metric(list(key), value)
    return family
