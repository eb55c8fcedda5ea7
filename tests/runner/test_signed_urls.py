"""Whole runs over pictures behind signed URLs: what signs them is in no file and no message, even if it comes back."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pipeline.commands.check import check
from pipeline.commands.plan import make_plan
from pipeline.runner.job import run
from tests.running import KEY, KEY_ENV, lines_of, load, write_config, write_manifest

SIGNATURE = "c2lnbmF0dXJl/k+0123456789abcdef="
QUERY = f"X-Amz-Date=20261130T000000Z&X-Amz-Expires=60&X-Amz-Signature={quote_plus(SIGNATURE)}"
SPELLINGS = [SIGNATURE, quote_plus(SIGNATURE), quote(quote_plus(SIGNATURE)), "pass-word"]


async def search(request: web.Request) -> web.Response:
    """Answer for a URL, and repeat it: in tags, or in an error."""
    url = (await request.text()).partition('"url":"')[2].partition('"')[0]
    assert quote_plus(SIGNATURE) in url
    if "refused" in url:
        error = {"code": "InvalidRequest", "subCode": "ParameterInvalidValue", "parameter": "url", "value": url}
        return web.json_response({"_type": "ErrorResponse", "errors": [error | {"message": f"not {url}"}]}, status=400)
    image = {"name": url, "contentUrl": url, "webSearchUrl": f"https://a.example/?q=imgurl:{quote_plus(url)}"}
    action = {"actionType": "PagesIncluding", "data": {"value": [image]}}
    return web.json_response({"_type": "ImageKnowledge", "tags": [{"displayName": "", "actions": [action]}]})


@pytest.mark.parametrize("has_ids", [True, False], ids=["ids", "no ids"])
@pytest.mark.parametrize("form", ["url", "upload"])
async def test_what_signs_a_url_is_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], form: str, *, has_ids: bool
) -> None:
    """Rows that succeed, are refused by the service, by the picture's server, and by our own rules."""
    monkeypatch.setenv(KEY_ENV, KEY)
    app = web.Application()
    app.router.add_post("/v7.0/images/visualsearch", search)
    async with TestServer(app) as server:
        base = str(server.make_url("/"))
        urls = [f"{base}{name}.jpg?id=1&{QUERY}" for name in ("good", "refused")]
        urls += [f"https://me:pass-word@a.example/x?{QUERY}", f"{base}a b.jpg?{QUERY}", f"ftp://a.example/x?{QUERY}"]
        rows = [{"image": url} | ({"id": str(number)} if has_ids else {}) for number, url in enumerate(urls)]
        config = load(
            write_config(
                tmp_path / "job.toml",
                write_manifest(tmp_path / "manifest.csv", rows),
                f"{base}v7.0",
                provider={"url_form": form},
                prepare={"allow_private": True},
                retry={"attempts": 1, "first_wait": "10ms", "max_wait": "50ms"},
            )
        )
        said = [*check(config), make_plan(config).text()]
        report = await run(config)
        said += [report.summary(), make_plan(config).text()]
    out = tmp_path / "out"
    records, failures = lines_of(out / "insights.jsonl"), lines_of(out / "failures.jsonl")
    assert (len(records), len(failures)) == ((2, 3) if form == "url" else (0, 5))
    urls = [line["image"] for line in failures] + [record["source"]["url"] for record in records]
    names = {f"{base}good.jpg?id=1", f"{base}refused.jpg?id=1", "https://a.example/x", "ftp://a.example/x"}
    assert set(urls) == {*names, f"{base}a b.jpg"}
    kept = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert b"good.jpg" in kept or form == "upload"
    everything = kept.decode("latin-1") + "".join(said) + "".join(capfd.readouterr())
    assert [spelling for spelling in SPELLINGS if spelling in everything] == []
