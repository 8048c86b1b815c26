"""Tokens and keys: who calls, and what the caller may do.

The only room that knows python-jose and cryptography. May import protocol.

    TokenVerifier.verify   tokens.py      a bearer token to a Principal, or InvalidToken
    TokenKeys              token_keys.py  the verifier's keys, kept as local_keys.py and issuer_keys.py find them
    issue(...)             issuing.py     a token signed by the service's own key: own_key.py, rotation.py
    Sealer, SealingKeys    sealing.py, sealing_keys.py  secrets of others at rest, and the keys for that
    AddressLimits          address_limits.py  how often an address may call without a valid token
    SubjectLimits          rate_limits.py     how often a subject may call; allowance.py is what is known of one
    errors.py                             InvalidToken, RateLimited (one request), KeyConfigurationError (no start)
"""
