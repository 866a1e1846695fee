"""Numbers of any size in a row of bits, the highest bit first."""

from __future__ import annotations

from rtc.wire.errors import WireError


class BitReader:
    """Reads them."""

    def __init__(self, value: bytes) -> None:
        self._bits = int.from_bytes(value, "big")
        self._left = 8 * len(value)

    def take(self, count: int) -> int:
        """The next `count` bits. Raises WireError when there are fewer."""
        self._left -= count
        if self._left < 0:
            raise WireError("a field ends behind its bytes")
        return self._bits >> self._left & (1 << count) - 1

    def take_up_to(self, count: int) -> int:
        """A number below `count` in as few bits as it needs: ns(n) of the AV1 specification, 4.10.7."""
        width = count.bit_length()
        short = (1 << width) - count
        value = self.take(width - 1)
        return value if value < short else (value << 1) - short + self.take(1)


class BitWriter:
    """Writes what BitReader reads."""

    def __init__(self) -> None:
        self._bits = 0
        self._count = 0

    def put(self, value: int, count: int) -> None:
        """Append a number in `count` bits."""
        self._bits = self._bits << count | value
        self._count += count

    def put_up_to(self, value: int, count: int) -> None:
        """Append a number below `count` in as few bits as it needs."""
        width = count.bit_length()
        short = (1 << width) - count
        self.put(value if value < short else value + short, width - (value < short))

    @property
    def value(self) -> bytes:
        """All of them, filled with zeros to whole bytes."""
        missing = -self._count % 8
        return (self._bits << missing).to_bytes((self._count + missing) // 8, "big")
