"""Child processes: they get what they need, and no key."""

from __future__ import annotations

import pytest

from pipeline.child_environment import child_environment


@pytest.mark.parametrize(
    "name",
    ["BING_SEARCH_KEY", "AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "GITHUB_TOKEN", "CDN_HEADER",
     "HTTPS_PROXY", "REDIS_URL", "XDG_TOKEN", "PYTHONKEY", "LD_PASSWORD", "mysecret", "PIP_INDEX_URL"],
)  # fmt: skip
def test_a_secret_is_left_out_whatever_its_name(name: str) -> None:
    """Only what is on the list is passed on, and nothing on it may be called like a secret."""
    assert child_environment({name: "secret", "PATH": "/bin"}) == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_CACHE_HOME", "PYTHONPATH", "PYTHONSAFEPATH",
     "LD_LIBRARY_PATH", "VIRTUAL_ENV", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"],
)  # fmt: skip
def test_what_a_process_needs_is_passed_on(name: str) -> None:
    """Libraries, caches and the language are found as in the parent."""
    assert child_environment({name: "value"}) == {name: "value"}
