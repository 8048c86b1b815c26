"""Tests of how submitters hear of their tasks."""
