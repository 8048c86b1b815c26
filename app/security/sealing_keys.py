"""The file of the keys that seal the secrets of webhooks: the base64 of 32 bytes in each line, the current key first.

Services that share a database need the same keys. A running service takes up a changed file within a second, and at
once where it meets a key that it does not know.
"""

import logging
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path

from app.security import key_files
from app.security.errors import KeyConfigurationError
from app.security.sealing import Sealer

logger = logging.getLogger("app.security")

FILE_NAME = "sealing-keys"
KEY_BYTES = 32


class SealingKeys:
    """The keys at `path`, and the sealer that has them. Raises KeyConfigurationError.

    The file is made with one new key where there is none, unless it `must_exist`.
    """

    def __init__(self, path: Path, *, must_exist: bool = False) -> None:
        self.path = path
        self._complaint = ""
        try:
            if not must_exist and not path.exists():
                # Where another process was first, its key is the one.
                key_files.create(path, _content([os.urandom(KEY_BYTES)]))
            self._state = key_files.state(path)
            self.sealer = Sealer(_read(path), self.look)
        except OSError as error:
            raise KeyConfigurationError(f"the sealing keys {path} cannot be read or made: {error.strerror}") from None

    def look(self) -> bool:
        """Takes up the file where it has changed; False where nothing has come of that.

        One that cannot be read, or is not fit, leaves the keys as they were and is logged.
        """
        state = key_files.state(self.path)
        if state == self._state:
            return False
        try:
            self.sealer.use(_read(self.path))
        except (OSError, KeyConfigurationError) as error:
            if (complaint := str(error)) != self._complaint:
                logger.error("the sealing keys stay as they were: %s", complaint)  # noqa: TRY400 - no traceback
                self._complaint = complaint
            return False
        self._state, self._complaint = state, ""
        logger.info("sealing keys read anew")
        return True

    def rotate(self) -> None:
        """Puts a new key before the others. Raises KeyConfigurationError."""
        self._replace(keep_old=True)

    def drop_old(self) -> None:
        """Leaves the current key alone in the file. Raises KeyConfigurationError."""
        self._replace(keep_old=False)

    def _replace(self, *, keep_old: bool) -> None:
        try:
            with key_files.turn(self.path.parent):
                keys = _read(self.path)
                key_files.replace(self.path, _content([os.urandom(KEY_BYTES), *keys] if keep_old else keys[:1]))
        except OSError as error:
            raise KeyConfigurationError(f"the sealing keys {self.path} cannot be replaced: {error.strerror}") from None
        self.look()


def _read(path: Path) -> list[bytes]:
    lines = key_files.read_private(path, "file of sealing keys", "open what is sealed").split()
    try:
        keys = [b64decode(line, validate=True) for line in lines]
    except ValueError:
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise KeyConfigurationError(f"the file {path} must hold sealing keys, a line each: `openssl rand -base64 32`")
    return keys


def _content(keys: Sequence[bytes]) -> bytes:
    return b"".join(b64encode(key) + b"\n" for key in keys)
