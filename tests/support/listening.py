"""How a test's own server ends without leaving a socket behind."""

import asyncio


async def stop_listening(server: asyncio.Server) -> None:
    """Takes no further connection and closes the listening sockets; what was accepted has begun when this returns.

    `Server.close` alone drops a connection that was accepted in the same turn of the loop: its transport finds the
    server closed, and nobody closes the socket.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    # A turn each: the transport is made, it is connected, its handler is scheduled, its handler runs.
    for _ in range(5):
        await asyncio.sleep(0)
    server.close()
