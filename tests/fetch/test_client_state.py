"""The client id: kept from the first answer, by service, in spite of whatever lies on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.fetch.client_state import ClientState

CLIENT_ID = "X-MSEdge-ClientID"


def test_the_first_id_outlives_the_run(tmp_path: Path) -> None:
    """What another answer says later changes nothing; another service has an id of its own."""
    first = ClientState("https://a.example", CLIENT_ID, tmp_path / "clients")
    first.remember({"date": "today"})
    assert first.headers == {}
    first.remember({"x-msedge-clientid": "A1"})
    first.remember({"x-msedge-clientid": "A2"})
    assert ClientState("https://a.example", CLIENT_ID, tmp_path / "clients").headers == {CLIENT_ID: "A1"}
    assert ClientState("https://b.example", CLIENT_ID, tmp_path / "clients").headers == {}
    assert [path.read_text() for path in (tmp_path / "clients").iterdir()] == ["A1"]


@pytest.mark.parametrize("value", ["", "a b", "x" * 201, "a\r\nCookie: b", "\u00e9"])
def test_no_other_value_gets_into_a_header(tmp_path: Path, value: str) -> None:
    """Neither from an answer nor from the disk."""
    kept = ClientState("s", CLIENT_ID, tmp_path)
    kept.remember({"x-msedge-clientid": value})
    assert kept.headers == {}
    kept.remember({"x-msedge-clientid": "good"})
    (file,) = tmp_path.iterdir()
    file.write_text(value, encoding="utf-8", newline="")
    assert ClientState("s", CLIENT_ID, tmp_path).headers == {}


def test_a_folder_that_can_not_be_used_costs_only_the_id(tmp_path: Path) -> None:
    """The id then lasts no longer than the run."""
    (tmp_path / "file").write_text("in the way")
    kept = ClientState("s", CLIENT_ID, tmp_path / "file")
    kept.remember({"x-msedge-clientid": "A1"})
    assert kept.headers == {CLIENT_ID: "A1"}


def test_a_refused_id_is_forgotten(tmp_path: Path) -> None:
    """In memory and on the disk; the next one is kept like a first one."""
    kept = ClientState("s", CLIENT_ID, tmp_path)
    kept.remember({"x-msedge-clientid": "A1"})
    kept.forget()
    assert (kept.headers, list(tmp_path.iterdir())) == ({}, [])
    kept.remember({"x-msedge-clientid": "A2"})
    assert ClientState("s", CLIENT_ID, tmp_path).headers == {CLIENT_ID: "A2"}


def test_a_service_without_a_client_id_gets_none(tmp_path: Path) -> None:
    """Where the provider names no header, nothing is kept, sent or written."""
    kept = ClientState("s", None, tmp_path)
    kept.remember({"x-msedge-clientid": "A1"})
    assert (kept.headers, list(tmp_path.iterdir())) == ({}, [])
