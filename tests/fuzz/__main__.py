"""Runs the fuzz targets for a time: python -m tests.fuzz --seconds 3600 [TARGET...]; exit code 1 where one fails.

With --inputs N each target has N inputs, the same ones each time: a check of a change must not fail by chance.
"""

from __future__ import annotations

import argparse
import time
import traceback

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.fuzz.targets import TARGETS, Target

_DATABASE = DirectoryBasedExampleDatabase(".hypothesis/fuzz")


def main() -> int:
    """Run each target for its share of the time, or on a number of inputs."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--inputs", type=int, default=0)
    options = arguments.parse_args()
    names = options.targets or list(TARGETS)
    seconds = options.seconds / len(names)
    return max(_run(name, TARGETS[name], inputs=options.inputs, seconds=seconds) for name in names)


def _run(name: str, target: Target, *, inputs: int, seconds: float) -> int:
    """Try one target until it had its inputs, or the time is over; what fails is tried first the next time."""
    ends, count = time.monotonic() + seconds, 0

    @settings(
        max_examples=inputs or 200,
        derandomize=bool(inputs),
        database=None if inputs else _DATABASE,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.reuse, Phase.generate, Phase.shrink],
    )
    @given(target.inputs())
    def batch(drawn: tuple[str, bytes]) -> None:
        nonlocal count
        count += 1
        target.hold(*drawn)

    try:
        batch()
        while not inputs and time.monotonic() < ends:
            batch()
    except Exception:
        traceback.print_exc()
        print(f"fuzz {name}: FAILED after {count} inputs")
        return 1
    print(f"fuzz {name}: {count} inputs, nothing failed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
