from __future__ import annotations

import pytest

from rtc.wire.errors import WireError
from rtc.wire.protection import ProtectionRequest
from rtc.wire.rtcp import Application, parse_compound, serialize


def test_a_request_survives_the_wire() -> None:
    request = ProtectionRequest(media_ssrc=0xCAFE, depth=17, copies=3)
    (packet,) = parse_compound(serialize([request.to_rtcp(7)]))
    assert isinstance(packet, Application)
    assert packet.ssrc == 7
    assert ProtectionRequest.from_rtcp(packet) == request


@pytest.mark.parametrize(
    "packet",
    [
        Application(7, "CLRN", bytes((0, 0, 0, 1, 3, 1, 0, 0)), 2),
        Application(7, "QTSS", bytes((0, 0, 0, 1, 3, 1, 0, 0)), 1),
    ],
)
def test_other_applications_are_left_alone(packet: Application) -> None:
    assert ProtectionRequest.from_rtcp(packet) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes((0, 0, 0, 1)),
        bytes((0, 0, 0, 1, 33, 1, 0, 0)),
        bytes((0, 0, 0, 1, 3, 0, 0, 0)),
        bytes((0, 0, 0, 1, 3, 255, 0, 0)),
        bytes(12),
    ],
)
def test_a_request_for_the_impossible_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        ProtectionRequest.from_rtcp(Application(7, "CLRN", data, 1))
