"""Tests of the way from a message to a stored task."""
