"""Tests of app/security/envelopes."""
