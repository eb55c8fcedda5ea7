"""The fuzz targets: what holds for any bytes, at each place where strangers' bytes come in."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipeline.config import ManifestConfig
from pipeline.errors import PrepareError, TableError
from pipeline.manifest import Segment, open_manifest
from pipeline.prepare.fit import fit, fit_from_header
from pipeline.prepare.fit_rules import FitRules
from pipeline.providers import PROVIDERS
from pipeline.providers.base import Provider
from pipeline.records import Answer, Crop, Failure, InsightsToken, Prepared, Problem, Reading, Request, Row
from pipeline.schema import Insights
from pipeline.service.engine.analysis import analyse
from pipeline.service.engine.pictures import read_header
from pipeline.service.findings import BadPicture
from pipeline.service.http.visual_search_request import read_visual_search_request
from pipeline.service.refusals import Refusal, Refused
from pipeline.sink.output_lines import build_record, encode, encode_failure
from tests.fuzz import corpus
from tests.fuzz.mutation import mutated
from tests.manifest.test_opening import Known
from tests.prepare.pictures import opened
from tests.providers.google.conftest import google, sent
from tests.providers.lens.conftest import lens
from tests.providers.lens.conftest import sent as search
from tests.providers.openai.conftest import make as openai

_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MOST_ERROR_BYTES = 4096
_MOST_SECONDS = 5.0  # of the processor's time, for 64 KiB: what takes longer was made to
_RULES = FitRules(max_bytes=20_000, max_side_px=32, max_decode_bytes=64_000_000, strip_metadata=True)
_INSIGHTS = TypeAdapter(Insights)
_KNOWN: Sequence[Known] = ()
_ROW = Row(id="1", image=InsightsToken(token="token"), ordinal=0, line=1)
_BING = PROVIDERS["bing"].make(PROVIDERS["bing"].settings(name="bing"))
_POST = Request(method="POST", target="/images/visualsearch", form="token", crop=Crop(left=0, top=0, right=1, bottom=1))
# What is sent to each provider, and whose answers are its seeds.
_ASKED: Mapping[str, tuple[Provider, Request]] = {
    "bing-knowledge": (_BING, _POST),
    "bing-details": (_BING, Request(method="GET", target="/images/details?insightsToken=token", form="token")),
    "bing-search": (_BING, Request(method="GET", target="/images/search?q=mug&count=10", form="token")),
    "google": (google(features=("labels", "document_text", "web")), sent()),
    "lens": (lens(), search("all")),
    "openai": (
        openai(fields={"material": "what it is made of"}),
        replace(_POST, target="/chat/completions", form="bytes"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A place where strangers' bytes come in: `check` raises where a law doesn't hold for a variant of them."""

    check: Callable[[str, bytes], None]
    seeds: Mapping[str, Sequence[bytes]]
    tokens: Sequence[bytes] = field(default=())

    def hold(self, variant: str, data: bytes) -> None:
        """Check one input, also that it takes little time."""
        begun = time.process_time()
        self.check(variant, data)
        assert time.process_time() - begun < _MOST_SECONDS, "it takes too long"

    def inputs(self) -> st.SearchStrategy[tuple[str, bytes]]:
        """Return a strategy for a variant and bytes of it, or of another one."""
        every = [seed for seeds in self.seeds.values() for seed in seeds]
        return st.sampled_from(sorted(self.seeds)).flatmap(
            lambda variant: st.tuples(
                st.just(variant), mutated(self.seeds[variant], self.tokens) | mutated(every, self.tokens)
            )
        )


def check_form(content_type: str, body: bytes) -> None:
    """Check that a form is read, or refused with an error of bounded length."""
    refusals: list[Refusal] = []
    try:
        read_visual_search_request(content_type, body)
    except Refused as exc:
        refusals.append(exc.refusal)
    assert all(refusal.status == 400 for refusal in refusals)
    assert all(len(orjson.dumps(refusal.body())) < _MOST_ERROR_BYTES for refusal in refusals)


def check_manifest(suffix: str, data: bytes) -> None:
    """Check that every line is a row or a failure that can be written; reading it in segments gives the same."""
    with TemporaryDirectory() as folder:
        config = ManifestConfig(path=str(_written(Path(folder), suffix, data)), root=folder)
        try:
            with open_manifest(config) as manifest:
                rows = list(manifest.rows())
        except TableError:
            return
        assert [row.ordinal for row in rows] == sorted({row.ordinal for row in rows})
        for row in rows:
            assert row.id is None or (row.id.encode() and len(row.id) <= 1000)
            if isinstance(row, Failure):
                assert _CODE.fullmatch(row.code)
                assert len(encode_failure(row, 0.0)) < _MOST_ERROR_BYTES
        with open_manifest(config) as manifest:
            segments: list[Segment[Known]] = []
            while batch := manifest.segments(_KNOWN):
                segments += batch
        items = [item for segment in segments for item in segment.items()]
        assert [item for item in items if isinstance(item, (Row, Failure))] == rows


def _written(folder: Path, suffix: str, data: bytes) -> Path:
    path = folder / f"m{suffix}"
    path.write_bytes(data)
    return path


def check_answer(variant: str, data: bytes) -> None:
    """Check that an answer is insights that make a record, or a problem; its first line may be a header."""
    kind, status = variant.split()
    provider, request = _ASKED[kind]
    header, _, body = data.partition(b"\n")
    headers = dict.fromkeys(provider.kept_headers, header[:200].decode("latin-1"))
    answer = Answer(status=int(status), headers=headers, body=body or data, asked_at=0.0)
    outcome = provider.read(request, answer)
    wait = provider.advice(answer).wait
    assert wait is None or 0 <= wait < float("inf")
    provider.usage(request, answer)
    if isinstance(outcome, Reading):
        _INSIGHTS.validate_python(outcome.insights, strict=True)
        encode(build_record(provider, _ROW, None, [(request, answer)], outcome.insights))
    elif isinstance(outcome, Problem):
        assert outcome.message
        assert outcome.code


def check_picture(_: str, data: bytes) -> None:
    """Check that a picture is brought within the limits or fails by name, at the job and at the service."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is odd in a picture
        with suppress(PrepareError):
            fit_from_header(data, _RULES)
            _check_prepared(fit(data, _RULES))
        with suppress(BadPicture):
            analyse(read_header(data))


def _check_prepared(prepared: Prepared) -> None:
    assert len(prepared.data) <= _RULES.max_bytes
    assert max(prepared.width, prepared.height) <= _RULES.max_side_px
    if prepared.action == "encoded":
        assert opened(prepared.data).size == (prepared.width, prepared.height)


TARGETS: Mapping[str, Target] = {
    "multipart": Target(
        check=check_form,
        seeds={
            f"multipart/form-data; boundary={boundary}": corpus.forms()
            for boundary in (corpus.BOUNDARY.decode(), f'"{corpus.BOUNDARY.decode()}"', "other", "")
        },
        tokens=[b"--" + corpus.BOUNDARY, b"--" + corpus.BOUNDARY + b"--", b"\r\n\r\n", b'; name="image"', b"\r\n "],
    ),
    "manifest": Target(
        check=check_manifest,
        seeds=corpus.tables(),
        tokens=[b"token:", b"https://", b"s3://", b"//a.example/", b"image", b"id", b"sep=;\n", b'""', b"#", b"PK\1\2"],
    ),
    "answer": Target(
        check=check_answer,
        seeds={
            f"{kind} {status}": corpus.answers(kind.partition("-")[0])
            for kind in _ASKED
            for status in (200, 400, 403, 429, 503)
        },
        tokens=[b'"_type"', b'"tags"', b'"actions"', b'"nextOffset"', b'"value"', b"Retry after 3s\n", b"1e400\n"],
    ),
    "picture": Target(
        check=check_picture, seeds=corpus.pictures(), tokens=[b"\xff\xda", b"\xff\xe1", b"IDAT", b"Exif\0\0"]
    ),
}
