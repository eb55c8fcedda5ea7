"""X-Robots-Tag: who asks that pictures are not used by AI is left alone, unless the job says otherwise."""

from __future__ import annotations

import pytest
from aiohttp import web
from multidict import CIMultiDict

from pipeline.downloads.robots import forbids_ai
from tests.downloads.sites import PICTURE, Site, failure, fetch, page

FORBIDDING = [
    ("noai",),
    ("noimageai",),
    ("noindex, noai",),
    ("NoAI , NOINDEX",),
    ("noindex", "noimageai"),
    ("unavailable_after: 25 Jun 2030 15:00:00 PST, noai",),
    ("max-image-preview: large, noimageai",),
    ("*: noai",),
    ("image-insights-pipeline: noindex, noai",),
    ("googlebot: noindex, image-insights-pipeline: noai",),
]
ALLOWING = [
    (),
    ("",),
    ("noindex, nofollow, noarchive",),
    ("googlebot: noai",),
    ("googlebot: noindex, noai",),
    ("xnoai",),
    ("noai-x",),
    (": , ::",),
]


@pytest.mark.parametrize("headers", FORBIDDING, ids=repr)
def test_a_rule_for_us_or_for_everyone_counts(headers: tuple[str, ...]) -> None:
    """In any case and place, in one header of several, behind other rules."""
    assert forbids_ai(headers, "image-insights-pipeline")


@pytest.mark.parametrize("headers", ALLOWING, ids=repr)
def test_other_rules_and_rules_for_other_robots_do_not(headers: tuple[str, ...]) -> None:
    """An index and a search engine are not what is asked about."""
    assert not forbids_ai(headers, "image-insights-pipeline")


@pytest.mark.parametrize("tag", ["noai", "noimageai"])
async def test_a_picture_that_is_not_for_ai_fails_by_name(site: Site, tag: str) -> None:
    """It has a code of its own, is not tried again, and its body is not read."""
    site.pages["/a"] = page(X_Robots_Tag=f"noindex, {tag}")
    error = await failure(site.url("/a"))
    assert (error.code, error.retryable, len(site.requests)) == ("noai", False, 1)
    assert "prepare.honour_noai" in str(error)


async def test_a_job_with_the_right_to_may_use_it(site: Site) -> None:
    """A setting is for those to whom the pictures belong."""
    site.pages["/a"] = page(X_Robots_Tag="noai")
    assert await fetch(site.url("/a"), honour_noai=False) == PICTURE


async def test_each_of_several_headers_is_read(site: Site) -> None:
    """A server may send one header for each rule."""

    async def several(_: web.Request) -> web.Response:
        headers = CIMultiDict([("X-Robots-Tag", "noindex"), ("X-Robots-Tag", "noai")])
        return web.Response(body=PICTURE, headers=headers)

    site.pages["/a"] = several
    assert (await failure(site.url("/a"))).code == "noai"
