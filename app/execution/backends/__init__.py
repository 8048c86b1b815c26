"""Where handlers run. The seam is `Backend` in backend.py; each implementation is one file.

asyncio_.py runs async handlers in the service's loop. process.py runs plain ones in children, and reads from the
outside in: process (the pool) > child_process, nursery (the service's ends) > guardian (starts, watches and ends
children, as child_user) > child (the program that calls handlers), with frames between service and child.
May import task_types and protocol.
"""
