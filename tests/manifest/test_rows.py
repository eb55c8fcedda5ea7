"""What is wrong with a line fails that row alone, by code and line number."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from pipeline.config import ManifestConfig
from pipeline.errors import LineError
from pipeline.manifest import open_manifest
from pipeline.manifest.rows import read_crop
from pipeline.records import Crop, Failure, LocalFile, Row
from pipeline.tabular.cells import MAX_ID_CHARS
from pipeline.tabular.decoding import MAX_LINE_CHARS


def rows_of(path: Path) -> list[Row | Failure]:
    with open_manifest(ManifestConfig(path=str(path))) as manifest:
        return list(manifest.rows())


def _code(row: Row | Failure) -> str:
    return row.code if isinstance(row, Failure) else "ok"


BAD_TABLE_LINES = {
    "too few fields": (b"1", "bad-line"),
    "too many fields": (b"1,a.jpg,0,0,1,1", "bad-line"),
    "stray quote": (b'1,"a".jpg,', "bad-line"),
    "quote left open": (b'1,"a.jpg,', "bad-line"),
    "NUL": (b"1,a\0.jpg,", "bad-line"),
    "over-long line": (b"1,a.jpg" + b",x" * MAX_LINE_CHARS, "bad-line"),
    "another encoding": ("1,чай.jpg,".encode("cp1251"), "bad-encoding"),
    "empty id": (b" ,a.jpg,", "empty-id"),
    "over-long id": (b"i" * (MAX_ID_CHARS + 1) + b",a.jpg,", "bad-id"),
    "control character in the id": (b"a\x07b,a.jpg,", "bad-id"),
    "no image": (b"1, ,", "missing-image"),
    "control character in the image": (b"1,a\x1b.jpg,", "bad-image"),
    "file URL": (b"1,file:///etc/passwd,", "outside-root"),
    "file URL without slashes": (b"1,file:/etc/passwd,", "unsupported-scheme"),
    "file URL of a host": (b"1,file://host/etc/passwd,", "unsupported-scheme"),
    "FTP": (b"1,ftp://example.org/a.jpg,", "unsupported-scheme"),
    "SFTP": (b"1,SFTP://host/a.jpg,", "unsupported-scheme"),
    "data URL": (b"1,data:image/png;base64;AAAA,", "unsupported-scheme"),
    "URL without host": (b"1,http:///a.jpg,", "bad-url"),
    "URL with a blank": (b"1,https://example.org/a b.jpg,", "bad-url"),
    "URL without slashes": (b"1,https:example.org/a.jpg,", "bad-url"),
    "empty token": (b"1,token:,", "bad-token"),
    "token with a blank": (b"1,token:a b,", "bad-token"),
    "absolute path": (b"1,/etc/passwd,", "outside-root"),
    "network share": (b"1,\\\\host\\share\\a.jpg,", "outside-root"),
    "drive letter": (b"1,C:\\a.jpg,", "outside-root"),
    "raw photograph": (b"1,a.NEF,", "unsupported-format"),
    "parent": (b"1,../a.jpg,", "outside-root"),
    "parent further down": (b"1,b/../../a.jpg,", "outside-root"),
    "parent, as Windows writes it": (b"1,b\\..\\..\\a.jpg,", "outside-root"),
    "crop of three": (b'1,a.jpg,"0,0,1"', "bad-crop"),
}


@pytest.mark.parametrize(("line", "code"), BAD_TABLE_LINES.values(), ids=BAD_TABLE_LINES.keys())
def test_a_bad_line_of_a_table_fails_alone(tmp_path: Path, line: bytes, code: str) -> None:
    """Whatever is wrong with a line, the rows around it come out whole, and the failure names the line."""
    path = tmp_path / "m.csv"
    path.write_bytes(b"id,image,crop\nbefore,a.jpg,\n" + line + b"\n\nafter,b.jpg,\n")
    before, bad, after = rows_of(path)
    assert (_code(before), before.id, before.line) == ("ok", "before", 2)
    assert (_code(after), after.id, after.line, after.ordinal) == ("ok", "after", 5, 2)
    assert isinstance(bad, Failure)
    assert (bad.code, bad.stage, bad.line, bad.ordinal) == (code, "manifest", 3, 1)
    assert bad.message.startswith("line 3: ")
    assert len(bad.message) < 500
    orjson.dumps(bad)


BAD_JSON_LINES = {
    "no JSON": (b"{", "bad-line"),
    "no object": (b'["a.jpg"]', "bad-line"),
    "NaN": (b'{"image": NaN}', "bad-line"),
    "half a surrogate": (b'{"image": "\\ud800.jpg"}', "bad-line"),
    "deep": (b"[" * 100_000, "bad-line"),
    "another encoding": ('{"image": "чай.jpg"}'.encode("cp1251"), "bad-encoding"),
    "no image": (b'{"id": "1"}', "missing-image"),
    "an image that is a number": (b'{"id": "1", "image": 5}', "bad-value"),
    "an id that is a list": (b'{"id": ["1"], "image": "a.jpg"}', "bad-value"),
    "an id that is null": (b'{"id": null, "image": "a.jpg"}', "empty-id"),
    "a market that is a number": (b'{"image": "a.jpg", "market": 1}', "bad-value"),
    "an escaped control character": (b'{"image": "a\\u0000.jpg"}', "bad-image"),
    "an empty crop": (b'{"image": "a.jpg", "crop": []}', "bad-crop"),
}


@pytest.mark.parametrize(("line", "code"), BAD_JSON_LINES.values(), ids=BAD_JSON_LINES.keys())
def test_a_bad_json_line_fails_alone(tmp_path: Path, line: bytes, code: str) -> None:
    """Every way a JSON line can be wrong is a failure of that line."""
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"image": "a.jpg"}\n' + line + b'\n{"image": "b.jpg"}')
    rows = rows_of(path)
    assert [(_code(row), row.line) for row in rows] == [("ok", 1), (code, 2), ("ok", 3)]
    orjson.dumps(rows[1])


def test_bad_lines_of_a_text_manifest_fail_alone(tmp_path: Path) -> None:
    """Text manifests have the same rules, one image a line."""
    path = tmp_path / "m.txt"
    path.write_bytes("a.jpg\nщи.jpg\n".encode("cp1251") + b"x" * MAX_LINE_CHARS + b"\n\n../b.jpg\nc.jpg")
    assert [(_code(row), row.line) for row in rows_of(path)] == [
        ("ok", 1),
        ("bad-encoding", 2),
        ("bad-line", 3),
        ("outside-root", 5),
        ("ok", 6),
    ]


def test_an_open_quote_costs_no_row_behind_it(tmp_path: Path) -> None:
    """A quote that is never closed would swallow the file; only its own line fails, wherever the reader gives up."""
    path = tmp_path / "m.csv"
    tail = "".join(f"{number},{number}.jpg\n" for number in range(15_000))
    path.write_text(f'id,image\nx,"open.jpg\n{tail}')
    rows = rows_of(path)
    assert [_code(row) for row in rows[:2]] == ["bad-line", "ok"]
    assert [row.id for row in rows[1:]] == [str(number) for number in range(15_000)]
    assert [row.line for row in rows] == list(range(2, 15_003))


def test_a_failure_shows_its_row(tmp_path: Path) -> None:
    """The failure carries the id and the image as written, so that the row can be found without the manifest."""
    path = tmp_path / "m.csv"
    path.write_text("id,image\nsku-1,/etc/passwd\n")
    (failure,) = rows_of(path)
    assert isinstance(failure, Failure)
    assert (failure.id, failure.image) == ("sku-1", "/etc/passwd")
    assert "the setting `root`" in failure.message


@pytest.mark.parametrize(
    "value",
    ["0.1,0.2,0.9,1", " 0.1, 0.2 ,0.9,1.0 ", [0.1, 0.2, 0.9, 1], '{"left":0.1,"top":0.2,"right":0.9,"bottom":1}'],
    ids=["text", "text with blanks", "list", "JSON in text"],
)
def test_a_crop_is_read_in_every_form(value: object) -> None:
    """Text, lists and objects say the same crop."""
    assert read_crop(value) == Crop(left=0.1, top=0.2, right=0.9, bottom=1)


@pytest.mark.parametrize(
    "value",
    [
        "0,0,1",
        "0;0;1;1",
        "a,0,1,1",
        "nan,0,1,1",
        "0,0,inf,1",
        "0,0,1.01,1",
        "-0.1,0,1,1",
        "0.5,0,0.5,1",
        "0,0.5,1,0.5",
        "0,0.9,1,0.1",
        [0, 0, 1, True],
        [0, 0, 1, 10**400],
        [0, 0, 1, None],
        {"left": 0, "top": 0, "right": 1},
        {"left": 0, "top": 0, "right": 1, "bottom": 1, "extra": 1},
        "{broken",
        5,
    ],
    ids=repr,
)
def test_a_crop_that_is_no_region_is_refused(value: object) -> None:
    """Four finite fractions in order, or nothing."""
    with pytest.raises(LineError) as raised:
        read_crop(value)
    assert raised.value.code == "bad-crop"


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Make a root with links that stay inside, and links that lead out."""
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "real" / "a.jpg").touch()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.jpg").touch()
    (tmp_path / "root-too").mkdir()
    (root / "inside.jpg").symlink_to("real/a.jpg")
    (root / "outside.jpg").symlink_to("../secret/s.jpg")
    (root / "twice.jpg").symlink_to("outside.jpg")
    (root / "in").symlink_to("real")
    (root / "out").symlink_to("../secret")
    (root / "near").symlink_to("../root-too")
    (root / "loop.jpg").symlink_to("loop.jpg")
    return root


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("real/a.jpg", "ok"),
        ("inside.jpg", "ok"),
        ("in/a.jpg", "ok"),
        ("./real//a.jpg", "ok"),
        ("missing/x.jpg", "ok"),
        ("loop.jpg", "ok"),
        ("outside.jpg", "outside-root"),
        ("twice.jpg", "outside-root"),
        ("out/s.jpg", "outside-root"),
        ("out/missing.jpg", "outside-root"),
        ("near/x.jpg", "outside-root"),
        ("out", "outside-root"),
    ],
)
def test_links_may_not_lead_out_of_the_root(linked: Path, name: str, code: str) -> None:
    """A path that leaves the root through a link is refused; what is merely missing is for the next stage to say."""
    manifest = linked / "m.txt"
    manifest.write_text(name)
    (row,) = rows_of(manifest)
    assert _code(row) == code
    if isinstance(row, Row) and isinstance(row.image, LocalFile):
        assert Path(row.image.path).is_relative_to(linked.resolve())
        assert row.image.name == name
