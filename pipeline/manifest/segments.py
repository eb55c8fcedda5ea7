"""A manifest's rows, one after another or by stretches; lines that an earlier run knows need not be read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from pipeline.records import Failure, Row
from pipeline.tabular.line_reader import LineReader

BATCH_ROWS = 500
BATCH_CHARS = 1_000_000


class KnownSegment(Protocol):
    """Lines that an earlier run knows: their place, how many rows they are, and the digest they had."""

    @property
    def line(self) -> int: ...  # noqa: D102 - fields, explained above
    @property
    def lines(self) -> int: ...  # noqa: D102 - likewise
    @property
    def rows(self) -> int: ...  # noqa: D102 - likewise
    @property
    def digest(self) -> bytes: ...  # noqa: D102 - likewise


P = TypeVar("P", bound=KnownSegment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment(Generic[P]):
    """Consecutive lines, the first of them number `line`.

    `digest` (16 bytes) stands for their text and for all that decides how it is read, `known` is the passage that has
    the same, `rows` reads them, again if need be; relative paths start from `root`. `is_closed` tells whether the rows
    depend on no other line: a quote that isn't closed may end anywhere.
    """

    line: int
    lines: int
    digest: bytes
    rows: Callable[[], Sequence[Row | Failure]]
    root: str
    known: P | None = None
    is_closed: bool = True


class Manifest:
    """An open source of rows, read once from front to end; close it, or use it as a context manager.

    `read` makes rows of lines, counting from an ordinal; `form` is all beside their text that decides what they say.
    """

    def __init__(
        self,
        line_reader: LineReader,
        read: Callable[[LineReader, int], Iterator[Row | Failure]],
        *,
        root: str = "",
        form: bytes = b"",
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._line_reader = line_reader
        self._read = read
        self._root = root
        self._form = form
        self._close = close
        self._ordinal = 0

    @property
    def line(self) -> int:
        """The number of the next line."""
        return self._line_reader.line

    def rows(self) -> Iterator[Row | Failure]:
        """Return the rows that are left, lazily; raises ManifestError where the manifest can't be read on."""
        for row in self._read(self._line_reader, self._ordinal):
            self._line_reader.begin()
            yield row

    def segments(self, known: Sequence[P] = (), salt: bytes = b"") -> list[Segment[P]]:
        """Return what comes next: those of `known` that stand here, unread, else one stretch of rows; [] at the end.

        `known` goes by line; `salt` (at most 32 bytes) goes into the digests. Raises ManifestError.
        """
        return list(self._standing(known, salt)) or self._next(known, salt)

    def close(self) -> None:
        """Close what is open below; a read that waits for stdin ends."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _standing(self, known: Sequence[P], salt: bytes) -> Iterator[Segment[P]]:
        for passage in known:
            line, ordinal = self._line_reader.line, self._ordinal
            if passage.line != line:
                return
            lines = self._line_reader.take(passage.lines)
            if self._digest(lines, salt) != passage.digest:
                self._line_reader.put_back(lines)
                return
            self._ordinal += passage.rows
            yield Segment(
                line=line,
                lines=len(lines),
                digest=passage.digest,
                rows=partial(self._again, lines, line, ordinal),
                root=self._root,
                known=passage,
            )

    def _next(self, known: Sequence[P], salt: bytes) -> list[Segment[P]]:
        """Read on as far as a batch goes, but not into a passage that may stand further on."""
        line_reader = self._line_reader
        line_reader.begin()
        line = line_reader.line
        until = next((passage.line for passage in known if passage.line > line), None)
        rows: list[Row | Failure] = []
        for row in self._read(line_reader, self._ordinal):
            rows.append(row)
            if len(rows) == BATCH_ROWS or line_reader.chars > BATCH_CHARS or (until and line_reader.line >= until):
                break
        if not rows:
            return []
        self._ordinal += len(rows)
        return [
            Segment(
                line=line,
                lines=line_reader.line - line,
                digest=self._digest(line_reader.taken, salt),
                rows=lambda: rows,
                root=self._root,
                is_closed=not line_reader.is_rewound,
            )
        ]

    def _again(self, lines: Sequence[str], line: int, ordinal: int) -> Sequence[Row | Failure]:
        return list(self._read(LineReader(lines, line), ordinal))

    def _digest(self, lines: Sequence[str], salt: bytes) -> bytes:
        text = "".join(lines).encode("utf-8", "surrogateescape")
        return blake2b(text, digest_size=16, key=self._form + salt).digest()
