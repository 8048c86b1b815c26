"""A new signing key: whole or not at all, and nothing of the old one but its public half."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.security.errors import KeyConfigurationError
from app.security.own_key import FILE_NAME, own_signing_key
from app.security.rotation import RETIRED_FILE_NAME, retired_keys, rotate_signing_key
from tests.security.forge import NOW


def kids(data_dir: Path, now: float) -> set[str | None]:
    return {key.kid for key in retired_keys(data_dir, now)}


def test_the_old_key_verifies_for_a_while_and_signs_no_more(tmp_path: Path) -> None:
    old = own_signing_key(tmp_path)
    pem = (tmp_path / FILE_NAME).read_bytes()
    new = rotate_signing_key(tmp_path, overlap_s=100, now=NOW)
    assert new.kid != old.kid
    assert own_signing_key(tmp_path).kid == new.kid
    assert kids(tmp_path, NOW + 99) == {old.kid}
    assert kids(tmp_path, NOW + 100) == set()
    (member,) = json.loads((tmp_path / RETIRED_FILE_NAME).read_bytes())["keys"]
    assert set(member) == {"kty", "alg", "n", "e", "kid", "until"}, "no private half"
    assert not any(pem in path.read_bytes() for path in tmp_path.iterdir())


def test_both_files_are_for_their_owner_alone_and_nothing_else_is_left(tmp_path: Path) -> None:
    rotate_signing_key(tmp_path, overlap_s=100, now=NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {FILE_NAME: 0o600, RETIRED_FILE_NAME: 0o600}


def test_several_rotations_in_a_row_keep_all_that_may_still_be_used(tmp_path: Path) -> None:
    first = own_signing_key(tmp_path)
    second = rotate_signing_key(tmp_path, overlap_s=100, now=NOW)
    rotate_signing_key(tmp_path, overlap_s=100, now=NOW + 50)
    assert kids(tmp_path, NOW + 60) == {first.kid, second.kid}
    rotate_signing_key(tmp_path, overlap_s=100, now=NOW + 120)
    assert first.kid not in (tmp_path / RETIRED_FILE_NAME).read_text()


def test_a_key_that_has_leaked_is_void_at_once(tmp_path: Path) -> None:
    own_signing_key(tmp_path)
    rotate_signing_key(tmp_path, overlap_s=0, now=NOW)
    assert kids(tmp_path, NOW) == set()


def test_those_who_rotate_at_once_take_turns(tmp_path: Path) -> None:
    first = own_signing_key(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: rotate_signing_key(tmp_path, 100, NOW), range(4)))
    last = own_signing_key(tmp_path)
    assert kids(tmp_path, NOW) == {first.kid, *(key.kid for key in made)} - {last.kid}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"keys": 1}', b'{"keys": [{}]}', b'{"keys": [{"until": ""}]}'])
def test_a_list_that_is_none_is_one_clear_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RETIRED_FILE_NAME).write_bytes(content)
    with pytest.raises(
        KeyConfigurationError, match=r"retired-signing-keys\.json is not a list of retired keys: remove"
    ):
        retired_keys(tmp_path, NOW)


def test_a_place_where_no_key_can_be_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyConfigurationError, match="cannot be replaced"):
        rotate_signing_key(tmp_path / "file", 100, NOW)
