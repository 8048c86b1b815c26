"""The pure core: what Task Execution Protocol 1.0.0 says, as data and functions.

States, messages, reasons, roles, resource vectors, the history chain and the life of one task.
No I/O, no clock, no randomness, no framework: times and random draws come in as arguments, so that
a simulation can drive everything here. Imports: the standard library and pydantic only.
"""
