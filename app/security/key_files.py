"""Private keys as files of mode 0600, each written whole or not at all; RSA keys are PKCS#8 PEM without a password."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from app.security.errors import KeyConfigurationError
from app.security.jwks import MIN_RSA_BITS, MIN_RSA_EXPONENT

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def new_key() -> rsa.RSAPrivateKey:
    """A new key. Takes some tens of milliseconds."""
    return rsa.generate_private_key(MIN_RSA_EXPONENT, MIN_RSA_BITS)


def pem_of(key: rsa.RSAPrivateKey) -> bytes:
    """The key as it is stored."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def create(path: Path, content: bytes) -> bool:
    """Writes the key beside its place and links it there: never half a file, and never over another's key.

    False where another process was first. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        Path(temporary).unlink()
    return True


def replace(path: Path, content: bytes) -> None:
    """Puts a file with mode 0600 in the place of the one that is there, whole or not at all. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def turn(directory: Path) -> Iterator[None]:
    """Two that replace files of the directory at once take turns: neither forgets what the other wrote."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def state(path: Path) -> object:
    """Another one as soon as the file is another one, or may be touched by others; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode


def read_private(path: Path, name: str, harm: str) -> bytes:
    """What is in a file that nobody but its owner may touch. Raises OSError, KeyConfigurationError.

    `name` is what it holds, `harm` what others could do with that.
    """
    with path.open("rb") as file:
        # The open file is asked, not the path, which could name another file by now.
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & _OTHERS:
            raise KeyConfigurationError(
                f"the {name} {path} has mode {mode:04o}, so that others could {harm}: run `chmod 600 {path}`"
            )
        return file.read()


def read(path: Path, name: str, harm: str) -> rsa.RSAPrivateKey:
    """The RSA key in such a file. Raises OSError, KeyConfigurationError."""
    pem = read_private(path, name, harm)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise KeyConfigurationError(f"the {name} {path} is not a private key in PEM without a password") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < MIN_RSA_BITS:
        raise KeyConfigurationError(f"the {name} {path} is not an RSA key of at least {MIN_RSA_BITS} bits")
    return key
