"""What a table's first bytes and lines say about how it is written, and what they can't say."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ManifestConfig
from pipeline.manifest import open_manifest
from pipeline.records import Failure, Row, image_name
from pipeline.tabular.detection import DELIMITERS, excel_delimiter, find_encoding

# Sentences of catalogues, by the code page that their country's spreadsheets write.
TEXTS = {
    "cp1252": [
        "Café crème, 3 €",
        "Müßiggang – „größer“",  # noqa: RUF001 - what people write
        "Niño’s piñata ½ l",  # noqa: RUF001 - likewise
        "Ærø, smørrebrød",
        "m² und 20 °C",
        "Käse äöüß",
    ],
    "cp1251": ["Кружка синяя", "чай"],
    "cp1250": ["Kubek z łyżką", "červený hrnek, bílý", "mają żółte"],
    "cp1253": ["μπλε κούπα"],
    "cp1254": ["Türk kahvesi fincanı, ışık"],  # noqa: RUF001 - likewise
    "shift_jis": ["青いマグカップ", "花瓶"],
    "gb18030": ["蓝色马克杯"],
    "cp850": ["Café crème", "größer"],
    "mac_roman": ["Café crème", "Müßig"],
}


@pytest.mark.parametrize(
    ("encoding", "text"), [(encoding, text) for encoding, texts in TEXTS.items() for text in texts]
)
def test_western_windows_text_is_recognised_and_nothing_is_taken_for_it(encoding: str, text: str) -> None:
    """A wrong guess would change names and titles without a word, so other code pages stay unknown."""
    head = f"id,image,title\n1,a.png,{text}\n".encode(encoding)
    assert find_encoding(head) == ("cp1252" if encoding == "cp1252" else "utf-8")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-8", "utf-8-sig"])
@pytest.mark.parametrize("text", ["id,image\n1,ä.png\n", "id", "i"])
def test_unicode_is_recognised_with_and_without_its_mark(encoding: str, text: str) -> None:
    """What is recognised decodes to the same text, but for the mark."""
    data = text.encode(encoding)
    if len(data) > 3:
        assert data.decode(find_encoding(data)).removeprefix("\ufeff") == text


def test_a_character_that_the_head_cuts_is_no_other_encoding() -> None:
    """The head of a file ends anywhere."""
    assert find_encoding("é".encode() * 10 + b"\xc3") == "utf-8"


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [
        ("sep=;\r\n", ";"),
        ("SEP=,\n", ","),
        ('"sep=|"\n', "|"),
        ("sep=\t\n", "\t"),
        ("sep=ab\n", None),
        ("id;image\n", None),
    ],
)
def test_excel_names_the_delimiter_in_a_line_of_its_own(line: str, delimiter: str | None) -> None:
    """The line that Excel writes and reads."""
    assert excel_delimiter(line) == delimiter


def rows_of(path: Path, **config: object) -> tuple[list[Row | Failure], Sequence[str]]:
    """Return the rows of a manifest, and what was found out about it."""
    with open_manifest(ManifestConfig.model_validate({"path": str(path), "carry": ("title",), **config})) as manifest:
        return list(manifest.rows()), manifest.notes


def _written(rows: Sequence[tuple[str, str, str]], delimiter: str, start: str = "") -> str:
    out = io.StringIO(newline="")
    out.write(start)
    csv.writer(out, delimiter=delimiter).writerows([("id", "image", "title"), *rows])
    return out.getvalue()


_title = st.lists(st.sampled_from([*DELIMITERS, "Café", "größer", " ", "'", '"', "\n"]), max_size=8).map("".join)
_rows = st.lists(st.tuples(st.from_regex(r"[a-z]{1,5}", fullmatch=True), _title), min_size=1, max_size=5)


@given(
    rows=_rows,
    delimiter=st.sampled_from(DELIMITERS),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"]),
    suffix=st.sampled_from(["csv", "tsv"]),
    is_marked=st.booleans(),
)
@settings(max_examples=150)
def test_how_a_table_is_written_makes_no_difference(
    rows: list[tuple[str, str]], delimiter: str, encoding: str, suffix: str, is_marked: bool
) -> None:
    """Whatever separates and encodes a table, its rows are what was written."""
    cells = [(f"{number}", f"{name}.png", title) for number, (name, title) in enumerate(rows)]
    text = _written(cells, delimiter, f"sep={delimiter}\r\n" if is_marked else "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"m.{suffix}")
        path.write_bytes(text.encode(encoding))
        read, _ = rows_of(path)
    assert [(row.id, image_name(row.image), row.carry["title"]) for row in read if isinstance(row, Row)] == cells


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        (b"id;image;title\n", "m.csv", "separated by ';' (as its header shows; manifest.delimiter sets it)"),
        (b"id\timage\ttitle\n", "m.csv", "separated by tabs (as its header shows"),
        (b"sep=,\nid,image,title\n", "m.csv", "separated by ',' (as its first line says"),
        ("id,image,title\n".encode("utf-16"), "m.csv", "the encoding is utf-16 (as its first bytes show"),
        (b"id,image,title\n1,a.png,Caf\xe9\n", "m.csv", "the encoding is cp1252 (it is not UTF-8, and reads like"),
    ],
)
def test_what_was_found_out_is_said(tmp_path: Path, data: bytes, name: str, says: str) -> None:
    """Each note names the setting that decides otherwise."""
    (tmp_path / name).write_bytes(data)
    _, (note,) = rows_of(tmp_path / name)
    assert says in note


def test_what_is_usual_is_not_said(tmp_path: Path) -> None:
    """Commas in a csv, tabs in a tsv and UTF-8 are no news, nor is what the settings say."""
    (tmp_path / "m.csv").write_bytes(b"id,image,title\n1,a.png,x\n")
    (tmp_path / "m.tsv").write_bytes(b"id\timage\ttitle\n1\ta.png\tx\n")
    (tmp_path / "s.csv").write_bytes("id;image;title\n1;a.png;é\n".encode("cp1252"))
    assert rows_of(tmp_path / "m.csv")[1] == rows_of(tmp_path / "m.tsv")[1] == ()
    assert rows_of(tmp_path / "s.csv", delimiter=";", encoding="cp1252")[1] == ()


def test_the_settings_decide(tmp_path: Path) -> None:
    """A delimiter and an encoding that are set hold, whatever the file looks like."""
    path = tmp_path / "m.csv"
    path.write_bytes("id%image%title\n1%a.png%чай\n".encode("cp1251"))
    ((row,), notes) = rows_of(path, delimiter="%", encoding="cp1251")
    assert isinstance(row, Row)
    assert (row.carry["title"], notes) == ("чай", ())


def test_a_line_in_another_encoding_names_the_setting(tmp_path: Path) -> None:
    """What can't be told for sure costs its lines only, and the message says what to set."""
    (tmp_path / "m.csv").write_bytes("id,image,title\n1,a.png,чай\n2,b.png,x\n".encode("cp1251"))
    (bad, good), _ = rows_of(tmp_path / "m.csv")
    assert isinstance(bad, Failure)
    assert (bad.code, good.id) == ("bad-encoding", "2")
    assert "the setting `encoding`" in bad.message
