"""What is installed is pinned by hashes: the locks are whole, agree with pyproject.toml, and are what make installs."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
# What each lock must hold beside what every installation needs.
LOCKS: dict[str, list[str]] = {
    "requirements.lock": EXTRAS["service"],
    "requirements-test.lock": [*EXTRAS["service"], *EXTRAS["test"]],
    "requirements-bench.lock": [requirement for extra in EXTRAS.values() for requirement in extra],
}
ALL_LOCKS = [*LOCKS, "requirements-sbom.lock"]
_PIN = re.compile(r"([a-z0-9-]+)(?:\[[a-z,-]+\])?==([^ ;]+)(?: ; [^\\]+)? \\")
_HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


def pins(lock: str) -> dict[str, str]:
    """Return the version of each package in a lock."""
    text = (PROJECT / lock).read_text(encoding="ascii")
    return {match[1]: match[2] for line in text.splitlines() if (match := _PIN.fullmatch(line))}


@pytest.mark.parametrize("lock", ALL_LOCKS)
def test_a_lock_holds_names_versions_and_hashes_only(lock: str) -> None:
    """No host, no option, and no package without a hash."""
    text = (PROJECT / lock).read_text(encoding="ascii")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not _PIN.fullmatch(line) and not _HASH.fullmatch(line)] == []
    followers = [after for line, after in zip(lines, [*lines[1:], ""], strict=True) if _PIN.fullmatch(line)]
    assert followers
    assert all(map(_HASH.fullmatch, followers))


@pytest.mark.parametrize(("lock", "extras"), LOCKS.items(), ids=LOCKS)
def test_a_lock_has_all_that_is_asked_for(lock: str, extras: list[str]) -> None:
    """Each requirement of pyproject.toml, in a version that it takes."""
    pinned = pins(lock)
    for requirement in map(Requirement, [*PYPROJECT["project"]["dependencies"], *extras]):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is {version} in {lock}; run: make lock"


def test_the_locks_agree() -> None:
    """What the tests ran with is what is installed, and nothing is installed back and forth."""
    runtime, test, bench = map(pins, LOCKS)
    assert runtime.items() <= test.items() <= bench.items()


def test_what_builds_the_project_is_pinned() -> None:
    """In pyproject.toml for those who build it apart, and with its hash in every lock that make builds with."""
    (build,) = map(Requirement, PYPROJECT["build-system"]["requires"])
    assert str(build.specifier) == f"=={pins('requirements.lock')[build.name]}"


def test_make_installs_by_hashes_alone() -> None:
    """But for the project itself, which is built without fetching anything, and the maker of the locks."""
    assert all(re.search(rf"\$\(INSTALL\w*\) {re.escape(lock)}", MAKEFILE) for lock in ALL_LOCKS)
    installs = [line.split(" install ")[1] for line in MAKEFILE.splitlines() if " install " in line and "#" not in line]
    assert [options for options in installs if "--require-hashes" not in options] == [
        "--no-deps --no-build-isolation --editable .",
        "pip-tools",
    ]
