"""Reading catalogues: every format, honest columns, no way out of the root."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from pipeline.errors import TableError
from pipeline.service.engine.build import build_index
from pipeline.service.engine.catalogue import read_entries
from pipeline.service.engine.items import host_of, item_from_fields, split_tags
from pipeline.service.engine.picture_files import PictureFiles
from pipeline.service.engine.typed_values import read_number
from pipeline.service.findings import BadPicture, CatalogueConfig, ItemRating, RecipeFacts
from tests.service.engine.drawing import fill

ROWS = [
    {"id": "a", "image": "one.png", "title": "One, or ein\u00adzig"},
    {"id": "b", "image": "two.png", "title": "Zwei"},
]
TABLE = 'id{0}image{0}title\na{0}one.png{0}"One, or ein\u00adzig"\nb{0}two.png{0}Zwei\n'
TEXTS = {
    ".csv": TABLE.format(","),
    ".tsv": TABLE.format("\t"),
    ".jsonl": "".join(json.dumps(row) + "\n\n" for row in ROWS),
}


def zst(data: bytes) -> bytes:
    half = len(data) // 2
    packer = zstandard.ZstdCompressor()
    return packer.compress(data[:half]) + packer.compress(data[half:])


@pytest.mark.parametrize("suffix", TEXTS)
@pytest.mark.parametrize(
    ("ending", "pack"), [("", bytes), (".gz", gzip.compress), (".zst", zst)], ids=["plain", "gz", "zst in two frames"]
)
def test_every_table_format_reads_alike(
    tmp_path: Path, suffix: str, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    """csv, tsv and jsonl, plain or compressed, with a byte order mark, give the same rows."""
    path = tmp_path / f"list{suffix}{ending}"
    path.write_bytes(pack(b"\xef\xbb\xbf" + TEXTS[suffix].encode()))
    entries = list(read_entries(CatalogueConfig(path=path)))
    assert [dict(entry.fields) for entry in entries] == ROWS
    assert [entry.file for entry in entries] == [tmp_path / "one.png", tmp_path / "two.png"]


def test_a_text_file_lists_paths_and_urls(tmp_path: Path) -> None:
    """A line of a .txt is a picture; a URL is kept as where it lies, and no file is opened for it."""
    (tmp_path / "list.txt").write_text("one.png\n\nhttps://example.com/two.jpg\ntoken:abc\n")
    one, two, three = read_entries(CatalogueConfig(path=tmp_path / "list.txt"))
    assert (one.line, two.line, three.line) == (1, 3, 4)
    assert (two.file, two.fields["content_url"], two.problem) == (None, "https://example.com/two.jpg", None)
    assert (three.file, three.problem) == (None, None)


def test_a_folder_is_read_by_content(tmp_path: Path) -> None:
    """Pictures of a folder and its subfolders are rows in a stable order; files that are only named so are rows too."""
    fill(tmp_path / "sub", 1)
    (tmp_path / "z.dat").write_bytes((tmp_path / "sub" / "000.png").read_bytes())
    (tmp_path / "broken.png").write_text("no picture")
    (tmp_path / "readme").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes((tmp_path / "z.dat").read_bytes())
    ids = [entry.fields["id"] for entry in read_entries(CatalogueConfig(path=tmp_path))]
    assert ids == ["broken.png", "z.dat", "sub/000.png"]


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    """The mapping says which column holds a field."""
    (tmp_path / "list.csv").write_text("sku,photo,name\n7,a.png,Seven\n")
    config = CatalogueConfig(path=tmp_path / "list.csv", columns={"id": "sku", "image": "photo", "title": "name"})
    (entry,) = read_entries(config)
    assert dict(entry.fields) == {"id": "7", "image": "a.png", "title": "Seven"}


@pytest.mark.parametrize(
    ("name", "text", "columns", "says"),
    [
        pytest.param("a.csv", "id,photo\n1,a\n", {}, "no column 'image'", id="no image column"),
        pytest.param("a.csv", "id,image\n1,a\n", {"title": "name"}, "no column 'name'", id="mapped column missing"),
        pytest.param(
            "a.csv", "id,image\n1,a\n", {"tytle": "id"}, "unknown catalogue field 'tytle'", id="unknown field"
        ),
        pytest.param("a.xls", "", {}, "no known format", id="unknown kind"),
        pytest.param("a.csv.gz", "not gzip", {}, "can't be read", id="not compressed"),
    ],
)
def test_an_unreadable_catalogue_is_one_error(
    tmp_path: Path, name: str, text: str, columns: dict[str, str], says: str
) -> None:
    """What can't be a catalogue is refused at once, by name."""
    (tmp_path / name).write_text(text)
    with pytest.raises(TableError, match=says):
        list(read_entries(CatalogueConfig(path=tmp_path / name, columns=columns)))


def random_names(count: int) -> list[str]:
    chance = random.Random(7)
    return [f"{chance.randbytes(30).hex()}.png" for _ in range(count)]


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".zst", zst)], ids=["gz", "zst"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "txt"])
def test_a_catalogue_that_is_cut_off_is_read_up_to_the_cut(
    tmp_path: Path, form: str, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    """The whole rows before the cut are rows; the last entry says after which line the file ends."""
    names = random_names(8000)
    header = {"csv": "id,image\n", "jsonl": "", "txt": ""}[form]
    line = {"csv": "{0},{0}\n", "jsonl": '{{"image": "{0}"}}\n', "txt": "{0}\n"}[form]
    packed = pack((header + "".join(map(line.format, names))).encode())
    path = tmp_path / f"list.{form}{ending}"
    path.write_bytes(packed[: len(packed) * 9 // 10])
    *rows, last = read_entries(CatalogueConfig(path=path))
    assert 2000 < len(rows) < 8000
    assert [row.fields["image"] for row in rows] == names[: len(rows)]
    assert not last.is_row
    assert f"after line {len(rows) + bool(header)}" in str(last.problem)


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".zst", zst)], ids=["gz", "zst"])
def test_a_damaged_catalogue_is_read_up_to_the_damage(
    tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    """Bytes that can't be unpacked end the catalogue, as an entry that says so."""
    names = random_names(8000)
    packed = pack("\n".join(names).encode())
    path = tmp_path / f"list.txt{ending}"
    path.write_bytes(packed[: len(packed) * 9 // 10] + b"\xff" * 64 + packed[len(packed) * 9 // 10 + 64 :])
    *rows, last = read_entries(CatalogueConfig(path=path))
    assert [row.fields["image"] for row in rows[:2000]] == names[:2000]
    assert not last.is_row


def test_a_missing_catalogue_is_one_error(tmp_path: Path) -> None:
    """A path that is not there is refused, as a file and as a folder."""
    with pytest.raises(TableError, match=r"none\.csv"):
        list(read_entries(CatalogueConfig(path=tmp_path / "none.csv")))
    with pytest.raises(TableError, match="doesn't exist"):
        list(read_entries(CatalogueConfig(path=tmp_path / "none", format="folder")))


def test_no_path_leads_out_of_the_root(tmp_path: Path) -> None:
    """Parent folders, absolute paths and symlinks that leave the root are named and not opened."""
    (tmp_path / "root").mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "root" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "root" / "list.txt").write_text(f"../secret.png\n{tmp_path}/secret.png\nlink.png\nfine.png\n")
    entries = list(read_entries(CatalogueConfig(path=tmp_path / "root" / "list.txt")))
    assert [entry.file is None and entry.problem is not None for entry in entries] == [True, True, True, False]


def test_a_root_above_a_folder_names_its_rows(tmp_path: Path) -> None:
    """With a root above it, a folder's ids and files are those below that root, as in a manifest."""
    (tmp_path / "2026").mkdir()
    fill(tmp_path / "2026" / "summer", 1)
    (entry,) = read_entries(CatalogueConfig(path=tmp_path / "2026", root=tmp_path))
    assert (entry.fields["id"], entry.file) == ("2026/summer/000.png", tmp_path / "2026" / "summer" / "000.png")


def test_a_root_that_is_no_folder_is_one_error(tmp_path: Path) -> None:
    """Its setting is named; no row is read below it."""
    (tmp_path / "list.txt").write_text("a.png\n")
    with pytest.raises(TableError, match=r"catalogue\.root: .*none is no folder"):
        list(read_entries(CatalogueConfig(path=tmp_path / "list.txt", root=tmp_path / "none")))


def test_a_catalogue_needs_no_id_column(tmp_path: Path) -> None:
    """A column that is named like its field may be missing: a job always names the id and the image of its manifest."""
    (tmp_path / "list.csv").write_text("image,title,title\na.png,first,last\n")
    config = CatalogueConfig(path=tmp_path / "list.csv", columns={"id": "id", "image": "image"})
    (entry,) = read_entries(config)
    assert dict(entry.fields) == {"id": "a.png", "image": "a.png", "title": "last"}


def test_values_of_json_become_text(tmp_path: Path) -> None:
    """Numbers are written out, lists joined, objects and nulls left out."""
    row = {"id": 7, "image": "a.png", "price": 12.5, "tags": ["a", 1], "seller": {"name": "x"}, "title": None}
    (tmp_path / "list.jsonl").write_text(json.dumps(row))
    (entry,) = read_entries(CatalogueConfig(path=tmp_path / "list.jsonl"))
    assert dict(entry.fields) == {"id": "7", "image": "a.png", "price": "12.5", "tags": "a|1"}


def test_an_item_says_what_its_columns_say() -> None:
    """Numbers, tags, rating and recipe columns are read; the site is the page's host."""
    item = item_from_fields(3, {
        "id": "x", "image": "x.png", "page_url": "https://Shop.Example.com/x", "price": "12.50", "currency": "usd",
        "rating": "4.5", "reviews": "12", "tags": "a; b|c, a", "cook_time": "PT20M", "creator": "Ada",
    })  # fmt: skip
    assert (item.number, item.price, item.currency, item.site) == (3, 12.5, "USD", "shop.example.com")
    assert (item.rating, item.tags) == (ItemRating(value=4.5, count=12), ("a", "b", "c"))
    assert item.recipe == RecipeFacts(creator="Ada", cook_time="PT20M")


def test_nothing_is_invented_for_empty_columns() -> None:
    """A bare row has no price, rating, recipe or site."""
    item = item_from_fields(0, {"id": "x", "image": "x.png"})
    assert (item.price, item.rating, item.recipe, item.site, item.tags) == (None, None, None, None, ())


@pytest.mark.parametrize("text", ["", "free", "-3", "nan", "inf", "1,299.00", "$5"])
def test_what_is_no_plain_number_is_no_price(text: str) -> None:
    """A price that has to be guessed at is left out."""
    assert read_number(text) is None


def test_odd_urls_have_no_host() -> None:
    """A URL that can't be parsed has no host, and does no harm."""
    assert host_of("http://[broken") is None
    assert host_of(None) is None
    assert split_tags(" ; ,|") == ()


def test_a_bad_line_spoils_its_own_row_alone(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 and a line that is too long are rows with a problem, and no rows that are served."""
    table = b"id,image\na,a.png\nb\xf7\xe0,b.png\nc," + b"x" * 1_000_000 + b"\nd,d.png\n"
    (tmp_path / "catalogue.csv").write_bytes(table)
    entries = list(read_entries(CatalogueConfig(path=tmp_path / "catalogue.csv")))
    assert [(entry.line, entry.fields["id"], entry.is_row) for entry in entries] == [
        (2, "a", True),
        (3, "", False),
        (4, "", False),
        (5, "d", True),
    ]
    assert [entry.problem is None for entry in entries] == [True, False, False, True]


def test_a_name_that_is_no_text_spoils_its_own_row_alone(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, also behind a link, and links in a circle: the others are served."""
    folder = fill(tmp_path / "pictures", 2)
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/odd\xff.png"))
    odd.write_bytes(next(folder.iterdir()).read_bytes())
    (folder / "link.png").symlink_to(odd)
    (folder / "circle.png").symlink_to("circle.png")
    entries = list(read_entries(CatalogueConfig(path=folder)))
    assert [entry.fields["image"] for entry in entries if entry.problem] == ["link.png", "odd\\xff.png"]
    index = build_index(CatalogueConfig(path=folder), tmp_path / "index")
    assert (index.count, index.skipped) == (5, 3)
    index.close()


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    """Reading one would wait for its other end for ever."""
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadPicture, match="not a regular file"):
        PictureFiles(tmp_path).read(str(tmp_path / "pipe.png"))
    assert list(read_entries(CatalogueConfig(path=tmp_path))) == []
