"""The HTTP doors. FastAPI lives here and in main only.

A route is a few lines: check the policy, call the room that does the work, shape the answer.
"""
