"""Calling a person: who is reachable, whose devices ring, and who answers."""
