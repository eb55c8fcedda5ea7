"""The seeds of the fuzz targets, made by code: small valid inputs of every kind that the parsers read."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from PIL import Image

from pipeline.providers.google.settings import FEATURES
from tests.prepare.pictures import noise, scene, stored, with_orientation
from tests.providers.google.vision_answers import annotate
from tests.providers.lens.lens_answers import search_answer
from tests.providers.openai.conftest import completion

BOUNDARY = b"fuzz"
_ANSWERS = Path(__file__).parents[1] / "providers" / "answers"
_CSV = b'id,image,title,crop\r\na,pics/a.png,"A, ""quoted""\nmug",\r\nb,https://a.example/b.jpg,B,"0.1,0.1,0.9,0.9"\r\n'
_JSONL = b'{"id": 7.0, "image": "a.png", "crop": [0, 0, 1, 1]}\n\n{"id": true, "image": ["a.png", "b.png"]}\n'
_TXT = b'# pictures\npics/a.png\n"C:\\pics\\b.png"\ntoken:abc\n//cdn.example/a.jpg\ns3://bucket/a.jpg\n'


def forms() -> list[bytes]:
    """Return bodies of forms, as clients of several kinds write them."""
    knowledge = b'{"imageInfo": {"cropArea": {"top": 0.1, "left": 0.1, "right": 0.9, "bottom": 0.9}}, "a": null}'
    picture = stored(scene(4, 4))
    usual = _part(b'name="knowledgeRequest"', knowledge) + _part(b'name="image"; filename="a.png"', picture)
    bare = usual.replace(b"\r\n", b"\n")
    typed = _part(b"name=image; filename=a", picture, b"Content-Type: image/png; charset=utf-8\r\n")
    wide = _part(b'name="knowledgeRequest"', '{"imageInfo": {"url": "https://a.example/ä.jpg"}}'.encode("utf-16"))
    return [each + b"--" + BOUNDARY + b"--\r\n" for each in (usual, bare, typed, wide, b"")]


def _part(names: bytes, data: bytes, headers: bytes = b"") -> bytes:
    return b"--%s\r\nContent-Disposition: form-data; %s\r\n%s\r\n%s\r\n" % (BOUNDARY, names, headers, data)


@cache
def tables() -> dict[str, list[bytes]]:
    """Return manifests by the suffix of their names."""
    semicolons = b'sep=;\r\nID;Image;Title\r\n1;pics\\a.png;Caf\xe9\r\n;;\r\n2;./b.png;5" ruler\r\n'
    plain = {
        ".csv": [_CSV, semicolons, _CSV.decode().encode("utf-16"), b"\xef\xbb\xbf" + _CSV, b"\n\n" + _CSV],
        ".tsv": [_CSV.replace(b",", b"\t")],
        ".jsonl": [_JSONL, b"[" + _JSONL.replace(b"}\n", b"},\n") + b"]"],
        ".txt": [_TXT],
    }
    packed = {f"{suffix}.gz": [gzip.compress(each, mtime=0) for each in seeds] for suffix, seeds in plain.items()}
    zstd = {f"{suffix}.zst": [zstandard.compress(each) for each in seeds] for suffix, seeds in plain.items()}
    return {
        **plain,
        **packed,
        **zstd,
        ".parquet": [_parquet()],
        ".zip": _zips(),
        ".tar": [_tar("w")],
        ".tgz": [_tar("w:gz")],
    }


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"ID": [1, 2**62], "image": ["a.png", None], "price": [1.5, None]}), file)
    return file.getvalue()


def _zips() -> list[bytes]:
    archives = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name in ("in/a.png", "b.jpg", "../c.png", "d.cr2", "@eaDir/e.png", "notes.txt"):
                archive.writestr(name, stored(scene(3, 3)))
        archives.append(file.getvalue())
    return archives


def _tar(mode: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload] # the mode is one that it takes
        for name in ("a.png", "sub/b.png", "/c.png", "x" * 150 + ".png"):
            data = stored(scene(3, 3))
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def answers(provider: str) -> list[bytes]:
    """Return bodies of answers of a provider: insights, searches, refusals; the first line may be a header."""
    refused = b'{"_type": "ErrorResponse", "errors": [{"code": "InvalidRequest", "subCode": "ParameterMissing", '
    errors = [
        refused + b'"message": "Required parameter is missing.", "parameter": "q", "moreDetails": "x"}]}',
        b'{"error": {"code": "429", "message": "Rate limit is exceeded. Try again in 12 seconds."}}',
        b'{"statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 2.03:04:05."}',
        b'{"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "X", "retryDelay": "1.5s"}]}}',
        b'{"error": {"type": "insufficient_quota", "param": null, "code": "rate_limit_exceeded", "message": "no"}}',
        b'{"search_metadata": {"status": "Error"}, "error": "Your account has run out of searches."}',
        b"1m2s\n<html><body>502 Bad Gateway</body></html>",
        b"",
    ]
    return [*_INSIGHTS[provider](), *errors]


def _google() -> list[bytes]:
    every = annotate(stored(scene(200, 100)), dict.fromkeys(FEATURES.values(), 0), {})
    return [orjson.dumps({"responses": [{name: value}]}) for name, value in every.items()]


def _openai() -> list[bytes]:
    said = {"caption": "A mug", "tags": ["mug"], "text": "", "safety": {"adult": "unlikely"}, "attributes": {}}
    return [orjson.dumps(completion(content)) for content in (said, "```json\n{}\n```", None)]


def _lens() -> list[bytes]:
    kinds = ("visual_matches", "products", "exact_matches", "all")
    return [orjson.dumps(search_answer(kind, "https://e.example.com/a.jpg")) for kind in kinds]


_INSIGHTS: Mapping[str, Callable[[], list[bytes]]] = {
    "bing": lambda: [b"\n" + path.read_bytes() for path in sorted(_ANSWERS.glob("*.json"))],
    "google": _google,
    "lens": _lens,
    "openai": _openai,
}


@cache
def pictures() -> dict[str, list[bytes]]:
    """Return small pictures by format, in several forms of each."""
    small = scene(40, 30)
    profile = {"icc_profile": b"\0" * 128 + b"no profile"}
    draw: dict[str, list[Callable[[], bytes]]] = {
        "JPEG": [
            lambda: stored(small, "JPEG"),
            lambda: stored(small, "JPEG", progressive=True, **profile),
            lambda: stored(small.convert("CMYK"), "JPEG"),
            lambda: with_orientation(small, 6),
        ],
        "PNG": [
            lambda: stored(small),
            lambda: stored(small.convert("P"), transparency=0),
            lambda: stored(small.convert("LA")),
            lambda: stored(small.convert("I;16") if small.mode == "L" else small.convert("L").convert("I;16")),
        ],
        "GIF": [lambda: stored(small.convert("P"), "GIF", save_all=True, append_images=[noise(40, 30).convert("P")])],
        "WEBP": [lambda: stored(small, "WEBP"), lambda: stored(small.convert("RGBA"), "WEBP", lossless=True)],
        "AVIF": [lambda: stored(small, "AVIF", speed=10)],
        "TIFF": [
            lambda: stored(small, "TIFF"),
            lambda: stored(small, "TIFF", compression="tiff_lzw"),
            lambda: stored(small, "TIFF", compression="jpeg"),
            lambda: stored(Image.new("F", (8, 8), 0.5), "TIFF"),
        ],
        "BMP": [lambda: stored(small, "BMP"), lambda: stored(small.convert("1"), "BMP")],
    }
    return {name: [make() for make in makers] for name, makers in draw.items()}
