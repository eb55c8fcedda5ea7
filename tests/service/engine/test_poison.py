"""A catalogue with poison pictures is indexed: each costs its row, and is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from pipeline.service.engine.build import SKIPPED, build_index
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import open_engine
from pipeline.service.findings import BadPicture, CatalogueConfig
from tests.poison import CRASH, TAKE_MEMORY, acting, acting_decoder, huge_header, many_scans
from tests.service.engine.drawing import fill

POISON = {
    "scans.jpg": (many_scans(1), "more than 200 scans"),
    "crash.png": (acting(2, CRASH), "crashed (SIGSEGV)"),
    "memory.png": (acting(3, TAKE_MEMORY), "not enough memory"),
    "huge.gif": (huge_header(4), "px"),
}


@pytest.fixture
def poisoned(tmp_path: Path) -> Iterator[Path]:
    """Return a folder of four good pictures and all poison, with a decoder that crashes."""
    folder = fill(tmp_path / "pictures", 4)
    for name, (data, _) in POISON.items():
        (folder / name).write_bytes(data)
    with acting_decoder(tmp_path):
        yield folder


def test_poison_costs_its_rows(poisoned: Path, tmp_path: Path) -> None:
    """The index has the others, and skipped.jsonl names each poison picture with its reason."""
    index = build_index(CatalogueConfig(path=poisoned), tmp_path / "index")
    assert (index.count, index.skipped) == (8, 4)
    lines = [orjson.loads(line) for line in (tmp_path / "index" / SKIPPED).read_bytes().splitlines()]
    reasons = {line["image"]: line["reason"] for line in lines}
    assert reasons.keys() == POISON.keys()
    for name, (_, reason) in POISON.items():
        assert reason in reasons[name]
    index.close()


def test_an_upload_that_crashes_its_decoder_costs_one_request(poisoned: Path, tmp_path: Path) -> None:
    """The engine says so, and answers the next one."""
    with Decoders(1) as decoders:
        engine = open_engine(CatalogueConfig(path=poisoned), tmp_path / "index", decoders)
        with pytest.raises(BadPicture, match="crashed"):
            engine.inspect(POISON["crash.png"][0])
        good = next(item for item in engine.items() if item.token)
        assert engine.inspect_token(str(good.token))
