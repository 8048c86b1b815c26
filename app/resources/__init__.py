"""The protocol's Resource Manager: capacity, allocation, order, and why a task waits.

Its decisions are pure functions over plain data. Only elsewhere.py, which explains what is not at hand, looks into the
database.
May import storage, security, telemetry, task_types and protocol.
"""
