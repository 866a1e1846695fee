"""Participants of a call in virtual time, as browsers behave: for the benches and the tests of whole rooms."""
