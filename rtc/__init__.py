"""Media: RTP from many to many. Knows nothing of HTTP, users or tokens."""
