"""Measurements of Clarion, each a program that prints a table: `python -m bench.NAME`."""
