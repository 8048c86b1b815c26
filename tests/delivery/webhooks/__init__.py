"""Tests of webhooks: against real servers that behave well or badly."""
