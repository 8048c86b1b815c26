"""The wire contract, seen from outside: a real service as a process of its own, spoken to over HTTP."""
