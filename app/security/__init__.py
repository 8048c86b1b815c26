"""Tokens and keys: who calls, and what the caller may do.

The only room that knows python-jose and cryptography. May import protocol.

    TokenVerifier.verify   tokens.py      a bearer token to a Principal, or InvalidToken
    TokenKeys              token_keys.py  the verifier's keys, kept as local_keys.py and issuer_keys.py find them
    issue(...)             issuing.py     a token signed by the service's own key: own_key.py, rotation.py
    errors.py                             InvalidToken (one request), KeyConfigurationError (the service does not start)
"""
