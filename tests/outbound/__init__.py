"""Requests to other people's addresses: what must not be called, and what must not come back."""
