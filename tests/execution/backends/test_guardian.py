"""The guardian by itself: what its service tells it by going away."""

import os
import socket

from app.execution.backends.guardian import Guardian


def test_a_service_that_was_killed_before_it_had_read_everything_is_gone_like_any_other() -> None:
    ours, service = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    guardian = Guardian(ours, os.getpid(), {})
    guardian._tell({"exited": 1, "returncode": 0})
    service.close()
    guardian._receive()
    assert guardian._terminated
    for end in (ours, guardian._wakeup, guardian._wakeup_writer):
        end.close()
    guardian._selector.close()
