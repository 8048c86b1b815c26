"""Metrics and logs. May import protocol."""
