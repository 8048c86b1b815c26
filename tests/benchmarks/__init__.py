"""How fast the service is, measured against an empty endpoint in the same run: `make bench`.

Only ratios inside one run count: rounds on one machine differ by 20-40 %. docs/performance.md says what is measured
and holds the figures. Not collected by pytest: nothing here asserts a time.
"""
