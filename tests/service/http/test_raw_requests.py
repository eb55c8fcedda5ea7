"""The exact bytes that real clients send, over a raw socket."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.waiting import HANG_SECONDS

if TYPE_CHECKING:
    from tests.service.serving import FixedEngine, Served

URL = b'{"imageInfo": {"url": "https://img.shop.example/3.jpg"}}'
CROP = b'{"imageInfo": {"cropArea": {"top": 0.1, "left": 0.2, "bottom": 0.7, "right": 0.5}}}'
PASCAL = (
    b'{"ImageInfo":{"Url":"https://img.shop.example/3.jpg","ImageInsightsToken":null,"CropArea":null},'
    b'"KnowledgeRequest":{"Filters":null,"InvokedSkillsRequestData":{"EnableEntityData":true}}}'
)
DOTNET_KNOWLEDGE = (
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=knowledgeRequest\r\n\r\n"
)
DOTNET_IMAGE = (
    b"Content-Type: application/octet-stream\r\nContent-Disposition: form-data; name=image; filename=image; "
    b"filename*=utf-8''image\r\n\r\n"
)
PYTHON_KNOWLEDGE = b'Content-Disposition: form-data; name="knowledgeRequest"\r\n\r\n'
PYTHON_IMAGE = (
    b'Content-Disposition: form-data; name="image"; filename="mug.png"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)
NODE_IMAGE = b'Content-Disposition: form-data; name="image"; filename="mug.png"\r\nContent-Type: image/jpeg\r\n\r\n'
BARE_IMAGE = b'Content-Disposition: form-data; name="image"\r\n\r\n'
JSON_KNOWLEDGE = b'Content-Disposition: form-data; name="knowledgeRequest"\r\nContent-Type: application/json\r\n\r\n'
PICTURE = b"(picture)"


def _frame(boundary: bytes, *parts: bytes, tail: bytes = b"\r\n") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + tail for part in parts) + b"--" + boundary + b"--\r\n"


GUID = b"5b3c1ef0-7c5e-4f3c-9d52-2f4f6c3f5a10"
FORMS = {
    "dotnet-url": (b'boundary="' + GUID + b'"', _frame(GUID, DOTNET_KNOWLEDGE + URL), None),
    "dotnet-upload": (b'boundary="' + GUID + b'"', _frame(GUID, DOTNET_IMAGE + PICTURE), None),
    "dotnet-crop-and-upload": (
        b'boundary="' + GUID + b'"',
        _frame(GUID, DOTNET_KNOWLEDGE + CROP, DOTNET_IMAGE + PICTURE),
        (0.2, 0.1, 0.5, 0.7),
    ),
    "python-url": (b"boundary=9b9f8a7c", _frame(b"9b9f8a7c", PYTHON_KNOWLEDGE + URL), None),
    "python-upload": (b"boundary=9b9f8a7c", _frame(b"9b9f8a7c", PYTHON_IMAGE + PICTURE), None),
    "node-upload": (b"boundary=----1d6", _frame(b"----1d6", PYTHON_KNOWLEDGE + b"{}", NODE_IMAGE + PICTURE), None),
    "image-first": (b"boundary=b", _frame(b"b", BARE_IMAGE + PICTURE, PYTHON_KNOWLEDGE + CROP), (0.2, 0.1, 0.5, 0.7)),
    "pascal-case": (b"boundary=b", _frame(b"b", JSON_KNOWLEDGE + PASCAL), None),
    "odd-boundary": (b'boundary="a b/c d"', _frame(b"a b/c d", PYTHON_KNOWLEDGE + URL), None),
    "odd-boundary-bare": (b"boundary=a b/c d", _frame(b"a b/c d", PYTHON_KNOWLEDGE + URL), None),
    "extra-line-end": (b"boundary=b", _frame(b"b", BARE_IMAGE + PICTURE, tail=b"\r\n\r\n"), None),
    "visual-search-guide": (b"boundary=b", _frame(b"b", NODE_IMAGE + b"\r\n" + PICTURE), None),
}


def _exchange(port: int, head: bytes, body: bytes) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS) as connection:
        connection.sendall(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        response = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, content = response.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


@pytest.mark.parametrize("path", ["/v7.0/images/visualsearch", "/bing/v7.0/images/visualsearch/"])
@pytest.mark.parametrize("name", FORMS)
def test_every_client_is_understood(name: str, path: str, served: Served, engine: FixedEngine, picture: bytes) -> None:
    """Each form of request gets insights under both prefixes, with and without a trailing slash."""
    content_type, body, crop = FORMS[name]
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; %s\r\n" % (
        path.encode(),
        content_type,
    )
    status, content = _exchange(served.port, head, body.replace(PICTURE, picture))
    assert status == 200
    assert json.loads(content)["tags"][0]["actions"]
    assert engine.requests == [(crop, None)]


def test_the_journal_describes_each_request(served: Served, picture: bytes) -> None:
    """The journal has the picture's size in bytes and pixels, and no key."""
    served.visual_search(
        None, picture, "?mkt=de-DE", Ocp_Apim_Subscription_Key="secret-of-mine", Accept="application/json"
    )
    [entry] = served.journal
    assert entry.picture is not None
    assert (entry.picture.bytes, entry.picture.width, entry.picture.height) == (len(picture), 200, 200)
    assert (entry.picture.format, entry.status, entry.query) == ("png", 200, "mkt=de-DE")
    assert entry.headers["Accept"] == "application/json"
    assert "secret-of-mine" not in repr(entry)
