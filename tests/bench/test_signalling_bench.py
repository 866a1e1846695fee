"""Messages through connections that break and a server that is killed: the bench of signalling, small."""

from __future__ import annotations

import pytest

from bench.signalling import faults
from bench.signalling.faults import Loss
from bench.signalling.rooms import Plan, run


async def test_no_message_is_lost_doubled_or_out_of_order_through_faults_and_a_killed_server() -> None:
    result = await run(Plan(rooms=2, talkers=3, messages=12, per_second=10.0, mean_life=0.7, kills=1, seed=7))
    assert result.complete, result
    assert result.reconnects > 0
    assert result.restarts > 0


async def test_a_connection_that_loses_half_of_its_packets_still_brings_every_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RTO_SECONDS", "SYN_SECONDS"):  # all is five times as near, and as quick
        monkeypatch.setattr(faults, name, getattr(faults, name) / 5)
    result = await run(Plan(rooms=1, talkers=2, messages=4, per_second=10.0, loss=0.5, rtt=0.04, seed=3))
    assert result.complete, result


def test_a_lossy_transfer_takes_its_retransmissions_or_breaks() -> None:
    import random  # noqa: PLC0415

    perfect = Loss(0.0, 0.2, random.Random(1))
    assert (perfect.handshake(), perfect.transfer()) == (0.2, 0.1)
    hopeless = Loss(1.0, 0.2, random.Random(1))
    assert hopeless.transfer() is None
