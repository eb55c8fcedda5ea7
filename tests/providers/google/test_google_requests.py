"""What is sent for a row: its picture and the features, with the key in a header, for the region of the project."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from pipeline.config import PrepareConfig
from pipeline.errors import RequestError
from pipeline.prepare.fit_rules import rules_from
from pipeline.providers.google.settings import FEATURES
from pipeline.records import Crop, InsightsToken, RemoteUrl, Row
from tests.providers.google.conftest import google, prepared, sent
from tests.providers.google.vision_contract import TYPES, problem_of
from tests.rows import make_row

EVERYTHING = [name for name in FEATURES if name != "text"]
PRODUCT_SET = "projects/p/locations/us-west1/productSets/all"


def body_of(row: Row | None = None, **settings: object) -> Any:
    (request,) = google(**settings).requests(row or make_row("a"), prepared())
    return orjson.loads(request.body)


def test_a_picture_is_sent_as_base64_with_its_features() -> None:
    """The whole body, as the discovery document has it."""
    asked = body_of(features=("labels", "text"), max_results=7, languages=("de", "zh-Hant"), model="builtin/latest")
    (one,) = asked["requests"]
    assert b64decode(one.pop("image")["content"]) == b"picture"
    assert one == {
        "features": [
            {"type": "LABEL_DETECTION", "maxResults": 7, "model": "builtin/latest"},
            {"type": "TEXT_DETECTION", "model": "builtin/latest"},  # maxResults has no effect there
        ],
        "imageContext": {
            "languageHints": ["de", "zh-Hant"],
            "textDetectionParams": {"enableTextDetectionConfidenceScore": True},
        },
    }


def test_every_feature_is_one_of_the_service() -> None:
    """With all that can be said about each, the strict service finds nothing wrong."""
    asked = body_of(
        features=tuple(EVERYTHING),
        crop_ratios=(1.0, 1.5),
        product_set=PRODUCT_SET,
        product_category="homegoods-v2",
        product_filter="colour = blue",
        languages=("en",),
    )
    assert problem_of(asked) == ""
    types = [feature["type"] for feature in asked["requests"][0]["features"]]
    assert len(set(types)) == len(EVERYTHING)
    assert set(types) <= set(TYPES)
    assert asked["requests"][0]["imageContext"]["productSearchParams"] == {
        "productSet": PRODUCT_SET,
        "productCategories": ["homegoods-v2"],
        "filter": "colour = blue",
    }


def test_a_release_candidate_is_for_text_alone() -> None:
    """Other features don't know it."""
    features = body_of(features=("labels", "text"), model="builtin/rc", max_results=0)["requests"][0]["features"]
    assert features == [{"type": "LABEL_DETECTION"}, {"type": "TEXT_DETECTION", "model": "builtin/rc"}]


def test_a_url_is_sent_as_it_is_where_that_is_wanted() -> None:
    """And may take a second call, with the bytes."""
    row = Row(id="a", image=RemoteUrl(url="https://shop.example.com/ä.jpg?x=1"), ordinal=0, line=1)
    provider = google(url_form="url")
    (request,) = provider.requests(row, None)
    assert orjson.loads(request.body)["requests"][0]["image"] == {"source": {"imageUri": row.image.url}}  # type: ignore[union-attr] # a URL
    assert (request.form, request.picture_size, provider.max_calls(row)) == ("url", None, 2)
    (again,) = provider.requests(row, prepared())
    assert (again.form, again.picture_size) == ("bytes", (200, 100))
    assert google().max_calls(row) == provider.max_calls(make_row("local")) == 1


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (make_row("a", crop=Crop(left=0, top=0, right=1, bottom=1)), "crop-not-possible"),
        (Row(id="a", image=InsightsToken(token="t"), ordinal=0, line=1), "token-not-offered"),
        (Row(id="a", image=RemoteUrl(url="http://"), ordinal=0, line=1), "bad-url"),
        (Row(id="a", image=RemoteUrl(url="http://[x"), ordinal=0, line=1), "bad-url"),
        (make_row("a"), "not-prepared"),
    ],
    ids=["crop", "token", "no host", "no URL", "a file that is not prepared"],
)
def test_what_the_service_does_not_know_is_refused_before_it_is_sent(row: Row, code: str) -> None:
    """By name, so that only its row fails."""
    with pytest.raises(RequestError) as refused:
        google(url_form="url").requests(row, None)
    assert refused.value.code == code


def test_the_key_is_in_a_header_and_in_no_url() -> None:
    """A URL is in the logs of everyone on the way."""
    key = SecretStr("secret-key-0123456789")
    provider = google()
    request = provider.authorise(sent(headers=(("A", "b"),)), key)
    assert request.headers == (("A", "b"), ("X-Goog-Api-Key", "secret-key-0123456789"))
    assert (request.target, provider.secrets(key)) == ("/v1/images:annotate", ("secret-key-0123456789",))


def test_a_region_changes_where_a_call_goes_and_not_what_is_asked() -> None:
    """Moving to another region or project sends nothing again."""
    row, key = make_row("a"), SecretStr("k" * 20)
    here, there = google(), google(project="my-project-1", region="eu", endpoint="https://eu-vision.googleapis.com")
    (one,), (other,) = here.requests(row, prepared()), there.requests(row, prepared())
    assert one.fingerprint(here.service_id) == other.fingerprint(there.service_id)
    assert there.authorise(other, key).target == "/v1/projects/my-project-1/locations/eu/images:annotate"
    fake = google(endpoint="http://127.0.0.1:1")
    assert one.fingerprint(fake.service_id) != one.fingerprint(here.service_id)


def test_what_changes_the_answer_changes_the_fingerprint() -> None:
    """Features, hints, the number of results and the picture."""
    row = make_row("a")
    variants = [
        google().requests(row, prepared()),
        google().requests(row, prepared(data=b"another")),
        google(features=("labels",)).requests(row, prepared()),
        google(features=("labels", "text")).requests(row, prepared()),
        google(features=("labels", "text"), languages=("en",)).requests(row, prepared()),
        google(max_results=5).requests(row, prepared()),
    ]
    assert len({request.fingerprint("google") for (request,) in variants}) == len(variants)


@pytest.mark.parametrize(
    ("features", "side"), [(("labels", "web"), 1024), (("labels", "text"), 1600), (("faces",), 1600)]
)
def test_the_usual_side_depends_on_the_features(features: tuple[str, ...], side: int) -> None:
    """Small text and faces need more pixels; [prepare] overrides it, and pixels are always upright."""
    limits = google(features=features).limits
    usual = rules_from(PrepareConfig(), limits)
    assert (usual.max_side_px, usual.max_bytes, usual.upright) == (side, 1_000_000, True)
    assert rules_from(PrepareConfig(max_side_px=4000), limits).max_side_px == 4000


def test_a_request_at_the_limit_of_bytes_is_within_the_service_s() -> None:
    """10 MB of JSON, where base64 makes four bytes of three."""
    provider = google(features=tuple(EVERYTHING), product_set=PRODUCT_SET)
    (request,) = provider.requests(make_row("a"), prepared(data=b"x" * provider.limits.max_bytes))
    assert len(request.body) < 10_000_000
