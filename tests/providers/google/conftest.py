"""What tests of the provider google share: the provider, answers, and the fake service with a job that calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest

from pipeline.config import Config
from pipeline.providers import PROVIDERS
from pipeline.providers.google.provider import Google
from pipeline.records import Answer, Prepared, Request, SourceFacts
from tests.providers.fakes import serving
from tests.providers.google.fake_vision import KEY, FakeVision
from tests.running import draw, load, write_config, write_manifest

KEY_ENV = "TEST_GOOGLE_KEY"


class MakeJob(Protocol):
    """Makes the job of some pictures."""

    def __call__(self, pictures: int = 3, /, **tables: Mapping[str, object]) -> Config:
        """Return its config."""


def google(**settings: object) -> Google:
    """Return the provider with these settings."""
    kind = PROVIDERS["google"]
    provider = kind.make(kind.settings.model_validate({"name": "google", **settings}))
    assert isinstance(provider, Google)
    return provider


def answer_of(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with a JSON document, or with these bytes."""
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    return Answer(status=status, headers=headers or {}, body=body, asked_at=1_800_000_015.0)


def sent(size: tuple[int, int] | None = (200, 100), **fields: Any) -> Request:
    """Return the request of a picture of this size, or of a URL."""
    form = "bytes" if size else "url"
    return Request(**{"method": "POST", "target": "/v1/images:annotate", "form": form, "picture_size": size, **fields})


def prepared(width: int = 200, height: int = 100, data: bytes = b"picture") -> Prepared:
    """Return a picture as stage 2 leaves it."""
    return Prepared(
        source=SourceFacts(sha256="0" * 64, width=width, height=height, bytes=len(data), format="JPEG"),
        data=data,
        action="passed",
        width=width,
        height=height,
        format="JPEG",
        media_type="image/jpeg",
    )


@pytest.fixture
async def vision(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeVision]:
    """Serve the fake on loopback, its key in the environment."""
    monkeypatch.setenv(KEY_ENV, KEY)
    async with serving(FakeVision()) as fake:
        yield fake


@pytest.fixture
def job(tmp_path: Path, vision: FakeVision) -> MakeJob:
    """Return what makes a job of pictures that are all different."""

    def make(pictures: int = 3, /, **tables: Mapping[str, object]) -> Config:
        for number in range(pictures):
            draw(tmp_path / f"p{number}.png", number)
        rows = [{"id": f"r{number}", "image": f"p{number}.png"} for number in range(pictures)]
        manifest = write_manifest(tmp_path / "manifest.csv", rows)
        provider = {"name": "google", "key_env": KEY_ENV, **tables.pop("provider", {})}
        return load(write_config(tmp_path / "job.toml", manifest, vision.endpoint, provider=provider, **tables))

    return make
