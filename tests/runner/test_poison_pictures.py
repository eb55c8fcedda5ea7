"""A catalogue with pictures that do harm, in a run and in the service: each fails by name, all others are done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.runner.job import run
from tests.poison import CRASH, HANG, TAKE_MEMORY, acting, acting_decoder, huge_header, many_scans
from tests.running import draw, lines_of, load, write_config

GOOD = 33
# What the run, and the index of the service, say of each.
POISON = {
    "scans1.jpg": (many_scans(1), "too-many-scans", "more than 200 scans"),
    "scans2.jpg": (many_scans(2), "too-many-scans", "more than 200 scans"),
    "crash1.png": (acting(3, CRASH), "decoder-died", "crashed (SIGSEGV)"),
    "crash2.png": (acting(4, CRASH), "decoder-died", "crashed (SIGSEGV)"),
    "hang.png": (acting(5, HANG), "too-slow", "takes too long"),
    "memory.png": (acting(6, TAKE_MEMORY), "too-much-memory", "not enough memory"),
    "huge.gif": (huge_header(7), "too-many-pixels", "px"),
}


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[Path]:
    """Return a folder of good and poison pictures, with a decoder that does as they say."""
    folder = tmp_path / "pictures"
    for number in range(GOOD):
        draw(folder / f"good{number}.png", number, (500, 400))
    for name, (data, _, _) in POISON.items():
        (folder / name).write_bytes(data)
    with acting_decoder(tmp_path):
        yield folder


async def test_poison_pictures_fail_by_name_and_all_others_are_done(tmp_path: Path, pictures: Path) -> None:
    """Exit code 1: a record for each good picture, a failure with its code for each poison one, this night and next."""
    prepare = {"max_side_px": 150, "decode_timeout": "2s"}
    local = {"name": "local", "endpoint": "", "key_env": "", "text": False}
    config = load(write_config(tmp_path / "job.toml", pictures, "", provider=local, prepare=prepare))
    for sends in (GOOD, 0):
        report = await run(config)
        assert (report.exit_code, report.traffic.sends, report.tally.failures) == (1, sends, len(POISON))
    out = tmp_path / "out"
    records, failures = lines_of(out / "insights.jsonl"), lines_of(out / "failures.jsonl")
    assert {record["id"] for record in records} == {f"good{number}.png" for number in range(GOOD)}
    assert {failure["image"]: failure["code"] for failure in failures} == {
        name: code for name, (_, code, _) in POISON.items()
    }
    skipped = {row["image"]: row["reason"] for row in lines_of(out / "index" / "skipped.jsonl")}
    assert skipped.keys() == POISON.keys()
    assert all(reason in skipped[name] for name, (_, _, reason) in POISON.items())
