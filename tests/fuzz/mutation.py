"""Inputs that are nearly right: valid ones in which a few bytes are changed, moved, repeated, cut or replaced."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

MAX_BYTES = 1 << 16
# What breaks parsers: the ends of numbers, marks of encodings, line ends, and text that a terminal would obey.
TOKENS = [
    *(b"\0", b"\n", b"\r\n", b"\r", b'"', b"'", b",", b";", b"\t", b"\\", b"{", b"}", b"[", b"]", b":", b"--", b"/"),
    *(b"\xff", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x80", b"\x1b]0;x\x07", b"\xe2\x80\xae"),
    *(b"NaN", b"Infinity", b"-1", b"1e999", b"36893488147419103232", b"\\ud800", b"true", b"null", b"../", b"%00"),
    *(b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"A" * 300, b"\n" * 300, b"[" * 300),
]


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], tokens: Sequence[bytes] = ()) -> bytes:
    """Draw one of the seeds with some mutations; rarely it is left as it is, or made of nothing but chance."""
    if not draw(st.integers(0, 19)):
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        data = _mutate(draw, data, seeds, [*TOKENS, *tokens])
    return data[:MAX_BYTES]


def _mutate(draw: st.DrawFn, data: bytes, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    start = draw(st.integers(0, len(data)))
    end = min(len(data), start + draw(st.sampled_from([0, 1, 1, 2, 4, 16, 100, 10_000])))
    match draw(st.sampled_from(["token", "bit", "bytes", "delete", "repeat", "cut", "splice"])):
        case "token":
            return data[:start] + draw(st.sampled_from(tokens)) + data[end:]
        case "bit" if start < len(data):
            flipped = data[start] ^ (1 << draw(st.integers(0, 7)))
            return data[:start] + bytes([flipped]) + data[start + 1 :]
        case "bytes":
            return data[:start] + draw(st.binary(max_size=8)) + data[end:]
        case "delete":
            return data[:start] + data[end:]
        case "repeat":
            return data[:start] + data[start:end] * draw(st.sampled_from([2, 3, 50])) + data[end:]
        case "cut":
            return data[:start]
        case "splice":
            other = draw(st.sampled_from(seeds))
            return data[:start] + other[draw(st.integers(0, len(other))) :]
    return data
