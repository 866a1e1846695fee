"""python -m bench.signalling: messages through connections that break, and what the server takes for them."""
