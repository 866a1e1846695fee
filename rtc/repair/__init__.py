"""Policies of repair and rate: plain synchronous code; time is an argument."""
