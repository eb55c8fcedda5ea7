"""What is skipped is counted wherever a job says how it stands: check, plan, run, run.json, also in a second run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import orjson
import pytest

from pipeline.commands.check import check
from pipeline.commands.plan import make_plan
from pipeline.commands.retry_failed import retry_failed
from pipeline.config import Config, ManifestConfig
from pipeline.errors import ConfigError, TableError
from pipeline.report.run_json import RUN_FILE
from pipeline.runner.job import run
from pipeline.sink.job_files import FAILURES, INSIGHTS, open_job
from tests.packing import write_tar, write_zip
from tests.running import KEY, KEY_ENV, Service, draw, lines_of, load, running_service, write_config

TABLE = (
    "Handle;Position;Pictures;SKU;Title\n"
    "mug;1;p0.png, p1.png;M;Mug\n"
    "mug;2;;M-2;\n"
    "cup;1;p2.png;C;Cup, large\n"
    "cup;2; ;C-2;\n"
    "bad;1;ftp://x/y.png;B;Bad\n"
)
READING = {
    "columns.id": ["Handle", "Position"],
    "columns.image": "Pictures",
    "carry": ["title"],
    "split": ",",
    "skip_without_image": True,
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("pictures")
    draw(folder / "p0.png", 0)
    with running_service(tmp_path_factory.mktemp("service"), folder, "--no-text") as running:
        yield running


@pytest.fixture
def job(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv(KEY_ENV, KEY)
    for number in range(3):
        draw(tmp_path / f"p{number}.png", number)
    (tmp_path / "shop.csv").write_text(TABLE)
    path = write_config(tmp_path / "job.toml", tmp_path / "shop.csv", service.endpoint, manifest=READING)
    return load(path)


def test_what_is_skipped_is_counted_everywhere(job: Config) -> None:
    """check, plan, the run's last line and run.json agree, before and after, and in a run that passes over all rows."""
    said = "\n".join(check(job))
    assert "shop.csv can be read: 4 rows, 2 skipped" in said
    assert "1 row can't be used; the first one: line 6: " in said
    assert "separated by ';'" in said
    assert "skipped           2 " in make_plan(job).text()
    for records in (3, 0):
        report = anyio.run(run, job)
        assert (report.tally.records_written, report.tally.skipped, report.tally.seen) == (records, 2, 4)
        assert "1 failed, 2 skipped, " in report.summary()
    with open_job(Path(job.output.dir)) as opened:
        assert [(each.rows, each.done) for each in opened.state.known_rows.checkpoints(0, 9)] == [(6, 3)]
    written = orjson.loads(Path(job.output.dir, RUN_FILE).read_bytes())
    assert written["rows"]["skipped"] == 2
    assert "skipped           2 " in make_plan(job).text()
    titles = {record["id"]: record["carry"]["title"] for record in lines_of(Path(job.output.dir, INSIGHTS))}
    assert titles == {"cup|1": "Cup, large", "mug|1": "Mug", "mug|1#2": "Mug"}
    assert [failure["id"] for failure in lines_of(Path(job.output.dir, FAILURES))] == ["bad|1"]


def test_a_retry_counts_rows_and_names_codes(job: Config) -> None:
    """One row is one row, and a code that no row has is answered with those that there are."""
    anyio.run(run, job)
    folder = Path(job.output.dir)
    assert (
        retry_failed(folder, "truncated")
        == "no row was marked; the codes of failed rows are: unsupported-scheme (1 row)"
    )
    assert retry_failed(folder, None) == "the next run tries 1 failed row again"


def test_a_manifest_that_is_too_short_ends_every_command_before_a_call(job: Config, service: Service) -> None:
    """check, plan and run end with exit code 2; what the job has stays."""
    anyio.run(run, job)
    before = Path(job.output.dir, INSIGHTS).read_bytes()
    calls = len(service.seen())
    short = job.model_copy(update={"manifest": job.manifest.model_copy(update={"min_rows": 4})})
    for command in (lambda: list(check(short)), lambda: make_plan(short), lambda: anyio.run(run, short)):
        with pytest.raises(TableError, match="has 3 rows that can be done, and there must be 4 at least"):
            command()
    assert (Path(job.output.dir, INSIGHTS).read_bytes(), len(service.seen())) == (before, calls)


def test_a_folder_of_any_names_is_a_job(tmp_path: Path, job: Config) -> None:
    """A name that is not UTF-8 is read and written down as text, and passed over by a second run like any other."""
    folder, odd = tmp_path / "pictures", os.fsdecode(b"k\xe4se.png")
    draw(folder / odd, 1)
    draw(folder / "@eaDir" / "thumb.png", 2)
    (folder / "b.png.part").touch()
    job = job.model_copy(update={"manifest": ManifestConfig(path=str(folder))})
    for records in (1, 0):
        report = anyio.run(run, job)
        assert (report.tally.records_written, report.tally.skipped, report.exit_code) == (records, 2, 0)
    (record,) = lines_of(Path(job.output.dir, INSIGHTS))
    assert (record["id"], record["source"]["path"]) == (r"k\xe4se.png", r"k\xe4se.png")
    with open_job(Path(job.output.dir)) as opened:
        (known,) = opened.state.known_rows.checkpoints(0, 9)
    assert known.has_its_pictures(str(folder.resolve()))


@pytest.mark.parametrize("name", ["pictures.zip", "pictures.tar.gz"])
def test_an_archive_of_pictures_is_a_job(tmp_path: Path, job: Config, name: str) -> None:
    """Its pictures are sent from where they are; only one that changed is sent again."""
    job = job.model_copy(update={"manifest": ManifestConfig(path=str(tmp_path / name))})
    _pack(tmp_path / name, [0, 1, 2, 0])
    plan = make_plan(job)
    assert (plan.rows, plan.to_ask, plan.repeated, plan.skipped) == (4, 3, 1, 1)
    first, second = anyio.run(run, job), anyio.run(run, job)
    assert (first.tally.records_written, first.traffic.sends, first.exit_code) == (4, 3, 0)
    assert (second.tally.done_before, second.tally.skipped, second.traffic.sends) == (4, 1, 0)
    _pack(tmp_path / name, [0, 3, 2, 0])
    plan, third = make_plan(job), anyio.run(run, job)
    assert (plan.to_ask, third.traffic.sends, third.exit_code) == (1, 1, 0)
    records = lines_of(Path(job.output.dir, INSIGHTS))
    assert [record["id"] for record in records if record["source"]["path"] != record["id"]] == []
    assert sorted(record["id"] for record in records) == [f"d/{place}.png" for place in range(4)]


@pytest.mark.parametrize("path", ["memory://shop/pics", "memory://shop/list.csv"])
def test_cloud_storage_holds_a_job(tmp_path: Path, job: Config, path: str) -> None:
    """Its pictures are fetched from there, and one that changed in a folder is sent again."""
    storage = pytest.importorskip("fsspec", reason='the extra "cloud" is not installed').filesystem("memory")
    job = job.model_copy(update={"manifest": ManifestConfig(path=path, root="memory://shop/pics")})
    storage.pipe("/shop/list.csv", b"id,image\np0.png,p0.png\np1.png,memory://shop/pics/p1.png\nnone,none.png\n")
    for number in range(2):
        storage.pipe(f"/shop/pics/p{number}.png", (tmp_path / f"p{number}.png").read_bytes())
    is_folder = path.endswith("pics")
    for calls, missing in ((2, 0 if is_folder else 1), (0, 0)):
        report = anyio.run(run, job)
        assert (report.traffic.sends, report.tally.failed["not-found"]) == (calls, missing)
    sources = {record["id"]: record["source"]["url"] for record in lines_of(Path(job.output.dir, INSIGHTS))}
    assert sources == {name: f"memory://shop/pics/{name}" for name in ("p0.png", "p1.png")}
    storage.pipe("/shop/pics/p1.png", (tmp_path / "p2.png").read_bytes())
    assert anyio.run(run, job).traffic.sends == int(is_folder)
    storage.rm("/shop", recursive=True)


def test_the_embedded_service_says_that_it_reads_no_archive(tmp_path: Path, job: Config) -> None:
    """It is said before anything starts, with the way out."""
    assert job.provider.name == "bing"
    _pack(tmp_path / "m.zip", [0])
    sets = ["provider.name=local", "provider.text=false", "provider.endpoint=", "provider.key_env="]
    path = write_config(tmp_path / "zip.toml", tmp_path / "m.zip", "")
    with pytest.raises(ConfigError, match=r"provider\.catalogue: the embedded service can't read the archive .*m\.zip"):
        list(check(load(path, *sets)))


def _pack(path: Path, numbers: list[int]) -> None:
    """Pack pictures with these numbers, and a file that is none."""
    files = {f"d/{place}.png": draw(path.parent / "drawn.png", n).read_bytes() for place, n in enumerate(numbers)}
    (write_zip if path.suffix == ".zip" else partial(write_tar, mode="w:gz"))(path, files | {"readme": b"x"})


def test_the_embedded_service_reads_its_catalogue_alike(tmp_path: Path, job: Config) -> None:
    """A job whose catalogue is its own manifest passes on how that is read."""
    sets = ["provider.name=local", "provider.text=false", "provider.endpoint=", "provider.key_env="]
    local = load(tmp_path / "job.toml", *sets, f"output.dir={tmp_path / 'local'}")
    report = anyio.run(run, local)
    assert report.tally.records_written == 3, report.summary()
    assert [row["id"] for row in lines_of(tmp_path / "local" / "index" / "skipped.jsonl")] == ["bad|1"]
    assert all(record["status"] == "ok" for record in lines_of(tmp_path / "local" / INSIGHTS))
