"""A catalogue with pictures that crash their decoder or keep it busy: each fails by name, all others are done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.prepare import decoder_pool
from pipeline.runner.job import run
from tests.prepare.pictures import scene, stored
from tests.running import KEY, KEY_ENV, Service, draw, lines_of, load, running_service, write_config

# A decoder that crashes at pictures of 500 px and gets no further at those of 501 px.
PROGRAM = """
import os, signal
from PIL import ImageFile
from pipeline.prepare.decoder_child import main
load = ImageFile.ImageFile.load
def poisoned_load(image):
    if image.size[0] == 500:
        os.kill(os.getpid(), signal.SIGSEGV)
    while image.size[0] == 501:
        pass
    return load(image)
ImageFile.ImageFile.load = poisoned_load
main()
"""
CRASHES, SLOW, MANY_SCANS = 3, 1, 2


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(14):
        draw(folder / f"good{number}.png", number)
    for number in range(CRASHES):
        (folder / f"crash{number}.webp").write_bytes(stored(scene(500, 300 + number), "WEBP"))
    for number in range(SLOW):
        (folder / f"slow{number}.png").write_bytes(stored(scene(501, 300 + number), "PNG"))
    for number in range(MANY_SCANS):
        data = stored(scene(1600, 1600 + number), "JPEG", progressive=True)
        scan = data[data.rindex(b"\xff\xda") : -2]
        (folder / f"scans{number}.jpg").write_bytes(data[:-2] + scan * 300 + data[-2:])
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[Service]:
    good = tmp_path_factory.mktemp("catalogue")
    for path in pictures.glob("good*"):
        (good / path.name).symlink_to(path)
    with running_service(tmp_path_factory.mktemp("service"), good) as running:
        yield running


async def test_poison_pictures_fail_by_name_and_all_others_are_done(
    tmp_path: Path, pictures: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1: a record for each good picture, a failure with its code for each poison one, this night and next."""
    monkeypatch.setenv(KEY_ENV, KEY)
    monkeypatch.setattr(decoder_pool, "PROGRAM", PROGRAM)
    prepare = {"max_side_px": 400, "decode_timeout": "2s"}
    config = load(write_config(tmp_path / "job.toml", pictures, service.endpoint, prepare=prepare))
    for sends in (14, 0):
        report = await run(config)
        assert (report.exit_code, report.traffic.sends, report.tally.failures) == (1, sends, 6)
    records, failures = lines_of(tmp_path / "out" / "insights.jsonl"), lines_of(tmp_path / "out" / "failures.jsonl")
    assert {record["id"] for record in records} == {f"good{number}.png" for number in range(14)}
    assert {failure["image"]: failure["code"] for failure in failures} == {
        **{f"crash{number}.webp": "decoder-died" for number in range(CRASHES)},
        **{f"slow{number}.png": "too-slow" for number in range(SLOW)},
        **{f"scans{number}.jpg": "too-many-scans" for number in range(MANY_SCANS)},
    }
