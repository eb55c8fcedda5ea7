"""A manifest's rows, one after another or in segments; lines that an earlier run knows need not be parsed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from pipeline.manifest.rows import Item
from pipeline.records import Failure, Row, Skipped
from pipeline.tabular.line_reader import LineReader

BATCH_ROWS = 500
BATCH_CHARS = 1_000_000
_DIGESTED_LINES = 100  # at once: a few may be long, see LineReader


class KnownSegment(Protocol):
    """A segment that an earlier run knows: its first line, its numbers of lines and items, and the digest it had."""

    @property
    def line(self) -> int: ...  # noqa: D102 - fields, explained above
    @property
    def lines(self) -> int: ...  # noqa: D102 - likewise
    @property
    def rows(self) -> int: ...  # noqa: D102 - likewise
    @property
    def digest(self) -> bytes: ...  # noqa: D102 - likewise


K = TypeVar("K", bound=KnownSegment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment(Generic[K]):
    """Consecutive lines of a manifest, beginning with number `line`.

    `digest` (16 bytes) is of their text and of everything that decides how it is read; `known` is the known segment
    with the same digest. `items` returns the rows and what is skipped, and parses the lines first where that wasn't
    done yet. Relative paths start from `root`. `is_closed` is true where the rows depend on no other line (a quote that
    isn't closed may end anywhere).
    """

    line: int
    lines: int
    digest: bytes
    items: Callable[[], Sequence[Item]]
    root: str
    known: K | None = None
    is_closed: bool = True


class Manifest:
    """An open source of rows, read once from front to end; close it, or use it as a context manager.

    `read` makes the items of each line and numbers them from an ordinal on: rows, and what is skipped. `reading` is a
    digest (at most 32 bytes) of all that decides what the text of a line says. `notes` are sentences about what was
    found out when it was opened. `skipped` counts what `rows` has left out so far.
    """

    def __init__(
        self,
        lines: LineReader,
        read: Callable[[LineReader, int], Iterator[Sequence[Item]]],
        *,
        root: str = "",
        reading: bytes = b"",
        notes: Sequence[str] = (),
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._lines = lines
        self._read = read
        self._root = root
        self._reading = reading
        self.notes = notes
        self._close = close
        self._ordinal = 0
        self.skipped = 0

    @property
    def line(self) -> int:
        """The number of the next line."""
        return self._lines.line

    def rows(self) -> Iterator[Row | Failure]:
        """Return the rows that are left, lazily; raises TableError where the manifest can't be read on."""
        for items in self._read(self._lines, self._ordinal):
            self._lines.forget()
            for item in items:
                if isinstance(item, Skipped):
                    self.skipped += 1
                else:
                    yield item

    def look_ahead(self, most: int) -> int:
        """Return how many of the next rows can be done, `most` at most; they are still to be read afterwards.

        Their lines are held in memory. Raises TableError where the manifest can't be read on.
        """
        lines = self._lines
        lines.forget()
        line, rows = lines.line, 0
        for items in self._read(lines, self._ordinal):
            rows += sum(isinstance(item, Row) for item in items)
            if rows >= most:
                break
        lines.rewind(line)
        lines.forget()
        return min(rows, most)

    def segments(self, known: Sequence[K] = (), settings: bytes = b"") -> list[Segment[K]]:
        """Return the segments of `known` that come next, unparsed, or else one new segment; [] at the end.

        `known` is in order of lines. `settings` (at most 32 bytes) is what else a digest depends on. Raises TableError
        where the manifest can't be read on.
        """
        return list(self._known_segments(known, settings)) or self._new_segment(known, settings)

    def close(self) -> None:
        """Close the file; a read that waits for stdin ends."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _known_segments(self, known: Sequence[K], settings: bytes) -> Iterator[Segment[K]]:
        """Take the lines of one known segment after another, as long as their text is what it was."""
        for segment in known:
            line, ordinal = self._lines.line, self._ordinal
            if segment.line != line:
                return
            lines = self._lines.read(segment.lines)
            if self._digest(lines, settings) != segment.digest:
                self._lines.put_back(lines)
                return
            self._ordinal += segment.rows
            yield Segment(
                line=line,
                lines=self._lines.line - line,
                digest=segment.digest,
                items=partial(self._parse, lines, line, ordinal),
                root=self._root,
                known=segment,
            )

    def _new_segment(self, known: Sequence[K], settings: bytes) -> list[Segment[K]]:
        """Parse the lines of one batch, but none of a known segment further on: its text may be what it was.

        A batch ends behind the last item of a line.
        """
        reader = self._lines
        reader.forget()
        line = reader.line
        until = next((segment.line for segment in known if segment.line > line), None)
        items: list[Item] = []
        for of_line in self._read(reader, self._ordinal):
            items += of_line
            if len(items) >= BATCH_ROWS or reader.taken_chars > BATCH_CHARS or (until and reader.line >= until):
                break
        if not items:
            return []
        self._ordinal += len(items)
        return [
            Segment(
                line=line,
                lines=reader.line - line,
                digest=self._digest(reader.taken, settings),
                items=lambda: items,
                root=self._root,
                is_closed=not reader.is_rewound,
            )
        ]

    def _parse(self, lines: Sequence[str], line: int, ordinal: int) -> Sequence[Item]:
        return [item for items in self._read(LineReader(lines, line), ordinal) for item in items]

    def _digest(self, lines: Sequence[str], settings: bytes) -> bytes:
        digest = blake2b(digest_size=16, key=self._reading + settings)
        for start in range(0, len(lines), _DIGESTED_LINES):
            text = "".join(lines[start : start + _DIGESTED_LINES])
            digest.update(text.encode("utf-8", "surrogateescape"))
        return digest.digest()
