"""The fake is what Google's own clients and its discovery document expect, and the provider sends what they send.

These tests need google-cloud-vision and google-api-python-client; where one is missing they are skipped, and say so.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from pipeline.providers.google.settings import FEATURES
from tests.providers.fakes import serving_in_thread
from tests.providers.google.conftest import google, prepared
from tests.providers.google.fake_vision import KEY, FakeVision, quota_error
from tests.providers.google.vision_answers import annotate
from tests.providers.google.vision_contract import MESSAGES, TYPES
from tests.rows import make_row
from tests.running import draw

PRODUCT_SET = "projects/p/locations/l/productSets/s"
ALL = tuple(name for name in FEATURES if name != "text")


@pytest.fixture
def fake() -> Iterator[FakeVision]:
    """Serve in a thread of its own, as the clients wait for their answers."""
    with serving_in_thread(FakeVision()) as fake:
        yield fake


@pytest.fixture
def picture(tmp_path: Path) -> bytes:
    """Return a picture of 200 by 100 px."""
    return draw(tmp_path / "p.png", 1, (200, 100)).read_bytes()


@pytest.fixture
def cloud_vision(fake: FakeVision) -> Iterator[Any]:
    """Return google-cloud-vision and its client, which speaks REST to the fake and asks for numbers of enumerations."""
    vision = pytest.importorskip("google.cloud.vision", reason="google-cloud-vision is not installed")
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.vision_v1.services.image_annotator.transports.rest import ImageAnnotatorRestTransport

    fake.keys = set()  # the client has no key here
    transport = ImageAnnotatorRestTransport(
        host=fake.endpoint.removeprefix("http://"), credentials=AnonymousCredentials(), url_scheme="http"
    )
    with vision.ImageAnnotatorClient(transport=transport) as client:
        yield vision, client


@pytest.fixture
def api_client(fake: FakeVision) -> Iterator[Any]:
    """Return the client that googleapiclient builds from the discovery document."""
    with built_client(fake, KEY) as client:
        yield client


def built_client(fake: FakeVision, key: str) -> Any:
    """Build the client for the fake."""
    discovery = pytest.importorskip("googleapiclient.discovery", reason="google-api-python-client is not installed")
    options = {"api_endpoint": fake.endpoint}
    return discovery.build("vision", "v1", developerKey=key, static_discovery=True, client_options=options)


@pytest.fixture(scope="module")
def document() -> Any:
    """Return the discovery document of vision v1."""
    name = "googleapiclient.discovery_cache.documents"
    package = pytest.importorskip(name, reason="google-api-python-client is not installed")
    return json.loads((Path(next(iter(package.__path__))) / "vision.v1.json").read_bytes())


def test_google_cloud_vision_understands_the_fake(cloud_vision: Any, picture: bytes) -> None:
    """Every feature, in the types of the client; what proto3 leaves out is zero there."""
    vision, client = cloud_vision
    features = [{"type_": getattr(vision.Feature.Type, FEATURES[name])} for name in ALL]
    answer = client.annotate_image({"image": {"content": picture}, "features": features})
    assert answer.localized_object_annotations[0].name == "Mug"
    assert answer.full_text_annotation.pages[0].width == 200
    assert answer.logo_annotations[0].bounding_poly.vertices[0].x == 0
    assert answer.safe_search_annotation.medical == vision.Likelihood.LIKELY
    assert answer.safe_search_annotation.racy == vision.Likelihood.UNKNOWN
    assert answer.web_detection.best_guess_labels[0].label == "coffee mug"
    word = answer.full_text_annotation.pages[0].blocks[0].paragraphs[0].words[0]
    assert "".join(symbol.text for symbol in word.symbols) == "HELLO"
    assert answer.product_search_results.results[0].product.display_name == "Blue mug"


def test_google_cloud_vision_sees_the_error_of_one_picture(cloud_vision: Any, fake: FakeVision, picture: bytes) -> None:
    """Of two pictures in one call, one is damaged."""
    vision, client = cloud_vision
    features = [{"type_": vision.Feature.Type.LABEL_DETECTION}]
    requests = [{"image": {"content": content}, "features": features} for content in (picture, b"damaged")]
    good, bad = client.batch_annotate_images(requests=requests).responses
    assert good.label_annotations
    assert (bad.error.code, bad.error.message) == (3, "Bad image data.")
    assert fake.calls[0]["query"]["$alt"] == "json;enum-encoding=int"


def test_google_cloud_vision_sees_a_quota(cloud_vision: Any, fake: FakeVision, picture: bytes) -> None:
    """The error of the fake has the form that the client reads reasons from."""
    vision, client = cloud_vision
    from google.api_core.exceptions import TooManyRequests

    status, body = quota_error("label_detection", 12)
    fake.faults.append({"status": status, "error": body})
    features = [{"type_": vision.Feature.Type.LABEL_DETECTION}]
    with pytest.raises(TooManyRequests) as refused:
        client.annotate_image({"image": {"content": picture}, "features": features}, retry=None)
    assert refused.value.reason == "RATE_LIMIT_EXCEEDED"


def test_googleapiclient_understands_the_fake(api_client: Any, fake: FakeVision, picture: bytes) -> None:
    """It sends its key in the URL, which the provider never does."""
    body = {"requests": [{"image": {"content": b64encode(picture).decode()}, "features": [{"type": "WEB_DETECTION"}]}]}
    answer = api_client.images().annotate(body=body).execute()
    assert answer["responses"][0]["webDetection"]["bestGuessLabels"][0]["label"] == "coffee mug"
    assert fake.calls[0]["query"]["key"] == KEY


def test_googleapiclient_sees_a_wrong_key(fake: FakeVision, picture: bytes) -> None:
    """With the reason that the provider goes by."""
    errors = pytest.importorskip("googleapiclient.errors", reason="google-api-python-client is not installed")
    body = {"requests": [{"image": {"content": b64encode(picture).decode()}, "features": [{"type": "WEB_DETECTION"}]}]}
    with built_client(fake, "wrong") as client, pytest.raises(errors.HttpError) as refused:
        client.images().annotate(body=body).execute()
    assert (refused.value.status_code, refused.value.error_details[0]["reason"]) == (400, "API_KEY_INVALID")


def test_the_provider_sends_what_googleapiclient_sends(api_client: Any, fake: FakeVision, picture: bytes) -> None:
    """The same body, by what the fake received; only the key takes another way."""
    provider = google(features=("labels", "document_text"), languages=("en",), endpoint=fake.endpoint)
    (request,) = provider.requests(make_row("a"), prepared(data=picture))
    api_client.images().annotate(body=orjson.loads(request.body)).execute()
    (seen,) = fake.calls
    assert seen["request"] == orjson.loads(request.body)
    assert seen["path"] == provider.authorise(request, SecretStr(KEY)).target


def schema_of(document: Any, name: str) -> dict[str, Any]:
    """Return a message of the discovery document as a JSON Schema that refuses unknown fields."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": f"#/$defs/{name}", "$defs": {
        each: {
            "type": "object",
            "additionalProperties": each == "Status",
            "properties": {key: _property(value) for key, value in message.get("properties", {}).items()},
        }
        for each, message in document["schemas"].items()
    }}  # fmt: skip


def _property(value: Any) -> dict[str, Any]:
    if "$ref" in value:
        return {"$ref": f"#/$defs/{value['$ref']}"}
    if value["type"] == "array":
        return {"type": "array", "items": _property(value["items"])}
    if "enum" in value:
        return {"enum": value["enum"]}
    return {"type": value["type"]} if value["type"] != "any" else {}


def test_the_fake_answers_by_the_discovery_document(document: Any, picture: bytes) -> None:
    """Every field that it sends exists there, with its type; no annotation of the document is missing."""
    context = {"textDetectionParams": {"enableTextDetectionConfidenceScore": True}}
    response = annotate(picture, dict.fromkeys((FEATURES[name] for name in ALL), 0), context)
    Draft202012Validator(schema_of(document, "AnnotateImageResponse")).validate(response)
    assert set(document["schemas"]["AnnotateImageResponse"]["properties"]) - set(response) == {"context", "error"}


def test_the_provider_asks_by_the_discovery_document(document: Any) -> None:
    """With everything that its settings can say."""
    provider = google(features=ALL, product_set=PRODUCT_SET, languages=("en",), crop_ratios=(1.5,), model="builtin/rc")
    (request,) = provider.requests(make_row("a"), prepared())
    validator = Draft202012Validator(schema_of(document, "BatchAnnotateImagesRequest"))
    validator.validate(orjson.loads(request.body))


def test_the_contract_of_the_fake_is_the_document_s(document: Any) -> None:
    """Names of fields, and the numbers of the features' types by their order in the client."""
    for name, fields in MESSAGES.items():
        assert set(document["schemas"][name]["properties"]) == set(fields)
    assert set(document["schemas"]["Feature"]["properties"]["type"]["enum"]) == set(TYPES)
    scopes = document["auth"]["oauth2"]["scopes"]
    assert "https://www.googleapis.com/auth/cloud-vision" in scopes
    paths = {document["resources"]["images"]["methods"]["annotate"]["path"]}
    assert paths == {"v1/images:annotate"}


def test_the_numbers_of_types_are_those_of_the_client() -> None:
    """The discovery document has names alone."""
    vision = pytest.importorskip("google.cloud.vision", reason="google-cloud-vision is not installed")
    assert {kind.name: kind.value for kind in vision.Feature.Type} == TYPES
