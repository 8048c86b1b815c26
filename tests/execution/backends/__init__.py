"""Tests of app.execution.backends."""
