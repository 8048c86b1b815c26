"""The task_submission_handler: what happens between a message's arrival and its place in the journal.

task_validator, resource_validator, idempotency and the dry run. May import resources, storage, security,
telemetry, task_types and protocol; execution and delivery are strangers to it.
"""
