"""A viewer that shows VP8 as libwebrtc does."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from bench.room.browser import Browser
from bench.room.decoder import Vp8Decoder
from bench.room.participant import Participant
from rtc.wire import rtcp
from rtc.wire.rtp import RtpPacket

LOOKS_EVERY = 0.005  # seconds
PATIENCE = 3.0  # seconds without a frame after which it asks for a key frame


class Viewer(Browser, Participant):
    """Decodes what it gets, and asks no more for packets that its decoder can do without."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.decoders: defaultdict[str, Vp8Decoder] = defaultdict(Vp8Decoder)

    async def join(self, *, publish: bool = True, connect: bool = True) -> None:
        """Join, and begin to show."""
        await super().join(publish=publish, connect=connect)
        self._tasks.append(asyncio.create_task(self._play()))

    def _take_rtp(self, packet: RtpPacket) -> None:
        super()._take_rtp(packet)
        mid = self._rtx_ssrcs.get(packet.ssrc) or self._ssrcs[packet.ssrc]
        heard = self.heard[mid][-1]
        done = self.decoders[mid].receive(
            heard.sequence, heard.timestamp, packet.marker, heard.payload, now=self.now
        )
        if done is not None:
            self._wanted[mid] = {number: at for number, at in self._wanted[mid].items() if number > done}

    async def _play(self) -> None:
        asked = self.now
        while True:
            await asyncio.sleep(LOOKS_EVERY)
            delay = self.playout_delays[-1] / 1000 if self.playout_delays else 0.0
            for mid, decoder in self.decoders.items():
                decoder.play(delay=delay, now=self.now)
                last = decoder.shown[-1][0] if decoder.shown else 0.0
                if self.now - max(last, asked) > PATIENCE:
                    asked = self.now
                    ssrc = next(ssrc for ssrc, each in self._ssrcs.items() if each == mid)
                    self.send_rtcp([rtcp.ReceiverReport(self.ssrc), rtcp.PictureLossIndication(self.ssrc, ssrc)])
