"""Task identifiers: UUID version 7 (RFC 9562, section 5.7), which sort by the time they were made."""

from uuid import UUID


def uuid7(unix_ms: int, random_bits: int) -> UUID:
    """The UUIDv7 for a time in milliseconds since the epoch and 74 random bits."""
    random_a = (random_bits >> 62) & 0xFFF
    random_b = random_bits & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=(unix_ms & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b)
