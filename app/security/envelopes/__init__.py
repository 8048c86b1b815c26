"""Message-level encryption (protocol, "Security Measures": aes_256_gcm, rsa_2048): JWE in and out, and content at rest.

    read_envelope(…)   compact.py     a compact JWE taken apart, everything checked that needs no key
    open_, seal        cipher.py      RSA-OAEP-256 with A256GCM, and no other algorithm
    KeyRing            key_ring.py    the service's RSA keys: the newest encrypts, older ones still open
    Contents           contents.py    what came encrypted, sealed at rest under a key of each task
    recipient_of(…)    recipients.py  the public key that a token is bound to, for encrypted answers
    errors.py                         what goes wrong here

May import app.security's base64url and errors, and protocol.
"""
