"""Tokens, keys and limits. The only room that knows python-jose and cryptography. May import protocol."""
