"""Tests of app.execution."""
