"""Builds of an index: incremental, resumable, atomic, one at a time."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import ServiceError
from pipeline.service.engine import build, index
from pipeline.service.engine.analysis import Analysis
from pipeline.service.engine.build import build_index
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import CatalogueEngine, open_engine
from pipeline.service.engine.index import CatalogueIndex, open_current
from pipeline.service.findings import CatalogueConfig
from tests.service.engine.drawing import draw, encode, fill


@pytest.fixture
def analysed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the size of each picture that is analysed."""
    sizes: list[int] = []
    analyse = Decoders.analyse

    def counted(decoders: Decoders, picture: bytes) -> Analysis:
        sizes.append(len(picture))
        return analyse(decoders, picture)

    monkeypatch.setattr(Decoders, "analyse", counted)
    return sizes


def arrays(index: CatalogueIndex) -> tuple[bytes, bytes, bytes]:
    return index.hashes.tobytes(), index.descriptors.tobytes(), index.thumbs.tobytes()


def test_progress_counts_every_row(tmp_path: Path) -> None:
    """Each step of a build is reported: rows that are counted, then those that are done, then their arrays."""
    reported: list[tuple[int, int]] = []
    build_index(
        CatalogueConfig(path=fill(tmp_path / "pictures", 5)), tmp_path / "index", lambda *step: reported.append(step)
    )
    assert reported == [*((0, n) for n in range(1, 6)), *((n, 5) for n in range(1, 6)), *[(5, 5)] * 5]


def test_an_unchanged_catalogue_is_not_indexed_again(tmp_path: Path, analysed: list[int]) -> None:
    """The second build counts the rows and opens the first one's index: no picture is opened."""
    config, reported = CatalogueConfig(path=fill(tmp_path / "pictures", 4)), []
    first = build_index(config, tmp_path / "index")
    second = build_index(config, tmp_path / "index", lambda *step: reported.append(step))
    assert (second.folder, reported, len(analysed)) == (first.folder, [(0, n) for n in range(1, 5)], 4)


def test_only_new_content_is_analysed(tmp_path: Path, analysed: list[int]) -> None:
    """Of one added, one changed, one renamed and one touched file, two pictures are analysed."""
    folder = fill(tmp_path / "pictures", 4)
    before = build_index(CatalogueConfig(path=folder), tmp_path / "index")
    fill(folder, 1, first=10)
    draw(20).save(folder / "000.png")
    (folder / "001.png").rename(folder / "renamed.png")
    os.utime(folder / "002.png", (1, 1))
    analysed.clear()
    after = build_index(CatalogueConfig(path=folder), tmp_path / "index")
    assert len(analysed) == 2
    assert after.count == 5
    assert after.meta["version"] != before.meta["version"]
    assert arrays(after) == arrays(build_index(CatalogueConfig(path=folder), tmp_path / "fresh"))


def test_a_picture_under_many_ids_is_kept_once(tmp_path: Path, analysed: list[int]) -> None:
    """Rows of one content share one slot, and each keeps its own token."""
    (tmp_path / "a.png").write_bytes(encode(draw(1), "PNG"))
    (tmp_path / "list.jsonl").write_text("".join(json.dumps({"id": n, "image": "a.png"}) + "\n" for n in range(3)))
    index = build_index(CatalogueConfig(path=tmp_path / "list.jsonl"), tmp_path / "index")
    assert (index.count, len(index.hashes)) == (3, 1)
    assert len({item.token for item in index.rows()}) == 3


def test_equal_catalogues_have_equal_versions(tmp_path: Path) -> None:
    """The version depends on rows and content, not on times or places."""
    versions = {
        build_index(CatalogueConfig(path=fill(tmp_path / name, 3)), tmp_path / f"index-{name}").meta["version"]
        for name in ("here", "there")
    }
    assert len(versions) == 1


KILLED = """
import os, sys
from pathlib import Path
from pipeline.service.engine.analysis import Analysis
from pipeline.service.engine.build import build_index
from pipeline.service.findings import CatalogueConfig


def die(done, total):
    if done == 50:
        os._exit(9)


build_index(CatalogueConfig(path=Path(sys.argv[1])), Path(sys.argv[2]), die)
"""


def test_a_killed_build_goes_on_where_it_was(tmp_path: Path, analysed: list[int]) -> None:
    """A build that dies at row 50 of 60 keeps its work: the next one analyses only the rest."""
    folder, index_dir = fill(tmp_path / "pictures", 60), tmp_path / "index"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(index_dir)], check=False)
    assert killed.returncode == 9
    assert open_current(index_dir) is None
    resumed = build_index(CatalogueConfig(path=folder), index_dir)
    assert resumed.count == len(resumed.hashes) == 60
    assert len(analysed) <= 60 - build.COMMIT_EVERY
    assert sorted(path.name.split("-")[0] for path in index_dir.iterdir()) == [
        "current",
        "generation",
        "lock",
        "skipped.jsonl",
    ]


def test_open_engines_continue_while_the_index_is_replaced(tmp_path: Path, decoders: Decoders) -> None:
    """An engine that was opened before a rebuild gives the same findings, from its own generation."""
    folder, index_dir = fill(tmp_path / "pictures", 4), tmp_path / "index"
    reader, query = open_engine(CatalogueConfig(path=folder), index_dir, decoders), encode(draw(2), quality=90)
    before = reader.inspect(query)
    (folder / "002.png").unlink()
    fresh = open_engine(CatalogueConfig(path=folder), index_dir, decoders)
    assert [match.item.id for match in before.same] == ["002.png"]
    assert reader.inspect(query) == before
    assert fresh.inspect(query).same == ()


def test_a_released_index_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of the arrays can be released at any time: the next read gives the same values."""
    built = build_index(CatalogueConfig(path=fill(tmp_path / "pictures", 4)), tmp_path / "index")
    before = arrays(built)
    built.release()
    assert arrays(built) == before
    monkeypatch.setattr(index, "RELEASE_THUMBS_EVERY", 2)
    assert b"".join(built.thumb(slot).tobytes() for slot in range(4)) == before[2]


def test_two_builders_of_one_folder_take_turns(tmp_path: Path, analysed: list[int]) -> None:
    """Of several builders at the same time, one does the work and the others use its index."""
    config = CatalogueConfig(path=fill(tmp_path / "pictures", 12))
    with ThreadPoolExecutor(3) as pool:
        built = list(pool.map(lambda _: build_index(config, tmp_path / "index"), range(3)))
    assert len({index.folder for index in built}) == 1
    assert len(analysed) == 12


@pytest.mark.parametrize("damage", ["current", "catalogue.db", "descriptors.npy"])
def test_a_damaged_index_is_rebuilt(tmp_path: Path, damage: str) -> None:
    """An index with garbage in one of its files is built again."""
    config, index_dir = CatalogueConfig(path=fill(tmp_path / "pictures", 3)), tmp_path / "index"
    first = build_index(config, index_dir)
    target = index_dir / damage if damage == "current" else first.folder / damage
    target.write_bytes(b"garbage")
    assert build_index(config, index_dir).count == 3


def test_an_index_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    """A file in the place of the index folder raises a ServiceError with its name."""
    (tmp_path / "index").write_text("in the way")
    with pytest.raises(ServiceError, match="index"):
        build_index(CatalogueConfig(path=fill(tmp_path / "pictures", 1)), tmp_path / "index")


def test_skipped_rows_are_named(tmp_path: Path) -> None:
    """Rows without a usable picture are listed with line, id and reason; the others are indexed."""
    draw(1).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    table = "id,image\n1,good.png\n2,bad.png\n3,missing.png\n4,../outside.png\n1,good.png\n5,\n"
    (tmp_path / "list.csv").write_text(table)
    index = build_index(CatalogueConfig(path=tmp_path / "list.csv"), tmp_path / "index")
    named = [json.loads(line) for line in (tmp_path / "index" / "skipped.jsonl").read_text().splitlines()]
    assert [(row["line"], row["id"]) for row in named] == [(3, "2"), (4, "3"), (5, "4"), (6, "1"), (7, "5")]
    assert all(row["reason"] for row in named)
    assert (index.count, index.skipped, len(index.hashes)) == (5, 5, 1)


def test_lines_that_are_no_rows_are_named_each_with_its_reason(tmp_path: Path) -> None:
    """They are in no answer, have no id that others could take, and don't end the catalogue."""
    draw(1).save(tmp_path / "good.png")
    (tmp_path / "list.csv").write_bytes(b'id,image\n1\n2,"good".png\n3,k\x81se.png\n ,good.png\n5,good.png\n')
    index = build_index(CatalogueConfig(path=tmp_path / "list.csv"), tmp_path / "index")
    named = [json.loads(line) for line in (tmp_path / "index" / "skipped.jsonl").read_text().splitlines()]
    reasons = ("has 1 field,", "no row of a table", "not UTF-8", "'id' is empty")
    assert [(row["line"], row["id"]) for row in named] == [(line, "") for line in (2, 3, 4, 5)]
    assert all(reason in row["reason"] for reason, row in zip(reasons, named, strict=True))
    assert [item.id for item in index.rows()] == ["5"]


def test_a_catalogue_that_is_cut_off_is_served_up_to_the_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The rows before the cut are indexed; skipped.jsonl and the log say what is missing, at every start."""
    draw(1).save(tmp_path / "good.png")
    rows = "".join(f"{number},good.png,{number * 7919 % 10007:x}\n" for number in range(400))
    (tmp_path / "list.csv.gz").write_bytes(gzip.compress(f"id,image,title\n{rows}".encode())[:-300])
    for _ in range(2):
        caplog.clear()
        index = build_index(CatalogueConfig(path=tmp_path / "list.csv.gz"), tmp_path / "index")
        assert ["can't be read on after line" in record.getMessage() for record in caplog.records] == [True]
    assert 50 < index.count < 400
    (named,) = [json.loads(line) for line in (tmp_path / "index" / "skipped.jsonl").read_text().splitlines()]
    assert named["line"] == index.count + 2
    assert "can't be read on" in named["reason"]


def test_an_empty_catalogue_answers(tmp_path: Path, decoders: Decoders) -> None:
    """Without any row the engine still returns colours and size."""
    (tmp_path / "empty").mkdir()
    engine = open_engine(CatalogueConfig(path=tmp_path / "empty"), tmp_path / "index", decoders)
    assert isinstance(engine, CatalogueEngine)
    findings = engine.inspect(encode(draw(3)))
    assert (engine.count, findings.same, findings.similar, list(engine.items())) == (0, (), (), [])
