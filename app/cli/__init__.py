"""The command line `task-executor`: one file a command, listed in program.py.

Client commands (submit, status, watch, list, cancel) speak HTTP to a service anywhere; the others (serve, migrate,
token, settings, openapi, doctor) work on this machine, with the settings of the service. Beside main, the only
place that may import everything.
"""

from app.cli.program import main

__all__ = ["main"]
