"""Runs the fuzz targets for a time: python -m tests.fuzz --seconds 3600 [TARGET...]; exit code 1 where one fails."""

from __future__ import annotations

import argparse
import time
import traceback

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.fuzz.targets import TARGETS, Target

_DATABASE = DirectoryBasedExampleDatabase(".hypothesis/fuzz")


def main() -> int:
    """Run each target for its share of the time."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    arguments.add_argument("--seconds", type=float, default=60.0)
    options = arguments.parse_args()
    names = options.targets or list(TARGETS)
    return max(_run(name, TARGETS[name], options.seconds / len(names)) for name in names)


def _run(name: str, target: Target, seconds: float) -> int:
    """Try one target until the time is over or something fails; what fails is kept, and tried first the next time."""
    ends, count = time.monotonic() + seconds, 0

    @settings(
        max_examples=200,
        derandomize=False,
        database=_DATABASE,
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
        while time.monotonic() < ends:
            batch()
    except Exception:
        traceback.print_exc()
        print(f"fuzz {name}: FAILED after {count} inputs")
        return 1
    print(f"fuzz {name}: {count} inputs, nothing failed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
