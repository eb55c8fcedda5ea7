"""A run over the embedded service with the user's own embedding model: from the job's config to the record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest
from PIL import Image

from pipeline.commands.plan import make_plan
from pipeline.config import Config, ServiceConfig
from pipeline.errors import ConfigError
from pipeline.local.backend import make_provider
from pipeline.providers import settings_models
from pipeline.runner.job import run
from tests.running import lines_of, load
from tests.service.engine.drawing import draw
from tests.service.engine.models import GREY, SIZE, mean_color

COLORS = {"red": "#e02020", "orange": "#e07020", "green": "#20c020", "teal": "#20a0a0"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return mean_color(tmp_path / "mean.onnx")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Write pictures of one colour each, with shapes that have nothing to do with it."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, (name, color) in enumerate(COLORS.items()):
        shapes = draw(number).convert("L").convert("RGB")
        Image.blend(shapes, Image.new("RGB", shapes.size, color), 0.75).save(folder / f"{name}.png")
    return folder


def job(folder: Path, pictures: Path, **model: object) -> Config:
    """Write and load a job over the embedded service; it reads no text, which would only take time."""
    settings = {"size_px": SIZE, "mean": GREY, "alike_from": 0.3, **model}
    tables: dict[str, Mapping[str, object]] = {
        "manifest": {"path": str(pictures)},
        "provider": {"name": "local", "text": False},
        "provider.model": {key: value for key, value in settings.items() if value is not None},
        "limits": {"qps": 0, "pacer": "process"},
        "output": {"dir": str(folder / "out")},
    }
    lines = [
        line
        for name, values in tables.items()
        for line in (f"[{name}]", *(f"{key} = {orjson.dumps(value).decode()}" for key, value in values.items()))
    ]
    (folder / "job.toml").write_text("\n".join(lines))
    return load(folder / "job.toml")


async def test_records_hold_what_the_model_takes_for_alike(tmp_path: Path, pictures: Path, model: Path) -> None:
    """Red's look-alike is orange, teal's is green; a second run asks nothing, and another model asks again."""
    config = job(tmp_path, pictures, path=str(model))
    report = await run(config)
    assert (report.exit_code, report.traffic.sends) == (0, 4), report.summary()
    records = {line["id"]: line for line in lines_of(tmp_path / "out" / "insights.jsonl")}
    alike = {name: [item["name"] for item in record["similar_images"]["items"]] for name, record in records.items()}
    assert alike["red.png"] == ["orange.png"]
    assert alike["teal.png"] == ["green.png"]
    assert (await run(config)).traffic.sends == 0
    mean_color(model, factor=-2.0)
    assert make_plan(config).calls == 4
    assert (await run(config)).traffic.sends == 4


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param(
            {"size_px": 32}, "mean.onnx: takes tensor(float) batchx3x16x16, not float 3x32x32", id="another size"
        ),
        pytest.param({"output": "pooled"}, "has no output 'pooled'", id="no such output"),
    ],
)
async def test_a_model_that_does_not_fit_ends_the_run_with_code_2(
    tmp_path: Path, pictures: Path, model: Path, settings: dict[str, object], said: str
) -> None:
    """The service refuses it before it indexes anything; the run says its sentence, and nothing was sent."""
    report = await run(job(tmp_path, pictures, path=str(model), **settings))
    assert (report.exit_code, report.traffic.sends) == (2, 0)
    assert said in report.summary()


async def test_a_missing_model_is_said_before_anything_starts(tmp_path: Path, pictures: Path) -> None:
    """Every command that needs the service's name reads the file, and names the key."""
    config = job(tmp_path, pictures, path=str(tmp_path / "none.onnx"))
    with pytest.raises(ConfigError, match=r"^provider.model.path: .*none.onnx can't be read"):
        make_provider(config)
    report = await run(config)
    assert (report.exit_code, report.traffic.sends) == (2, 0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"path": None}, "provider.model.path: is missing", id="no path"),
        pytest.param({"mean": [0.5, 0.5]}, "provider.model.mean", id="two channels"),
        pytest.param({"std": [1.0, 0.0, 1.0]}, "provider.model.std[1]: must be more than 0", id="no spread"),
        pytest.param({"resize": "zoom"}, "provider.model.resize: must be 'squash', 'crop' or 'pad'", id="resize"),
        pytest.param({"sise_px": 224}, "did you mean 'size_px'?", id="unknown key"),
        pytest.param({"alike_from": 0}, "provider.model.alike_from: must be more than 0", id="everything alike"),
    ],
)
def test_a_wrong_table_is_said_with_its_key(
    tmp_path: Path, pictures: Path, settings: dict[str, object], said: str
) -> None:
    """The model's table is checked as every other is."""
    with pytest.raises(ConfigError) as refused:
        job(tmp_path, pictures, **{"path": "model.onnx", **settings})
    assert said in str(refused.value)


def test_the_identity_is_what_the_model_is(tmp_path: Path, pictures: Path, model: Path) -> None:
    """A copy elsewhere is the same service; other weights, preprocessing or bound are another one."""

    def identity(**settings: object) -> str:
        return make_provider(job(tmp_path, pictures, **settings)).service_id

    first = identity(path=str(model))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "copy.onnx").write_bytes(model.read_bytes())
    assert identity(path=str(tmp_path / "elsewhere" / "copy.onnx")) == first
    others = [identity(path=str(model), **change) for change in ({"std": (0.5, 0.5, 0.5)}, {"alike_from": 0.4})]
    model.with_name("mean.onnx.data").write_bytes(b"weights")
    others.append(identity(path=str(model)))
    assert len({first, *others}) == 4


def test_the_run_and_the_service_have_one_table() -> None:
    """[provider] model of a job and [model] of a service are the same keys."""
    tables = (settings_models()["local"].model_fields["model"], ServiceConfig.model_fields["model"])
    assert tables[0].annotation == tables[1].annotation
