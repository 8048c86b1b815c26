"""`python -m tests.simulation SEED`: the story of one run, and what it violated."""

import argparse
import sys

from tests.simulation.world import run


def main() -> int:
    """Returns 1 where something was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, help="of the world to run")
    report = run(parser.parse_args().seed)
    sys.stdout.write(f"{report}\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
