"""The walls of the house, and what keeps its files in order."""
