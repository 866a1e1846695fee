"""The aiohttp service: rooms, sessions, tokens, WHIP/WHEP, health and metrics."""
