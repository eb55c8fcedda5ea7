"""The sample catalogue, indexed once for all tests of the engine."""

from pathlib import Path

import pytest

from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.engine import open_engine
from pipeline.service.findings import CatalogueConfig, Engine, Item

SAMPLE = Path(__file__).resolve().parents[3] / "data" / "catalogue.csv"


@pytest.fixture(scope="session")
def sample(decoders: Decoders, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return open_engine(CatalogueConfig(path=SAMPLE), tmp_path_factory.mktemp("sample-index"), decoders)


@pytest.fixture(scope="session")
def rows(sample: Engine) -> dict[str, Item]:
    return {item.id: item for item in sample.items()}
