"""Builds the service from its settings and takes it down again: the only place that knows every room.

runtime.py is the whole; beside it stands one file for each room, which builds that room's parts and says what of them
has to be started, repeated and closed. Settings are read here, the parts get plain arguments.
"""
