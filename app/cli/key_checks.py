"""What the doctor looks at of the keys: those of tokens, messages and webhooks, and the audit trail that they sign.

Nothing is made that is not there: that is for the service's first start.
"""

import asyncio

from app.bootstrap.audit import audit_dir
from app.bootstrap.security import Security, encryption_keys_dir, sealing_keys_file
from app.cli.finding import Finding, directory_fault
from app.cli.own_token import uses_own_key
from app.security.envelopes.key_ring import KeyRing
from app.security.errors import KeyConfigurationError
from app.security.head_signing import NotAHead, head_keys, read_head
from app.security.own_key import FILE_NAME, own_signing_key
from app.security.sealing_keys import SealingKeys
from app.settings import Settings, StorageSettings
from app.storage.head_files import HeadFiles, Unwritable

YET_TO_COME = "will be made at the first start"


def token_keys(settings: Settings) -> Finding:
    """The keys that tokens are verified by."""
    security, data_dir = settings.security, settings.storage.data_dir
    try:
        if not uses_own_key(security):
            asyncio.run(_load_token_keys(settings))
            return Finding("keys", "ok", f"tokens come from the issuer {security.jwt_issuer!r}")
        if not (data_dir / FILE_NAME).exists():
            return Finding("keys", "ok", f"the service's own key {YET_TO_COME}")
        own_signing_key(data_dir)
    except KeyConfigurationError as error:
        return Finding("keys", "wrong", str(error))
    return Finding("keys", "ok", "the service's own key: `task-executor token` prints tokens")


async def _load_token_keys(settings: Settings) -> None:
    keys = Security(settings).token_keys
    try:
        await keys.load()
    finally:
        await keys.close()


def encryption_keys(settings: Settings) -> Finding:
    """The keys that messages are encrypted with."""
    ring = KeyRing(encryption_keys_dir(settings), settings.security.encryption_overlap_s)
    try:
        ring.reread()
    except KeyConfigurationError as error:
        return Finding("encryption keys", "wrong", str(error))
    if not ring.keys:
        return Finding("encryption keys", "ok", f"one {YET_TO_COME}, in {ring.directory}: back it up")
    text = f"{len(ring.keys)} in {ring.directory}; the current one is of {ring.current.created_at:%Y-%m-%d}"
    return Finding("encryption keys", "ok", text)


def sealing_keys(settings: Settings) -> Finding:
    """The keys that seal the secrets of webhooks."""
    path = sealing_keys_file(settings)
    if not path.exists():
        return Finding("sealing keys", "ok", f"one {YET_TO_COME}, in {path}: back it up")
    try:
        SealingKeys(path, must_exist=True)
    except KeyConfigurationError as error:
        return Finding("sealing keys", "wrong", str(error))
    return Finding("sealing keys", "ok", f"{path} can be read")


def audit_directory(storage: StorageSettings) -> Finding:
    """Where the signed heads of the audit trail are written."""
    subject, directory = "audit", audit_dir(storage)
    if not storage.audit_head_s:
        return Finding(subject, "warn", "no signed heads are written (TASK_EXECUTOR_AUDIT_HEAD_S is 0)")
    if fault := directory_fault(directory, "TASK_EXECUTOR_AUDIT_DIR"):
        return Finding(subject, "wrong", fault)
    try:
        last = asyncio.run(HeadFiles(directory).last()) if directory.exists() else None
        if last is None:
            return Finding(subject, "ok", f"the first signed head will be written to {directory}")
        head = read_head(last, head_keys(storage.data_dir))
    except (Unwritable, KeyConfigurationError) as error:
        return Finding(subject, "wrong", str(error))
    except NotAHead as error:
        return Finding(subject, "warn", f"the last head in {directory} is not ours, so a new chain will begin: {error}")
    return Finding(subject, "ok", f"head {head.number} in {directory} is of {head.until:%Y-%m-%d %H:%M} UTC")
