"""The fake is what SerpApi's own client expects, and the provider sends what that client sends.

These tests need serpapi; where it is missing they are skipped, and say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.records import RemoteUrl
from tests.providers.fakes import serving_in_thread
from tests.providers.lens.conftest import lens
from tests.providers.lens.fake_serpapi import INVALID_KEY, KEY, FakeSerpApi
from tests.providers.lens.lens_answers import NO_RESULTS
from tests.rows import make_row

URL = "https://pictures.example.com/a b.jpg?x=1&y=2"


@pytest.fixture
def fake() -> Iterator[FakeSerpApi]:
    """Serve in a thread of its own, as the clients wait for their answers."""
    with serving_in_thread(FakeSerpApi()) as fake:
        yield fake


@pytest.fixture
def client(fake: FakeSerpApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return the client with its key, sent to the fake."""
    serpapi = pytest.importorskip("serpapi", reason="serpapi is not installed")
    monkeypatch.setattr("serpapi.http.HTTPClient.BASE_DOMAIN", fake.endpoint)
    made = serpapi.Client(api_key=KEY)
    yield made
    made.session.close()


def test_serpapi_understands_the_fake(client: Any) -> None:
    """A search is a success with results; one without results is a success with an error."""
    found = client.search(engine="google_lens", url=URL, type="products")
    assert found["search_metadata"]["status"] == "Success"
    assert found["visual_matches"][0]["price"]["extracted_value"] == 361


def test_serpapi_sees_that_nothing_is_there(client: Any, fake: FakeSerpApi) -> None:
    """The error is inside a success."""
    fake.unknown = {URL}
    assert client.search(engine="google_lens", url=URL)["error"] == NO_RESULTS


def test_serpapi_sees_the_account(client: Any, fake: FakeSerpApi) -> None:
    """With what is left, by the names that the provider goes by."""
    fake.left, fake.this_hour = 7, 3
    account = client.account()
    assert (account["total_searches_left"], account["this_hour_searches"]) == (7, 3)


def test_serpapi_sees_a_wrong_key(client: Any, fake: FakeSerpApi) -> None:
    """By its status and its message."""
    errors = pytest.importorskip("serpapi.exceptions")
    fake.keys = {"another"}
    with pytest.raises(errors.HTTPError) as refused:
        client.search(engine="google_lens", url=URL)
    assert (refused.value.status_code, refused.value.error) == (401, INVALID_KEY)


def test_the_provider_sends_what_serpapi_sends(client: Any, fake: FakeSerpApi) -> None:
    """The same parameters, the key among them, by what the fake received."""
    provider = lens(types=("all",), language="de", country="at")
    row = replace(make_row("a"), image=RemoteUrl(url=URL), query="red mug")
    (request,) = provider.requests(row, None)
    client.search(engine="google_lens", url=URL, type="all", q="red mug", hl="de", country="at")
    client.request("GET", provider.authorise(request, SecretStr(KEY)).target, params={"api_key": KEY})
    theirs, ours = (search["query"] for search in fake.searches)
    assert ours == theirs
