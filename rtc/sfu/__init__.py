"""The selective forwarding unit: peers, sources, slots, fan-out, rooms."""
