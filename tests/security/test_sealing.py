import pytest

from app.security.sealing import CannotOpen, Sealer

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def test_what_is_sealed_opens_for_its_purpose_only() -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(b"secret", "alice")
    assert b"secret" not in sealed
    assert sealed != sealer.seal(b"secret", "alice")
    assert sealer.open(sealed, "alice") == b"secret"
    with pytest.raises(CannotOpen):
        sealer.open(sealed, "bob")


@pytest.mark.parametrize("place", [0, 9, 25, -1])
def test_what_was_altered_does_not_open(place: int) -> None:
    sealer = Sealer([NEW])
    sealed = bytearray(sealer.seal(b"secret", "alice"))
    sealed[place] ^= 1
    for text in (bytes(sealed), bytes(sealed)[:20], b""):
        with pytest.raises(CannotOpen):
            sealer.open(text, "alice")


def test_a_new_key_on_top_seals_and_the_old_ones_open() -> None:
    before = Sealer([OLD]).seal(b"secret", "alice")
    changed = Sealer([NEW, OLD])
    assert changed.open(before, "alice") == b"secret"
    with pytest.raises(CannotOpen):
        Sealer([OLD]).open(changed.seal(b"secret", "alice"), "alice")
    assert changed.fingerprint("a") == Sealer([OLD]).fingerprint("a")


def test_a_fingerprint_tells_secrets_apart_and_needs_the_key() -> None:
    sealer = Sealer([NEW])
    assert sealer.fingerprint("a") == sealer.fingerprint("a") != sealer.fingerprint("b")
    assert sealer.fingerprint("a") != Sealer([OLD]).fingerprint("a")


def test_a_key_that_is_missing_is_looked_for_once() -> None:
    looked: list[None] = []

    def look() -> bool:
        looked.append(None)
        sealer.use([NEW, OLD])
        return True

    sealer = Sealer([OLD], look)
    assert sealer.open(Sealer([NEW]).seal(b"secret", "alice"), "alice") == b"secret"
    with pytest.raises(CannotOpen):
        sealer.open(Sealer([bytes(32)]).seal(b"secret", "alice"), "alice")
    assert len(looked) == 2
    assert sealer.seal(b"secret", "alice").startswith(Sealer([NEW]).key_id)
