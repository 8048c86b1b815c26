"""The execution_handler: from a claimed task to its outcome.

handover, claimer, dispatcher, runner, upkeep of leases, and the backends in which handlers run. May import resources,
storage, security, telemetry, task_types and protocol; submission and delivery are strangers to it.
"""
