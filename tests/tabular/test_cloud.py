"""Cloud storage holds tables, folders, archives and pictures like a disk; tried with fsspec's memory and local ones."""

from __future__ import annotations

import gzip
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ManifestConfig, load_service_config
from pipeline.errors import ConfigError, SourceError, TableError
from pipeline.manifest import open_manifest
from pipeline.prepare.sources import PictureSources
from pipeline.records import ArchiveMember, CloudFile, Failure, LocalFile, Row
from pipeline.service.engine.catalogue import read_entries
from pipeline.service.findings import CatalogueConfig
from pipeline.tabular import location
from tests.packing import write_tar, write_zip

fsspec = pytest.importorskip("fsspec", reason='the extra "cloud" is not installed')

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


class Store:
    """A bucket that tests fill."""

    def __init__(self, url: str, storage: Any) -> None:
        self.url = url
        self._storage = storage

    def put(self, name: str, data: bytes) -> str:
        """Store a file and return its URL."""
        url = f"{self.url}/{name}"
        path = self._storage._strip_protocol(url)
        self._storage.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._storage.pipe_file(path, data)
        return url


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Give a bucket in memory, and one that is a folder behind fsspec."""
    if request.param == "local":
        monkeypatch.setattr(location, "CLOUD_SCHEMES", {*location.CLOUD_SCHEMES, "local"})
        monkeypatch.setattr("pipeline.tabular.cells.CLOUD_SCHEMES", {*location.CLOUD_SCHEMES, "local"})
        monkeypatch.setattr("pipeline.tabular.cells._STORED", re.compile(r"\w+://.*[^/]"))  # it has no bucket
        yield Store(f"local://{tmp_path}/bucket", fsspec.filesystem("local"))
        return
    storage = fsspec.filesystem("memory")
    yield Store("memory://bucket", storage)
    storage.store.clear()
    storage.pseudo_dirs[:] = [""]


def rows_of(path: str, **config: object) -> tuple[list[Row | Failure], int]:
    """Return the rows of a manifest, and what is skipped."""
    with open_manifest(ManifestConfig.model_validate({"path": path, **config})) as manifest:
        return list(manifest.rows()), manifest.skipped


def urls(rows: list[Row | Failure]) -> list[str]:
    return [row.image.url for row in rows if isinstance(row, Row) and isinstance(row.image, CloudFile)]


def read(row: Row | Failure, most: int = 1000) -> bytes:
    """Read the bytes of a row's picture."""
    assert isinstance(row, Row)
    assert isinstance(row.image, CloudFile | ArchiveMember)
    sources = PictureSources(most)
    try:
        return sources.read(row.image)
    finally:
        sources.close()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_a_table_and_its_pictures_may_be_stored(store: Store, suffix: str) -> None:
    """Relative paths start from the table's own folder there; other addresses are taken as they are."""
    picture = store.put("pics/a.png", PNG)
    table = f"id;image\n1;a.png\n2;{picture}\n3;/a.png\n4;https://x.example/b.png\n".encode()
    path = store.put(f"pics/m.{suffix}", gzip.compress(table) if suffix.endswith("gz") else table)
    rows, _ = rows_of(path)
    assert urls(rows) == [picture] * 3
    assert [row.id for row in rows] == ["1", "2", "3", "4"]
    assert read(rows[0]) == read(rows[1]) == PNG


def test_a_table_here_may_name_pictures_there(store: Store, tmp_path: Path) -> None:
    """By their addresses, or with a root that is stored."""
    picture = store.put("pics/deep/a.png", PNG)
    (tmp_path / "m.txt").write_text(f"{picture}\ndeep/a.png\n")
    rows, _ = rows_of(str(tmp_path / "m.txt"), root=f"{store.url}/pics/")
    assert urls(rows) == [picture, picture]
    assert [row.id for row in rows] == [picture, "deep/a.png"]
    assert read(rows[1]) == PNG


def test_a_table_there_may_have_its_root_here(store: Store, tmp_path: Path) -> None:
    """A root on this machine is one, wherever the table is."""
    (tmp_path / "here").mkdir()
    ((row,), _) = rows_of(store.put("m.txt", b"a.png\n"), root=str(tmp_path / "here"))
    assert isinstance(row, Row)
    assert row.image == LocalFile(path=str(tmp_path.resolve() / "here" / "a.png"), name="a.png")


def test_a_folder_there_is_one_of_pictures(store: Store) -> None:
    """In the order of folders here, by names alone; what is ignored here is skipped there."""
    names = ["b/2.png", "b/1.JPG", "z.png", "c.png", "a/9.webp"]
    for name in [
        *names,
        "x.txt",
        "b/Thumbs.db",
        ".hidden/a.png",
        "@eaDir/a.png",
        "d.png.part",
        "r.NEF",
        "s.cr2",
        "s.jpg",
    ]:
        store.put(f"pics/{name}", PNG)
    rows, skipped = rows_of(f"{store.url}/pics/")
    assert [row.id for row in rows] == ["c.png", "r.NEF", "s.jpg", "z.png", "a/9.webp", "b/1.JPG", "b/2.png"]
    assert [row.code for row in rows if isinstance(row, Failure)] == ["unsupported-format"]
    assert skipped == 6
    assert read(rows[-1]) == PNG
    below, _ = rows_of(f"{store.url}/pics/b", root=f"{store.url}/pics")
    assert [row.id for row in below] == ["b/1.JPG", "b/2.png"]


def test_a_picture_of_a_folder_that_changes_has_another_stamp(store: Store) -> None:
    """So a later run looks at it again."""
    store.put("pics/a.png", PNG)
    ((before,), _) = rows_of(f"{store.url}/pics")
    store.put("pics/a.png", PNG + b"x")
    ((after,), _) = rows_of(f"{store.url}/pics")
    assert isinstance(before, Row)
    assert isinstance(after, Row)
    assert before.image != after.image


@pytest.mark.parametrize("name", ["m.zip", "m.tar", "m.tar.gz"])
def test_an_archive_may_be_stored(store: Store, tmp_path: Path, name: str) -> None:
    """Its members are read where they are."""
    files = {"a.png": PNG, "d/b.png": PNG + b"b"}
    (write_zip(tmp_path / name, files) if name == "m.zip" else write_tar(tmp_path / name, files, f"w:{name[6:]}"))
    rows, _ = rows_of(store.put(name, (tmp_path / name).read_bytes()))
    assert [read(row) for row in rows] == list(files.values())


def test_a_parquet_file_may_be_stored(store: Store) -> None:
    """It is read through the same storage."""
    arrow = pytest.importorskip("pyarrow", reason='the extra "parquet" is not installed')
    parquet = pytest.importorskip("pyarrow.parquet", reason='the extra "parquet" is not installed')
    out = io.BytesIO()
    parquet.write_table(arrow.table({"id": ["1"], "image": ["a.png"]}), out)
    rows, _ = rows_of(store.put("d/m.parquet", out.getvalue()))
    assert urls(rows) == [f"{store.url}/d/a.png"]


def test_a_missing_or_too_large_picture_fails_by_name(store: Store) -> None:
    """No more than the limit and one byte is requested."""
    rows, _ = rows_of(store.put("m.txt", b"none.png\nlarge.png\nempty.png"))
    store.put("large.png", bytes(2000))
    store.put("empty.png", b"")
    codes = []
    for row in rows:
        with pytest.raises(SourceError) as raised:
            read(row)
        codes.append(raised.value.code)
    assert codes == ["not-found", "too-large", "empty"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("../a.png", "outside-root"),
        ("C:\\a.png", "outside-root"),
        ("//share/a.png", "outside-root"),
        ("a.dng", "unsupported-format"),
    ],
)
def test_paths_keep_their_rules_there(store: Store, line: str, code: str) -> None:
    """A bucket has no way out either."""
    ((row,), _) = rows_of(store.put("d/m.txt", line.encode()))
    assert isinstance(row, Failure)
    assert row.code == code


def test_what_is_not_there_is_one_sentence(store: Store) -> None:
    """As with a file of this machine."""
    with pytest.raises(TableError, match=r"manifest\.path: .*none\.csv doesn't exist"):
        rows_of(f"{store.url}/none.csv")
    store.put("pics/a.png", PNG)
    with pytest.raises(TableError, match=r"outside manifest\.root"):
        rows_of(f"{store.url}/pics", root=f"{store.url}/other")


def test_errors_of_a_storage_are_failures_that_may_pass(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library behind it raises; a refusal is one by name."""
    storage = fsspec.filesystem(store.url.partition(":")[0], use_listings_cache=False)
    ((row,), _) = rows_of(store.put("m.txt", b"a.png"))
    for error, expected in (
        (RuntimeError("expired"), ("unreadable", True)),
        (PermissionError("no"), ("forbidden", False)),
    ):

        def fail(*_: object, _error: Exception = error, **__: object) -> bytes:
            raise _error

        monkeypatch.setattr(type(storage), "cat_file", fail)
        with pytest.raises(SourceError) as raised:
            read(row)
        assert (raised.value.code, raised.value.retryable) == expected


def test_without_the_package_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a manifest there, and for each line that names a picture there."""
    monkeypatch.setitem(sys.modules, "fsspec", None)
    location.has_cloud_package.cache_clear()
    try:
        with pytest.raises(TableError, match=r's3://b/m\.csv can\'t be read: .* install the extra "cloud"'):
            rows_of("s3://b/m.csv")
        (tmp_path / "m.txt").write_text("s3://b/a.png\n")
        ((row,), _) = rows_of(str(tmp_path / "m.txt"))
        assert isinstance(row, Failure)
        assert (row.code, 'install the extra "cloud"' in row.message) == ("unsupported-scheme", True)
    finally:
        location.has_cloud_package.cache_clear()


def test_a_storage_without_its_own_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fsspec names the package of each storage."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(TableError, match="Install s3fs"):
        rows_of("s3://bucket/m.csv")


def test_the_embedded_service_reads_this_machine_only(tmp_path: Path) -> None:
    """Its catalogue is refused there; a picture there is a row without one."""
    from pipeline.local.serve import serve_config

    config = load_service_config(None, forced={"catalogue.path": "s3://bucket/m.csv"})
    with pytest.raises(ConfigError, match=r"the service can't read s3://bucket/m\.csv"):
        serve_config(config)
    (tmp_path / "c.csv").write_text("id,image,title\n1,memory://bucket/a.png,Mug\n")
    (entry,) = read_entries(CatalogueConfig(path=tmp_path / "c.csv"))
    assert (entry.fields["id"], entry.file) == ("1", None)
    assert entry.problem == "the picture is in cloud storage, which the service can't read"


def test_a_file_url_is_a_path_of_this_machine(tmp_path: Path) -> None:
    """For a manifest, its root and its pictures, and it may not leave the root either."""
    (tmp_path / "a b.png").write_bytes(PNG)
    (tmp_path / "m.txt").write_text(f"file://{tmp_path}/a%20b.png\nfile:///etc/passwd\n")
    for root in (None, f"file://{tmp_path}"):
        (good, bad), _ = rows_of(f"file://{tmp_path}/m.txt", root=root)
        assert isinstance(good, Row)
        assert isinstance(bad, Failure)
        assert good.image == LocalFile(path=str(tmp_path.resolve() / "a b.png"), name="a b.png")
        assert bad.code == "outside-root"
