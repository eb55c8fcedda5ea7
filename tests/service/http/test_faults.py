"""Fault injection: each call gets the fault that the script has for it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.client import IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING

import pytest

from pipeline.service.http.app import JOURNAL
from pipeline.service.http.faults import BOMB_BYTES
from pipeline.service.http.journal import JournalEntry
from tests.waiting import HANG_SECONDS

if TYPE_CHECKING:
    from tests.service.serving import FixedEngine, Served

TARGET = "/v7.0/images/trending"


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("error", 503, {"_type": "ErrorResponse", "errors": [{"code": "C", "message": "M", "subCode": "S"}]}),
        ("nested", 401, {"error": {"code": "C", "message": "M"}}),
        ("flat", 401, {"code": "C", "message": "M"}),
        ("gateway", 429, {"statusCode": 429, "message": "M"}),
    ],
)
def test_the_forms_of_error_bodies(served: Served, kind: str, status: int, body: object) -> None:
    """All four JSON forms of errors, with any status and Retry-After."""
    served.fail({"kind": kind, "status": status, "code": "C", "sub_code": "S", "message": "M", "retry_after": "7"})
    reply = served.send("GET", TARGET)
    assert (reply.status, reply.json, reply.headers["retry-after"]) == (status, body, "7")


def test_bodies_that_are_no_json(served: Served) -> None:
    """An HTML page, an empty body, and garbage."""
    served.fail({"kind": "html", "status": 502}, {"kind": "empty"}, {"kind": "garbage"})
    html, empty, garbage = (served.send("GET", TARGET) for _ in range(3))
    assert (html.status, html.headers["content-type"]) == (502, "text/html")
    assert (empty.status, empty.body) == (200, b"")
    with pytest.raises(json.JSONDecodeError):
        json.loads(garbage.body.decode("latin-1"))


def test_the_script_is_followed_in_order_and_ends(served: Served) -> None:
    """`times` repeats a fault; after the last fault the service responds normally."""
    served.send("POST", "/_faults", b'[{"status": 500, "times": 2}, {"kind": "answer"}]')
    assert [served.send("GET", TARGET).status for _ in range(4)] == [500, 500, 200, 200]
    assert [entry.fault for entry in served.journal] == ["error", "error", "answer", None]
    assert [entry["status"] for entry in served.send("GET", "/_seen").json] == [500, 500, 200, 200]


def test_a_header_injects_one_fault(served: Served) -> None:
    """X-Fault has a kind or a whole fault."""
    assert served.send("GET", TARGET, X_Fault="empty").body == b""
    assert served.send("GET", TARGET, X_Fault='{"status": 418}').status == 418
    assert served.send("GET", TARGET, X_Fault="earthquake").error["parameter"] == "X-Fault"


def test_a_bad_script_is_refused(served: Served) -> None:
    """A fault that doesn't exist is a mistake in the test that uses it."""
    reply = served.send("POST", "/_faults", b'[{"kind": "earthquake"}]')
    assert (reply.status, reply.error["parameter"]) == (400, "faults")


def test_a_response_cut_in_half(served: Served) -> None:
    """The headers have the full length, and half of the body arrives."""
    served.fail({"kind": "truncate"})
    with pytest.raises(IncompleteRead) as caught:
        served.send("GET", TARGET)
    assert caught.value.partial.startswith(b'{"_type":"TrendingImages"')


def test_a_connection_that_is_reset(served: Served) -> None:
    """No byte of a response arrives."""
    served.fail({"kind": "reset"})
    with pytest.raises((ConnectionResetError, RemoteDisconnected)):
        served.send("GET", TARGET)
    assert served.send("GET", TARGET).status == 200


def test_a_response_that_never_comes(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client gives up; the service then drops the request and logs it as 499."""
    recorded, journal = threading.Event(), served.app[JOURNAL]
    record = journal.record

    def record_and_notify(entry: JournalEntry) -> None:
        record(entry)
        recorded.set()

    monkeypatch.setattr(journal, "record", record_and_notify)
    served.fail({"kind": "hang"})
    with socket.create_connection(("127.0.0.1", served.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n" % TARGET.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
    assert recorded.wait(HANG_SECONDS)
    assert [(entry.status, entry.fault) for entry in served.journal] == [(499, "hang")]


def test_a_small_body_that_unpacks_to_a_huge_one(served: Served) -> None:
    """A gzip bomb has under 2 MB on the wire, and 256 MiB when unpacked."""
    served.fail({"kind": "bomb"})
    reply = served.send("GET", TARGET)
    assert reply.headers["content-encoding"] == "gzip"
    assert int.from_bytes(reply.body[-4:], "little") == BOMB_BYTES
    assert len(reply.body) < 2_000_000


def test_faults_are_for_tests_only(engine: FixedEngine, start: Callable[..., Served]) -> None:
    """A service without fault injection ignores the header and has no test endpoints."""
    served = start(engine, faults=False)
    assert served.send("GET", TARGET, X_Fault="empty").json["_type"] == "TrendingImages"
    assert served.send("GET", "/_seen").status == 404
