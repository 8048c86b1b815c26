"""Task Executor: the Task Execution Protocol 1.0.0 as a service. The map of the rooms is docs/architecture.md."""
