"""Hostile datagrams at a media port, from a process of their own: python flood.py HOST PORT SECONDS [UFRAG ...].

Writes how many it sent.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
import time

PER_SECOND = 3000
SOCKETS = 8
COOKIE = 0x2112A442


def stun(username: bytes, body: bytes = b"") -> bytes:
    """A binding request that nobody has signed, or signed wrongly."""
    padded = username + bytes(-len(username) % 4)
    attributes = struct.pack("!HH", 6, len(username)) + padded + body
    return struct.pack("!HHI", 1, len(attributes), COOKIE) + random.randbytes(12) + attributes


def datagrams(ufrags: list[bytes]) -> list[bytes]:
    """One of each kind."""
    junk = random.randbytes(random.randrange(1, 1400))
    ufrag = random.choice(ufrags) if ufrags else b"nobody"
    signature = struct.pack("!HH", 8, 20) + random.randbytes(20)
    dtls = b"\x16\xfe\xff\x00\x00" + random.randbytes(6) + struct.pack("!H", 60) + b"\x01" + random.randbytes(59)
    return [
        b"", junk, bytes([random.randrange(256)]), random.randbytes(65000),
        stun(b"nobody:x"), stun(ufrag + b":x"), stun(ufrag + b":x", signature), stun(ufrag + b":x")[:-3],
        dtls, dtls[:14], dtls[:5] + junk,
        b"\x80\x6f" + random.randbytes(170), b"\x80\xc8" + random.randbytes(60), b"\x90\x6f" + random.randbytes(10),
    ]


def main() -> None:
    host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    ufrags = [text.encode() for text in sys.argv[4:]]
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SOCKETS)]
    began, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds:
        if sent > elapsed * PER_SECOND:
            time.sleep(0.005)
            continue
        for data in datagrams(ufrags):
            random.choice(sockets).sendto(data, (host, port))
            sent += 1
    sys.stdout.write(f"{sent}\n")


if __name__ == "__main__":
    main()
