"""Every shared picture is prepared, or fails, as expected."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from pipeline.errors import PrepareError
from pipeline.prepare.fit import fit
from pipeline.prepare.fit_rules import FitRules
from pipeline.records import Prepared
from tests.prepare.pictures import HOSTILE, far_apart, opened

RULES = FitRules(max_bytes=1_000_000, max_side_px=1500)
PASSING = ("pass_", "tiny_", "g_anim_small", "e_small_exif6_pass")


@pytest.fixture(scope="module")
def prepared(shared_photos: Path) -> dict[str, Prepared]:
    return {path.name: fit(path.read_bytes(), RULES) for path in sorted((shared_photos / "good").iterdir())}


def test_every_good_picture_ends_inside_the_limits(prepared: dict[str, Prepared], shared_photos: Path) -> None:
    """The result can be decoded and is within 10^6 bytes and 1,500 px; a picture within the limits is unchanged."""
    for name, result in prepared.items():
        original = (shared_photos / "good" / name).read_bytes()
        assert len(result.data) <= 1_000_000, name
        assert opened(result.data).size == (result.width, result.height), name
        assert max(result.width, result.height) <= 1500, name
        assert (result.data == original) == name.startswith(PASSING), name
        assert result.action == ("passed" if name.startswith(PASSING) else "encoded"), name


def test_one_scene_in_three_orientations_is_one_picture(prepared: dict[str, Prepared]) -> None:
    """The same scene, stored in three orientations, comes out the same."""
    first, *others = (opened(prepared[f"e_exif{number}.jpg"].data) for number in (1, 6, 8))
    for other in others:
        assert other.size == first.size
        assert far_apart(first, other) < 3


def test_embedded_profile_is_applied(prepared: dict[str, Prepared], shared_photos: Path) -> None:
    """A profile that swaps colours gives the same result as Pillow's full conversion."""
    with Image.open(shared_photos / "good" / "i_icc_swapped_12mp.jpg") as image:
        profile = ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"]))
        image.draft("RGB", (1500, 1000))
        wanted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    shown = opened(prepared["i_icc_swapped_12mp.jpg"].data)
    assert wanted is not None
    assert far_apart(shown, wanted.resize(shown.size)) < 3
    assert far_apart(shown, image.resize(shown.size)) > 20


def test_sixteen_bit_photo_is_not_white(prepared: dict[str, Prepared]) -> None:
    """The 16-bit grey photo keeps its shades."""
    histogram = opened(prepared["p_gray16_4mp.png"].data).convert("L").histogram()
    assert histogram[255] < sum(histogram) / 10


def test_cmyk_photo_looks_like_its_original(prepared: dict[str, Prepared]) -> None:
    """The CMYK copy of the scene shows the scene, not its negative."""
    cmyk, scene = (opened(prepared[name].data) for name in ("c_cmyk_12mp.jpg", "e_exif1.jpg"))
    assert far_apart(cmyk, scene.resize(cmyk.size)) < 20


@pytest.mark.parametrize(("name", "code"), HOSTILE.items())
def test_hostile_picture_fails_by_name(shared_photos: Path, name: str, code: str) -> None:
    """Each hostile file fails with its code."""
    with pytest.raises(PrepareError) as caught:
        fit((shared_photos / "hostile" / name).read_bytes(), RULES)
    assert caught.value.code == code


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["h12_png_as.jpg", "h14_exif_corrupt.jpg", "h15_icc_garbage.jpg"])
def test_harmless_oddity_comes_out_well(shared_photos: Path, name: str) -> None:
    """A wrong extension, corrupt EXIF and a corrupt profile do no harm."""
    result = fit((shared_photos / "hostile" / name).read_bytes(), RULES)
    assert opened(result.data).size == (result.width, result.height)
