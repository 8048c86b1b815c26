"""Tests of app/resources: each rule by itself, invariants under random use, and simulations of whole queues."""
