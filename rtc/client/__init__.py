"""The Python client: join a call, publish, receive."""
