"""Tests: they mirror app/ by name, and share what tests/support holds."""
