"""Tests of app/task_types: the decorator, the registry, and each built-in kind."""
