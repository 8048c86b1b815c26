"""The limits of a service: how often may be called, by whom and from where."""

from contextlib import AsyncExitStack

from app.bootstrap.storage import Storage
from app.protocol.rates import Rate
from app.security.address_limits import AddressLimits
from app.security.rate_limits import SubjectLimits
from app.settings.security import NO_LIMIT, SecuritySettings


class Limits:
    """What counts the calls of addresses, which is this service's alone, and of subjects, over all services."""

    def __init__(self, security: SecuritySettings, storage: Storage, stack: AsyncExitStack) -> None:
        self.addresses = AddressLimits(rate_of(security.address_rate_limit or security.rate_limit))
        self.calls = SubjectLimits(storage.rates.draw, storage.quotas.rate_of)
        stack.push_async_callback(self.calls.close)


def rate_of(setting: str) -> Rate | None:
    """The rate that a setting names, which has been checked; None where it is off."""
    return None if setting.lower() == NO_LIMIT else Rate.parse(setting)
