"""Tests of the task `data_processing`, each module by itself and the whole on real data."""
