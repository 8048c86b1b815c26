"""The keys that lie on this machine: an issuer's JWKS file, a shared secret, or the service's own key."""

import time
from dataclasses import dataclass
from pathlib import Path

from app.security import key_files
from app.security.errors import KeyConfigurationError
from app.security.jwks import keys_from_file
from app.security.keys import VerificationKey, secret_key
from app.security.own_key import FILE_NAME, own_signing_key
from app.security.rotation import RETIRED_FILE_NAME, retired_keys


@dataclass(frozen=True, slots=True)
class LocalKeys:
    """Where they are. `elsewhere` says that an issuer publishes keys at an address, too.

    The own key, made on first use in `data_dir`, counts only where nothing else is configured.
    """

    data_dir: Path
    keys_file: Path | None = None
    secret: str | None = None
    elsewhere: bool = False

    @property
    def own(self) -> bool:
        """Tokens are signed by the service's own key."""
        return self.keys_file is None and self.secret is None and not self.elsewhere

    def read(self) -> list[VerificationKey]:
        """The keys as they are now. Raises KeyConfigurationError with one sentence for the operator."""
        keys: list[VerificationKey] = []
        if self.keys_file is not None:
            keys += keys_from_file(self.keys_file)
        if self.secret is not None:
            keys.append(secret_key(self.secret))
        if self.own:
            current = own_signing_key(self.data_dir).verification_key
            # In the moment of a rotation the current key is among the retired ones already.
            retired = [key for key in retired_keys(self.data_dir, time.time()) if key.kid != current.kid]
            keys += [current, *retired]
        return keys

    def state(self) -> tuple[object, ...]:
        """Another one as soon as one of the files is another one, or a retired key has come to its end."""
        return (*(key_files.state(path) for path in self._files()), self._retired())

    def _retired(self) -> int | None:
        try:
            return len(retired_keys(self.data_dir, time.time())) if self.own else 0
        except KeyConfigurationError:
            return None

    def _files(self) -> list[Path]:
        files = [] if self.keys_file is None else [self.keys_file]
        return [self.data_dir / FILE_NAME, self.data_dir / RETIRED_FILE_NAME] if self.own else files
