"""History to submitters: everything that tells a submitter how its task goes.

May import resources, storage, security, telemetry, task_types and protocol; submission and execution are
strangers to it.
"""
