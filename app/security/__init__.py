"""Tokens and keys: who calls, and what the caller may do.

The only room that knows python-jose and cryptography. May import protocol.

    token_verifier(...)    tokens.py   what bootstrap calls: the keys as configured, checked once at the start
    TokenVerifier.verify   tokens.py   a bearer token to a Principal, or InvalidToken
    issue(...)             issuing.py  a token signed by the service's own key, own_key.py
    errors.py                          InvalidToken (one request), KeyConfigurationError (the service does not start)
"""
