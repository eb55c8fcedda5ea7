"""The user's own model: checked before it is used, given the input of its config, and decisive for what is similar."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from PIL import Image

from pipeline.errors import ConfigError
from pipeline.service.engine.build import COMMIT_EVERY, build_index
from pipeline.service.engine.color import Floats
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.embedding import open_model
from pipeline.service.engine.engine import CatalogueEngine, open_engine
from pipeline.service.engine.model_input import read_model_input
from pipeline.service.engine.pictures import WHOLE, read_header
from pipeline.service.findings import CatalogueConfig, Engine, ModelConfig
from tests.service.engine.drawing import draw, encode, fill
from tests.service.engine.models import GREY, SIZE, mean_color, tokens_first, two_inputs, whole_input

COLORS = {"red": "#e02020", "orange": "#e07020", "green": "#20c020", "teal": "#20a0a0", "blue": "#2020e0"}
Build = Callable[[CatalogueConfig, Path, ModelConfig | None], CatalogueEngine]


@pytest.fixture
def model(tmp_path: Path) -> ModelConfig:
    return ModelConfig(path=mean_color(tmp_path / "mean.onnx"), size_px=SIZE, mean=GREY, alike_from=0.3)


@pytest.fixture
def colors(tmp_path: Path) -> CatalogueConfig:
    """Write pictures of one colour each, with shapes that have nothing to do with it."""
    folder = tmp_path / "colors"
    folder.mkdir()
    for number, (name, color) in enumerate(COLORS.items()):
        picture = Image.blend(draw(number).convert("L").convert("RGB"), Image.new("RGB", (160, 120), color), 0.75)
        picture.save(folder / f"{name}.png")
    return CatalogueConfig(path=folder)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count the pictures that are analysed and embedded from now on."""
    done = {"analysed": 0, "embedded": 0}

    def count(method: str, name: str) -> None:
        work = getattr(Decoders, method)

        def counted(*arguments: Any) -> Any:
            done[name] += 1
            return work(*arguments)

        monkeypatch.setattr(Decoders, method, counted)

    count("analyse", "analysed")
    count("read_model_input", "embedded")
    return done


@pytest.fixture
def build_with(decoders: Decoders) -> Build:
    """Return a function that indexes a catalogue with a model."""

    def build(catalogue: CatalogueConfig, index_dir: Path, model: ModelConfig | None) -> CatalogueEngine:
        engine = open_engine(catalogue, index_dir, decoders, model=model)
        assert isinstance(engine, CatalogueEngine)
        return engine

    return build


def embed(model: ModelConfig, picture: bytes) -> Floats:
    return open_model(model).embed(read_model_input(read_header(picture), WHOLE, model.size_px, model.resize))


def similar_ids(engine: Engine, color: str) -> list[str]:
    query = encode(Image.new("RGB", (90, 60), color), "PNG")
    return [match.item.id.removesuffix(".png") for match in engine.inspect(query).similar]


def test_the_model_decides_what_is_similar(
    tmp_path: Path, colors: CatalogueConfig, model: ModelConfig, build_with: Build
) -> None:
    """A plain orange picture, which is similar to none by its shapes, gets those of the nearest colours, in order."""
    ids = similar_ids(build_with(colors, tmp_path / "index", model), "#e06020")
    assert ids == ["orange", "red"]
    assert similar_ids(build_with(colors, tmp_path / "plain", None), "#e06020") == []


def test_the_config_sets_the_least_similarity(
    tmp_path: Path, colors: CatalogueConfig, model: ModelConfig, build_with: Build
) -> None:
    """A higher `alike_from` leaves out the farther ones, needs no new embeddings, and gives another version."""
    wide = build_with(colors, tmp_path / "index", model)
    narrow = build_with(colors, tmp_path / "index", replace(model, alike_from=0.97))
    assert similar_ids(narrow, "#e06020") == ["orange"]
    assert narrow.index.folder == wide.index.folder
    assert narrow.version != wide.version


def test_the_overlay_decides_what_is_the_same(
    tmp_path: Path, colors: CatalogueConfig, model: ModelConfig, build_with: Build
) -> None:
    """A model does not change what is the same: a copy is found, and no other picture of its colour."""
    engine = build_with(colors, tmp_path / "index", model)
    copy = Image.open(colors.path / "red.png").resize((120, 90))
    findings = engine.inspect(encode(copy, quality=80))
    assert [match.item.id for match in findings.same] == ["red.png"]
    assert [match.item.id for match in findings.similar] == ["orange.png"]


def test_scores_are_fractions(tmp_path: Path, colors: CatalogueConfig, model: ModelConfig, build_with: Build) -> None:
    """The scores are cosines, the best first."""
    engine = build_with(colors, tmp_path / "index", model)
    scores = [match.score for match in engine.inspect(encode(Image.new("RGB", (50, 50), "#e02020"), "PNG")).similar]
    assert scores == sorted(scores, reverse=True)
    assert all(0.3 <= score <= 1 for score in scores)


def test_the_model_gets_the_crop(
    tmp_path: Path, colors: CatalogueConfig, model: ModelConfig, build_with: Build
) -> None:
    """Of a picture that is half blue and half green, the crop selects the half to search for."""
    engine = build_with(colors, tmp_path / "index", model)
    pair = Image.new("RGB", (200, 100), "#2020e0")
    pair.paste("#20c020", (100, 0, 200, 100))
    query = encode(pair, "PNG")
    assert [engine.inspect(query, crop=crop).similar[0].item.id for crop in ((0, 0, 0.5, 1), (0.5, 0, 1, 1))] == [
        "blue.png",
        "green.png",
    ]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_the_model_gets_the_input_of_its_config(tmp_path: Path, layout: str, channels: str, resize: str) -> None:
    """The input equals one that is computed here: size, channels, mean and std, layout."""
    shape = ("batch", 3, SIZE, SIZE) if layout == "NCHW" else ("batch", SIZE, SIZE, 3)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    config = ModelConfig(
        path=whole_input(tmp_path / "whole.onnx", shape=shape), size_px=SIZE, mean=mean, std=std,
        layout=layout, channels=channels, resize=resize,  # type: ignore[arg-type]  # the parameters' own names
    )  # fmt: skip
    picture = draw(3).resize((2 * SIZE, SIZE))
    boxes = {"squash": (0, 0, 2 * SIZE, SIZE), "crop": (SIZE // 2, 0, SIZE + SIZE // 2, SIZE)}
    if resize == "pad":
        seen = Image.new("RGB", (SIZE, SIZE), "white")
        seen.paste(picture.resize((SIZE, SIZE // 2), Image.Resampling.BICUBIC), (0, SIZE // 4))
    else:
        seen = picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=boxes[resize])
    pixels = np.asarray(seen)[..., :: 1 if channels == "RGB" else -1] / 255
    expected = (pixels - np.array(mean)) / np.array(std)
    expected = (expected.transpose(2, 0, 1) if layout == "NCHW" else expected).ravel()
    vector = embed(config, encode(picture, "PNG"))
    assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        pytest.param((1, 3, SIZE, SIZE), TensorProto.FLOAT, id="one picture"),
        pytest.param((4, 3, SIZE, SIZE), TensorProto.FLOAT, id="a fixed batch of four"),
        pytest.param(("n", 3, "height", "width"), TensorProto.FLOAT, id="every size"),
        pytest.param(("n", 3, SIZE, SIZE), TensorProto.FLOAT16, id="half precision"),
    ],
)
def test_models_of_every_batch_size_give_the_same_vector(
    tmp_path: Path, model: ModelConfig, shape: tuple[int | str, ...], kind: int
) -> None:
    """A fixed batch, free sizes and half precision make no difference to the vector."""
    query = encode(draw(8), "PNG")
    other = open_model(replace(model, path=mean_color(tmp_path / "other.onnx", shape=shape, kind=kind)))
    assert other.dimensions == 3
    assert other.embed(read_model_input(read_header(query), WHOLE, model.size_px, model.resize)) == pytest.approx(
        embed(model, query), abs=2e-3
    )


def test_another_output_can_be_named(tmp_path: Path, model: ModelConfig) -> None:
    """If the first output of a model is no vector, another can be named; dimensions of 1 don't matter."""
    named = replace(model, path=tokens_first(tmp_path / "tokens.onnx"), output="pooled")
    query = encode(draw(8), "PNG")
    assert embed(named, query) == pytest.approx(embed(model, query))


def text_file(path: Path) -> Path:
    path.write_text("no model")
    return path


WRONG: dict[str, tuple[Callable[[Path], Path], dict[str, object], str]] = {
    "no file": (lambda path: path, {}, "can't be read"),
    "no ONNX": (text_file, {}, "is no ONNX model"),
    "another size": (mean_color, {"size_px": 32}, "takes tensor.float. batchx3x16x16, not float 3x32x32"),
    "another layout": (mean_color, {"layout": "NHWC"}, "check size_px and layout"),
    "no such output": (mean_color, {"output": "pooled"}, "has no output 'pooled'; its outputs are embedding"),
    "tokens": (tokens_first, {}, r"'tokens' is 3x16x16 numbers, no vector; name one of its outputs \(tokens, pooled\)"),
    "two inputs": (two_inputs, {}, r"has 2 inputs \(picture, words\)"),
    "not a number": (lambda path: mean_color(path, factor=float("nan")), {}, "gives no finite numbers"),
    "only zeros": (lambda path: mean_color(path, factor=0.0), {}, "or only zeros"),
    "no float": (lambda path: mean_color(path, kind=TensorProto.DOUBLE), {}, "takes tensor.double."),
    "fails at work": (
        lambda path: mean_color(path, shape=("n", 3, "h", "w"), axes=(2, 7)),
        {},
        "(?s)is no ONNX model|fails on a test picture",
    ),
}


@pytest.mark.parametrize(("make", "settings", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_model_that_does_not_fit_is_one_sentence(
    tmp_path: Path, make: Callable[[Path], Path], settings: dict[str, object], message: str, decoders: Decoders
) -> None:
    """It is refused before anything is indexed, with the file's name and what to check."""
    config = replace(
        ModelConfig(path=make(tmp_path / "wrong.onnx"), size_px=SIZE),
        **settings,  # type: ignore[arg-type]  # the parameters' own names
    )
    with pytest.raises(ConfigError, match=message) as refused:
        open_engine(CatalogueConfig(path=fill(tmp_path / "pictures", 1)), tmp_path / "index", decoders, model=config)
    assert str(refused.value).startswith(f"model {tmp_path / 'wrong.onnx'}: ")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "index").exists()


def test_without_onnxruntime_the_error_says_what_to_install(
    model: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is imported only if there is a model."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"needs onnxruntime; install it: .*\[service\]"):
        open_model(model)


def test_the_service_loads_no_runtime_without_a_model() -> None:
    """The engine's modules alone don't import onnxruntime."""
    code = "import sys, pipeline.service.engine.engine; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_picture_without_a_finite_vector_matches_nothing(
    tmp_path: Path, colors: CatalogueConfig, model: ModelConfig, build_with: Build
) -> None:
    """A picture whose mean is the config's own has the zero vector: no similar pictures, and no failure."""
    engine = build_with(colors, tmp_path / "index", replace(model, mean=(128 / 255, 128 / 255, 128 / 255)))
    assert similar_ids(engine, "#808080") == []


def test_the_same_model_does_not_run_again(
    tmp_path: Path, colors: CatalogueConfig, model: ModelConfig, work: dict[str, int], build_with: Build
) -> None:
    """The index of an unchanged catalogue is opened; of a changed catalogue, only the new picture is computed."""
    first = build_with(colors, tmp_path / "index", model)
    assert work == {"analysed": 5, "embedded": 5}
    assert build_with(colors, tmp_path / "index", model).index.folder == first.index.folder
    draw(9).save(colors.path / "new.png")
    build_with(colors, tmp_path / "index", model)
    assert work == {"analysed": 6, "embedded": 6}


@pytest.mark.parametrize("change", ["model", "weights", "preprocessing"])
def test_another_model_costs_only_its_embeddings(
    tmp_path: Path, colors: CatalogueConfig, model: ModelConfig, work: dict[str, int], change: str, build_with: Build
) -> None:
    """With another file, other weights, or another mean, every picture is embedded again, and none analysed."""
    before = build_with(colors, tmp_path / "index", model)
    if change == "model":
        mean_color(model.path, factor=-1.0)
    elif change == "weights":
        model.path.with_suffix(".onnx.data").write_bytes(b"weights")
    else:
        model = replace(model, mean=(0.4, 0.4, 0.4))
    after = build_with(colors, tmp_path / "index", model)
    assert work == {"analysed": 5, "embedded": 10}
    assert after.version != before.version
    assert np.array_equal(after.index.descriptors, before.index.descriptors)


def test_a_model_can_be_added_and_removed(
    tmp_path: Path, colors: CatalogueConfig, model: ModelConfig, work: dict[str, int], build_with: Build
) -> None:
    """Embeddings are added to an index, and removed, without a picture being analysed again."""
    for used in (None, model, None):
        engine = build_with(colors, tmp_path / "index", used)
        assert engine.index.embeddings.shape == ((5, 3) if used else (0, 0))
    assert work == {"analysed": 5, "embedded": 5}


KILLED = """
import json, os, sys
from pathlib import Path
from pipeline.service.engine.build import build_index
from pipeline.service.engine.embedding import open_model
from pipeline.service.findings import CatalogueConfig, ModelConfig


def die(done, total):
    if done == 50:
        os._exit(9)


model = ModelConfig(path=Path(sys.argv[3]), size_px=16)
build_index(CatalogueConfig(path=Path(sys.argv[1])), Path(sys.argv[2]), die, embedder=open_model(model))
"""


@pytest.mark.parametrize("known", [False, True], ids=["new", "analysed before"])
def test_a_killed_build_keeps_its_embeddings(
    tmp_path: Path, model: ModelConfig, work: dict[str, int], *, known: bool
) -> None:
    """A build that dies at row 50 of 60 leaves its embeddings: the next one computes only the rest."""
    folder, index_dir = CatalogueConfig(path=fill(tmp_path / "pictures", 60)), tmp_path / "index"
    if known:
        build_index(folder, index_dir)
    command = [sys.executable, "-c", KILLED, str(folder.path), str(index_dir), str(model.path)]
    assert subprocess.run(command, check=False).returncode == 9
    work.update(analysed=0, embedded=0)
    resumed = build_index(folder, index_dir, embedder=open_model(replace(model, mean=(0.0, 0.0, 0.0))))
    assert work["embedded"] <= 60 - COMMIT_EVERY
    assert work["analysed"] == (0 if known else work["embedded"])
    assert np.linalg.norm(resumed.embeddings, axis=1) == pytest.approx(np.ones(60), abs=1e-5)
