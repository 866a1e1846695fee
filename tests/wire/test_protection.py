from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.wire.errors import WireError
from rtc.wire.protection import PathReport, ProtectionRequest, read_application
from rtc.wire.rtcp import Application, parse_compound, serialize


def over_the_wire(packet: Application) -> Application:
    (arrived,) = parse_compound(serialize([packet]))
    assert isinstance(arrived, Application)
    return arrived


def test_a_request_survives_the_wire() -> None:
    request = ProtectionRequest(media_ssrc=0xCAFE, depth=17, copies=3)
    packet = over_the_wire(request.to_rtcp(7))
    assert packet.ssrc == 7
    assert read_application(packet) == request


@given(st.integers(0, 0xFFFFFFFF), st.floats(0, 1), st.floats(1, 255))
def test_a_path_survives_the_wire(ssrc: int, loss: float, burst: float) -> None:
    report = read_application(over_the_wire(PathReport(ssrc, loss, burst).to_rtcp(7)))
    assert isinstance(report, PathReport)
    assert report.media_ssrc == ssrc
    assert report.loss == pytest.approx(loss, abs=1e-4)
    assert report.burst == pytest.approx(burst, abs=0.01)


@pytest.mark.parametrize(
    "packet",
    [
        Application(7, "CLRN", bytes((0, 0, 0, 1, 3, 1, 0, 0)), 3),
        Application(7, "QTSS", bytes((0, 0, 0, 1, 3, 1, 0, 0)), 1),
    ],
)
def test_other_applications_are_left_alone(packet: Application) -> None:
    assert read_application(packet) is None


@pytest.mark.parametrize(
    ("subtype", "data"),
    [
        (1, b""),
        (1, bytes((0, 0, 0, 1))),
        (1, bytes((0, 0, 0, 1, 33, 1, 0, 0))),
        (1, bytes((0, 0, 0, 1, 3, 0, 0, 0))),
        (1, bytes((0, 0, 0, 1, 3, 255, 0, 0))),
        (1, bytes(12)),
        (2, b""),
        (2, bytes((0, 0, 0, 1, 255, 255, 0, 255))),
    ],
)
def test_absurd_figures_are_refused(subtype: int, data: bytes) -> None:
    with pytest.raises(WireError):
        read_application(Application(7, "CLRN", data, subtype))
