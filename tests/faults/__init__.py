"""Kills, cuts and losses, and the checker of what must hold whatever happens."""
