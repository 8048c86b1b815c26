"""The protocol's Resource Manager: capacity, allocation, order, and why a task waits.

Its decisions are pure functions over plain data; nothing here reads the database.
May import storage, security, telemetry, task_types and protocol.
"""
