"""Paths in a table lead below its root, however they are written; any other is refused, with a hint where it may go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import LineError
from pipeline.tabular.root import Root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a root with a picture, reached also through a link."""
    (tmp_path / "root" / "m" / "u").mkdir(parents=True)
    (tmp_path / "root" / "m" / "u" / "mug.jpg").touch()
    (tmp_path / "link").symlink_to("root")
    return tmp_path


@pytest.mark.parametrize("given", ["root", "link", "root/", "./root/../link"])
@pytest.mark.parametrize("text", ["{0}/root/m/u/mug.jpg", "m/u/mug.jpg", "/m/u/mug.jpg", "{1}/m/u/mug.jpg"])
def test_a_picture_below_the_root_has_one_name(
    folder: Path, given: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative, absolute (by the real path or as the root is given), or beginning at the root, as shops export it."""
    monkeypatch.chdir(folder)
    root = Root(Path(given), "manifest")
    name = root.name_below(text.format(folder, os.path.abspath(given)))  # noqa: PTH100 - as it is given
    assert (name, root.locate(name)) == ("m/u/mug.jpg", str(folder.resolve() / "root/m/u/mug.jpg"))


def test_an_absolute_path_below_the_root_may_be_missing(folder: Path) -> None:
    """Whether a file is there is for the next stage to say."""
    assert Root(folder / "root", "manifest").name_below(f"{folder}/root/m/none.jpg") == "m/none.jpg"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("/srv/pictures/m/u/mug.jpg", "m/u/mug.jpg"),
        ("C:\\shop\\m\\u\\mug.jpg", "m/u/mug.jpg"),
        ("\\\\server\\share\\m\\u\\mug.jpg", "m/u/mug.jpg"),
        ("//server/share/m/u/mug.jpg", "m/u/mug.jpg"),
        ("/etc/passwd", None),
        ("C:mug.jpg", None),
    ],
)
def test_a_path_from_elsewhere_is_refused_with_a_hint(folder: Path, text: str, hint: str | None) -> None:
    """The message names the root, and the end of the path that is a picture below it."""
    with pytest.raises(LineError) as raised:
        Root(folder / "root", "manifest").name_below(text)
    assert raised.value.code == "outside-root"
    assert f"{folder.resolve()}/root (the setting `root`)" in str(raised.value)
    assert str(raised.value).endswith(f"; did you mean {hint!r}?" if hint else "; write it relative to that")


@pytest.mark.parametrize("text", ["../x.jpg", "/m/../../x.jpg", "m\\..\\..\\x.jpg", "{0}/root/../x.jpg"])
def test_no_path_climbs_out(folder: Path, text: str) -> None:
    """Two dots are refused wherever they are."""
    with pytest.raises(LineError, match=r"contains '\.\.'"):
        Root(folder / "root", "manifest").name_below(text.format(folder))


def test_a_link_out_of_the_root_is_no_way_around(folder: Path) -> None:
    """An absolute path through a link is refused like a relative one."""
    (folder / "secret.jpg").touch()
    (folder / "root" / "out.jpg").symlink_to("../secret.jpg")
    root = Root(folder / "root", "manifest")
    with pytest.raises(LineError, match="leads out of the root"):
        root.locate(root.name_below(f"{folder}/root/out.jpg"))
