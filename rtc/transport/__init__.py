"""The UDP port and what secures it: batched socket, ICE-lite, DTLS, SRTP."""
