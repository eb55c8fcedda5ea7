"""What tests of the provider lens share: the provider, answers, and the fake service with a job that calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol

import orjson
import pytest

from pipeline.config import Config
from pipeline.providers import PROVIDERS
from pipeline.providers.lens.provider import Lens
from pipeline.records import Answer, Request
from tests.providers.fakes import serving
from tests.providers.lens.fake_serpapi import KEY, FakeSerpApi
from tests.running import draw, load, write_config, write_manifest

KEY_ENV = "TEST_LENS_KEY"
PUBLIC = "https://pictures.example.com/catalogue"


class MakeJob(Protocol):
    """Makes the job of some pictures."""

    def __call__(self, pictures: int = 3, /, **tables: Mapping[str, object]) -> Config:
        """Return its config."""


def lens(**settings: object) -> Lens:
    """Return the provider with these settings."""
    kind = PROVIDERS["lens"]
    provider = kind.make(kind.settings.model_validate({"name": "lens", **settings}))
    assert isinstance(provider, Lens)
    return provider


def answer_of(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with a JSON document, or with these bytes."""
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    return Answer(status=status, headers=headers or {}, body=body, asked_at=1_800_000_015.0)


def sent(kind: str = "visual_matches") -> Request:
    """Return a search of this type."""
    return Request(method="GET", target=f"/search.json?engine=google_lens&url=x&type={kind}", form="url")


@pytest.fixture
async def serpapi_fake(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeSerpApi]:
    """Serve the fake on loopback, its key in the environment."""
    monkeypatch.setenv(KEY_ENV, KEY)
    async with serving(FakeSerpApi()) as fake:
        yield fake


@pytest.fixture
def job(tmp_path: Path, serpapi_fake: FakeSerpApi) -> MakeJob:
    """Return what makes a job of pictures that are all different, in a folder that is on the web."""

    def make(pictures: int = 3, /, **tables: Mapping[str, object]) -> Config:
        for number in range(pictures):
            draw(tmp_path / f"p{number}.png", number)
        rows = [{"id": f"r{number}", "image": f"p{number}.png"} for number in range(pictures)]
        manifest = write_manifest(tmp_path / "manifest.csv", rows)
        provider = {"name": "lens", "key_env": KEY_ENV, "public_base": PUBLIC, **tables.pop("provider", {})}
        return load(write_config(tmp_path / "job.toml", manifest, serpapi_fake.endpoint, provider=provider, **tables))

    return make
