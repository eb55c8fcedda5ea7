"""The fuzz targets hold for their seeds, and for some mutations of them; `make fuzz` tries many more."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_hold(name: str) -> None:
    """Each seed in each variant."""
    target = TARGETS[name]
    for variant, seeds in target.seeds.items():
        for seed in seeds:
            target.hold(variant, seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutations_hold(name: str, data: st.DataObject) -> None:
    """They are read or refused in the same way, and in little time."""
    TARGETS[name].hold(*data.draw(TARGETS[name].inputs()))
