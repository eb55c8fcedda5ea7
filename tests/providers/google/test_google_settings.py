"""The table of google: what goes together, what a call costs, what each mistake is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import load_config
from pipeline.errors import ConfigError
from tests.providers.google.conftest import answer_of, google, sent


def problems(tmp_path: Path, *lines: str) -> list[str]:
    """Return what is wrong with a [provider] table."""
    provider = "\n".join(lines)
    (tmp_path / "job.toml").write_text(
        f'[manifest]\npath = "m.csv"\n[provider]\nname = "google"\n{provider}\n[output]\ndir = "out"\n'
    )
    try:
        load_config(tmp_path / "job.toml")
    except ConfigError as exc:
        return exc.problems
    return []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["features = []"], "provider.features: must name at least one of labels, objects"),
        (['features = ["labels", "labels"]'], "provider.features: names a feature twice"),
        (['features = ["text", "document_text"]'], "provider.features: has text and document_text; give one"),
        (['features = ["tags"]'], "provider.features[0]: must be 'labels', "),
        (['languages = ["en"]'], "provider.languages: belongs to the features text and document_text"),
        (['features = ["text"]', 'languages = ["english!"]'], "provider.languages: holds 'english!'; write"),
        (["crop_ratios = [1.0]"], "provider.crop_ratios: belongs to the feature crop_hints"),
        (['features = ["products"]'], "provider.product_set: must name your product set, as in projects/"),
        (['product_set = "projects/p/locations/l/productSets/s"'], "provider.product_set: belongs to the feature"),
        (['product_filter = "a = b"'], "provider.product_filter: belongs to the feature products"),
        (['project = "My Project"'], "provider.project: must be the id of a project"),
        (['region = "eu"'], "provider.region: needs project, whose region it is"),
        (['project = "my-project"', 'region = "mars"'], "provider.region: must be '', 'us', 'eu' or 'asia'"),
        (['key_file = "k"', "application_default = true"], "provider.application_default: excludes key_file"),
        (["prices = { labels = -1.0 }"], "provider.prices.labels: must be at least 0"),
        (["prices = { label = 1.0 }"], "provider.prices.label: there is no such key; did you mean 'labels'?"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_mistake_has_its_sentence(tmp_path: Path, lines: list[str], said: str) -> None:
    """With the key's path and the way out."""
    (problem,) = problems(tmp_path, *lines)
    assert problem.startswith(said), problem


def test_a_name_is_enough(tmp_path: Path) -> None:
    """Everything else has a default; caps on cost need no price beside the provider's own."""
    assert problems(tmp_path) == []
    assert problems(tmp_path, "[limits]", "max_cost = 5.0") == []


@pytest.mark.parametrize(
    ("features", "per_1000"),
    [
        (("labels",), 1.5),
        (("labels", "safety"), 1.5),  # safety is free beside labels
        (("safety",), 1.5),
        (("labels", "safety", "text"), 3.0),
        (("labels", "safety", "text", "web"), 6.5),
        (("labels", "safety", "text", "web", "objects"), 8.75),
        (("colours", "crop_hints"), 1.5),  # crop hints are free beside colours
        (("labels", "safety", "text", "web", "objects", "logos", "landmarks", "colours", "crop_hints"), 13.25),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, tuple) else None,
)
def test_a_call_costs_what_its_features_cost(features: tuple[str, ...], per_1000: float) -> None:
    """One unit of each feature, at the prices of Google's list."""
    usage = google(features=features).estimate(sent())
    assert usage.cost == pytest.approx(per_1000 / 1000)
    assert usage.units == dict.fromkeys(features, 1)
    assert sum(usage.unit_costs.values()) == usage.cost
    assert usage.currency == "USD"


def test_prices_are_overridden_and_change_no_answer() -> None:
    """A price of one's own counts; the others stay."""
    provider = google(features=("labels", "web"), prices={"labels": 1.0, "currency": "EUR"})
    usage = provider.estimate(sent())
    assert usage.cost == pytest.approx(0.0045)
    assert usage.currency == "EUR"
    assert "prices" in provider.settings.keys_without_effect


def test_only_a_success_is_paid_for() -> None:
    """Whatever failed inside it, as nobody knows whether that is billed."""
    provider = google()
    failed = {"responses": [{"error": {"code": 3, "message": "Bad image data."}}]}
    assert provider.usage(sent(), answer_of(failed)) == provider.estimate(sent())
    for status in (400, 403, 429, 500, 503):
        assert provider.usage(sent(), answer_of({}, status)).cost == 0
