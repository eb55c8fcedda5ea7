"""Uploaded pictures are kept for later requests, within limits."""

from __future__ import annotations

from pipeline.service.http.lookup import RecentUploads


def test_uploads_are_kept_within_limits() -> None:
    """The oldest pictures are dropped first; a picture that is uploaded again counts as new."""
    uploads = RecentUploads(max_bytes=30)
    first, second = uploads.add(b"a" * 10, "aa"), uploads.add(b"b" * 10, "bb")
    assert uploads.add(b"a" * 10, "aa") == first
    third = uploads.add(b"c" * 15, "cc")
    assert (uploads.get(first), uploads.get(second), uploads.get(third)) == (b"a" * 10, None, b"c" * 15)
