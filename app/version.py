"""The version of the service, and of the protocol that it speaks."""

from importlib.metadata import version

VERSION = version("task-executor")
PROTOCOL_VERSION = "1.0.0"
