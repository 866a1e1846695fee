"""What a listener hears over a bad network: whole calls in virtual time, scored (`python -m bench.audio`)."""
