"""The real service as a process, over HTTP."""
