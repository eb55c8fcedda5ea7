"""Archives of pictures are read in flat memory, without unpacking anything, and never by what they claim."""

from __future__ import annotations

import os
import stat
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ManifestConfig
from pipeline.errors import ConfigError, SourceError, TableError
from pipeline.manifest import Segment, open_manifest
from pipeline.prepare.sources import PictureSources
from pipeline.records import ArchiveMember, Failure, Row
from pipeline.service.engine.catalogue import read_entries
from pipeline.service.findings import CatalogueConfig
from pipeline.tabular.archive import Members
from pipeline.tabular.formats import TableFile
from tests.manifest.test_opening import Known
from tests.packing import Files, write_tar, write_zip

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


WRITERS: dict[str, Callable[[Path, Files], None]] = {
    "m.zip": write_zip,
    "stored.zip": lambda path, files: write_zip(path, files, zipfile.ZIP_STORED),
    "m.tar": write_tar,
    "m.tar.gz": lambda path, files: write_tar(path, files, "w:gz"),
    "m.TGZ": lambda path, files: write_tar(path, files, "w:gz"),
}


def rows_of(path: Path, **config: object) -> tuple[list[Row | Failure], int]:
    """Return the rows of an archive, and how many members are skipped."""
    with open_manifest(ManifestConfig.model_validate({"path": str(path), **config})) as manifest:
        return list(manifest.rows()), manifest.skipped


def read_all(rows: list[Row | Failure], most: int = 1000) -> dict[str | None, bytes]:
    """Read every picture's bytes."""
    sources = PictureSources(most)
    try:
        return {
            row.id: sources.read(row.image)
            for row in rows
            if isinstance(row, Row) and isinstance(row.image, ArchiveMember)
        }
    finally:
        sources.close()


_name = st.from_regex(r"([a-z\u00e4\u0416]{1,4}/){0,2}[a-z\u00e9 ]{1,6}\.(png|JPG)", fullmatch=True)
_files = st.dictionaries(_name, st.binary(min_size=1, max_size=300), max_size=8)


@pytest.mark.parametrize("name", WRITERS)
@given(files=_files)
@settings(max_examples=25, deadline=None)
def test_what_is_packed_is_read(name: str, files: dict[str, bytes]) -> None:
    """Each picture is a row with the archive's own name and bytes, in the archive's order, read forwards and back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        WRITERS[name](path, files)
        rows, skipped = rows_of(path)
        assert [row.id for row in rows] == list(files)
        assert [(row.line, row.ordinal) for row in rows] == [(n + 1, n) for n in range(len(files))]
        assert read_all(rows) == read_all(rows[::-1]) == files
        assert skipped == 0


@pytest.mark.parametrize("name", WRITERS)
def test_members_are_pictures_by_the_rules_of_folders(tmp_path: Path, name: str) -> None:
    """By name or by content; what folders skip is skipped and counted, and raw photographs fail."""
    files = {
        "a.png": PNG, "b.data": PNG, "notes.txt": b"x", "__MACOSX/._a.png": PNG, "d/.hidden.png": PNG,
        "c.png.part": PNG, "@eaDir/a.png": PNG, "e/Thumbs.db": PNG, "f.NEF": PNG, "broken.jpg": b"<html>",
    }  # fmt: skip
    WRITERS[name](tmp_path / name, files)
    rows, skipped = rows_of(tmp_path / name)
    assert [row.id for row in rows] == ["a.png", "b.data", "f.NEF", "broken.jpg"]
    assert [row.code for row in rows if isinstance(row, Failure)] == ["unsupported-format"]
    assert skipped == 6


@pytest.mark.parametrize("name", ["m.zip", "m.tar"])
@pytest.mark.parametrize("member", ["../x.png", "a/../../x.png", "/etc/x.png", "C:\\x.png", "..\\x.png"])
def test_a_name_that_leads_out_fails_by_itself(tmp_path: Path, name: str, member: str) -> None:
    """Nothing is unpacked, so it could do no harm; it is no name for a picture either."""
    WRITERS[name](tmp_path / name, {member: PNG, "b.png": PNG})
    (bad, good), _ = rows_of(tmp_path / name)
    assert isinstance(bad, Failure)
    assert (bad.code, good.id) == ("outside-root", "b.png")


def test_links_and_devices_are_skipped(tmp_path: Path) -> None:
    """A link is no picture, wherever it leads."""
    with tarfile.open(tmp_path / "m.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("link.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    info_zip = zipfile.ZipInfo("link.png")
    info_zip.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as packed:
        packed.writestr(info_zip, "/etc/passwd")
        packed.mkdir("folder.png")
    assert rows_of(tmp_path / "m.tar") == ([], 5)
    assert rows_of(tmp_path / "m.zip") == ([], 2)


@pytest.mark.parametrize("name", WRITERS)
def test_a_bomb_is_read_up_to_the_limit(tmp_path: Path, name: str) -> None:
    """A member larger than a picture may be fails by its size, however small it is packed."""
    WRITERS[name](tmp_path / name, {"bomb.png": bytes(50_000_000), "b.png": PNG})
    (bomb, good), _ = rows_of(tmp_path / name)
    tracemalloc.start()
    with pytest.raises(SourceError) as raised:
        read_all([bomb])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert raised.value.code == "too-large"
    assert peak < 2_000_000
    assert read_all([good]) == {"b.png": PNG}


def test_a_gzip_bomb_ends_the_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed archive that claims to be far larger than itself is not unpacked to see."""
    monkeypatch.setattr("pipeline.tabular.archive._ALWAYS_ALLOWED", 1000)
    write_tar(tmp_path / "m.tar.gz", {"a.png": PNG, "bomb.png": bytes(20_000_000)}, "w:gz")
    with pytest.raises(TableError, match="after member 1: it unpacks to more than 100 times its size"):
        rows_of(tmp_path / "m.tar.gz")


def test_a_size_that_lies_is_found_out(tmp_path: Path) -> None:
    """The directory says 10 bytes, the data are a million: what comes out is checked against its sum."""
    write_zip(tmp_path / "m.zip", {"a.png": bytes(1_000_000)})
    data = bytearray((tmp_path / "m.zip").read_bytes())
    place = data.index(b"PK\1\2")
    struct.pack_into("<L", data, place + 24, 10)
    (tmp_path / "m.zip").write_bytes(data)
    rows, _ = rows_of(tmp_path / "m.zip")
    with pytest.raises(SourceError) as raised:
        read_all(rows)
    assert raised.value.code == "unreadable"


def test_damage_costs_its_own_member(tmp_path: Path) -> None:
    """A zip knows the sum of each file; one whose bytes are not what was packed fails, the others are read."""
    write_zip(tmp_path / "m.zip", {"a.png": PNG + os.urandom(100), "b.png": PNG}, zipfile.ZIP_STORED)
    data = bytearray((tmp_path / "m.zip").read_bytes())
    data[60] ^= 0xFF
    (tmp_path / "m.zip").write_bytes(data)
    (bad, good), _ = rows_of(tmp_path / "m.zip")
    with pytest.raises(SourceError, match=r"a\.png: it can't be read from the archive"):
        read_all([bad])
    assert read_all([good]) == {"b.png": PNG}


def test_encrypted_members_fail(tmp_path: Path) -> None:
    """There is no setting for a password."""
    write_zip(tmp_path / "m.zip", {"a.png": PNG})
    data = bytearray((tmp_path / "m.zip").read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "m.zip").write_bytes(data)
    ((bad,), _) = rows_of(tmp_path / "m.zip")
    assert isinstance(bad, Failure)
    assert (bad.code, bad.message) == ("unreadable", "archive: 'a.png' is encrypted")


@pytest.mark.parametrize("name", WRITERS)
def test_an_archive_that_is_cut_off_says_where(tmp_path: Path, name: str) -> None:
    """A zip without its directory can't be read at all; a tar is read up to the cut."""
    WRITERS[name](tmp_path / name, {f"{number}.png": os.urandom(3000) for number in range(20)})
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    ids: list[str | None] = []
    with pytest.raises(TableError) as raised, open_manifest(ManifestConfig(path=str(tmp_path / name))) as manifest:
        ids.extend(row.id for row in manifest.rows())
    if name.endswith("zip"):  # its directory is at its end
        assert "manifest.path: " in str(raised.value)
        assert not ids
    else:
        assert f"can't be read on after member {len(ids)}" in str(raised.value)
        assert len(ids) > 5
    assert ids == [f"{number}.png" for number in range(len(ids))]


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\3\4 and more", os.urandom(3000)])
@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_what_is_no_archive_ends_as_one_sentence(tmp_path: Path, data: bytes, suffix: str) -> None:
    """It is refused when it is opened, before any call."""
    (tmp_path / f"m.{suffix}").write_bytes(data)
    with pytest.raises(TableError, match="can't be read: "):
        open_manifest(ManifestConfig(path=str(tmp_path / f"m.{suffix}")))


def test_an_empty_archive_has_no_rows(tmp_path: Path) -> None:
    """It is one all the same."""
    (tmp_path / "m.zip").write_bytes(b"PK\5\6" + bytes(18))
    assert rows_of(tmp_path / "m.zip") == ([], 0)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_no_damage_to_a_zip_ends_in_another_error(data: st.DataObject) -> None:
    """Whatever bytes change: rows, failures, or one sentence; never a wrong picture."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.zip")
        files = {"a.png": PNG + b"a" * 50, "b/c.png": PNG + b"c" * 50}
        write_zip(path, files)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            rows, _ = rows_of(path)
        except TableError:
            return
        for row in rows:
            try:
                (picture,) = read_all([row]).values() or [PNG]
            except SourceError:
                continue
            assert picture.startswith(PNG)


def test_an_archive_behind_other_bytes_and_one_of_many_are_read(tmp_path: Path) -> None:
    """A self-extracting archive has a program before it; 65,536 files need the large form of the directory."""
    files = {f"{number:05}.png": b"x" for number in range(66_000)}
    write_zip(tmp_path / "m.zip", files, zipfile.ZIP_STORED)
    with_program = b"#!/bin/sh\n" * 100 + (tmp_path / "m.zip").read_bytes()
    (tmp_path / "p.zip").write_bytes(with_program)
    for name, form in (("m.zip", "auto"), ("p.zip", "zip")):
        rows, _ = rows_of(tmp_path / name, format=form)
        assert [row.id for row in rows] == list(files)
        assert read_all(rows[-1:]) == {"65999.png": b"x"}


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Ten times the members take no more memory."""
    for name in ("m.zip", "m.tar.gz"):
        peaks = []
        for count in (2000, 10_000):
            WRITERS[name](tmp_path / name, {f"{number}.png": b"x" for number in range(count)})
            members = Members(TableFile(path=str(tmp_path / name), section="manifest"))
            tracemalloc.start()
            assert sum(1 for _ in members.lines()) == count
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            members.close()
        assert peaks[1] < peaks[0] * 1.2


@pytest.mark.parametrize("name", ["m.zip", "m.tar", "m.tar.gz"])
def test_a_picture_that_changes_in_its_archive_is_noticed(tmp_path: Path, name: str) -> None:
    """Its stamp is another one, and so is the digest of its lines; in a zip those of the others stay."""

    def read(files: Files) -> tuple[dict[str | None, bytes], bytes]:
        WRITERS[name](tmp_path / name, files)
        with open_manifest(ManifestConfig(path=str(tmp_path / name))) as manifest:
            segment: Segment[Known] = manifest.segments()[0]
        rows = [item for item in segment.items() if isinstance(item, Row)]
        return {row.id: row.image.stamp for row in rows if isinstance(row.image, ArchiveMember)}, segment.digest

    before, digest = read({"a.png": b"one", "b.png": b"xxx"})
    after, changed = read({"a.png": b"two", "b.png": b"xxx"})
    assert digest != changed
    assert before["a.png"] != after["a.png"]
    assert (before["b.png"] == after["b.png"]) == (name == "m.zip")


def test_settings_of_tables_and_the_service_are_refused(tmp_path: Path) -> None:
    """An archive has no columns; the embedded service says that it can't read one."""
    write_zip(tmp_path / "m.zip", {"a.png": PNG})
    with pytest.raises(ConfigError, match=r"manifest\.carry: a manifest of the format archive has none"):
        rows_of(tmp_path / "m.zip", carry=("title",))
    with pytest.raises(TableError, match=r"the service can't read the archive .*m\.zip; unpack it"):
        list(read_entries(CatalogueConfig(path=tmp_path / "m.zip")))
