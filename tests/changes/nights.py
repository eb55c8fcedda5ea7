"""A catalogue over ten nights with planned changes, run by the real sink; as a program, through kills."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from pipeline.resume.keys import row_key
from pipeline.sink.changes_file import read_changes
from pipeline.sink.finish import compact_job
from pipeline.sink.job_files import CHANGES, open_job
from pipeline.sink.sink import write_batch
from pipeline.state.database import chunks
from pipeline.state.ledger import State
from tests.jobs import finished_record, make_record

NIGHTS = 10
ROWS = 24
SEED = 20261130
_KINDS = ("price", "page", "tag", "text", "picture", "removed", "shuffle", "rank")
KEEP = 90 * 86400.0
# The night, the row, what changed, which item, before and after.
Planned = tuple[int, str, str, str, Any, Any]
Catalogue = dict[str, Any]


def plan_nights() -> Iterator[tuple[Catalogue, list[Planned]]]:
    """Yield the records of each night by id, and what changed since the night before; of the first one, nothing."""
    chance = random.Random(SEED)
    catalogue: Catalogue = {f"r{number}": _first_record(f"r{number}", number) for number in range(ROWS)}
    gone: Catalogue = {}
    yield deepcopy(catalogue), []
    for night in range(2, NIGHTS + 1):
        planned: list[Planned] = []
        rows = chance.sample(sorted(catalogue), len(_KINDS))
        for kind, row in zip(
            ("price", "page", "tag", "text", "picture", "removed", "shuffle", "rank"), rows, strict=False
        ):
            planned += _change(kind, catalogue, gone, row, night)
        new = f"n{night}"
        catalogue[new] = _first_record(new, 100 + night)
        planned.append((night, new, "added", "", None, f"{new}.jpg"))
        if night % 3 == 0:
            back = next(iter(gone))
            catalogue[back] = gone.pop(back)
            planned.append((night, back, "added", "", None, f"{back}.jpg"))
        yield deepcopy(catalogue), planned


def run_night(folder: Path, catalogue: Catalogue) -> None:
    """Do what a run does with the records of a night: write those that the ledger doesn't know so, and finish."""
    records = list(catalogue.values())
    with open_job(folder) as job:
        job.state.history.begin_run()
        known = job.state.known_rows.look_up([row_key(record["id"]) for record in records])
        job.state.known_rows.note_seen({row_key(record["id"]): line for line, record in enumerate(records, 1)})
        pending = []
        for record in records:
            row, digest = known.get(row_key(record["id"])), blake2b(orjson.dumps(record), digest_size=16).digest()
            if row is None or row.state != State.DONE or row.content_key != digest:
                pending.append(finished_record(record, content_key=digest))
        for batch in chunks(pending, 4):
            write_batch(job, batch)
        compact_job(job, False, KEEP)


def changes_of(folder: Path) -> Counter[tuple[object, ...]]:
    """Return the changes of a job, without the runs that found them."""
    changes = read_changes(folder / CHANGES)
    return Counter(
        (change.id, change.name, change.difference.item, change.difference.before, change.difference.after)
        for change in changes
    )


def planned_changes(planned: list[Planned]) -> Counter[tuple[object, ...]]:
    """Return what is planned in the form of `changes_of`."""
    return Counter(change[1:] for change in planned)


def _first_record(row_id: str, number: int) -> Any:
    return make_record(
        row_id,
        number,
        offers=[{"url": f"https://shop.example/{row_id}", "price": 10.0 + number, "currency": "EUR"}],
        pages=[{"host_page_url": f"https://page.example/{row_id}/{each}"} for each in range(3)],
        tags=[{"name": name, "sources": [], "actions": []} for name in ("a", "b", "c")],
        text={"full": f"text of {row_id}", "regions": [], "sources": []},
        similar_images={"items": [{"host_page_url": f"https://like.example/{each}"} for each in range(3)]},
    )


def _change(kind: str, catalogue: Catalogue, gone: Catalogue, row: str, night: int) -> list[Planned]:
    """Change a row in one way, and return what of that is a change."""
    record = catalogue[row]
    match kind:
        case "price":
            offer = record["offers"][0]
            before, offer["price"] = offer["price"], offer["price"] + night
            return [(night, row, "offers.price", offer["url"], before, offer["price"])]
        case "page":
            old, new = record["pages"].pop(0)["host_page_url"], f"https://new.example/{row}/{night}"
            record["pages"].append({"host_page_url": new})
            return [(night, row, "pages", old, old, None), (night, row, "pages", new, None, new)]
        case "tag":
            record["tags"].append({"name": f"t{night}", "sources": [], "actions": []})
            return [(night, row, "tags", f"t{night}", None, f"t{night}")]
        case "text":
            before, record["text"]["full"] = record["text"]["full"], f"text of night {night}"
            return [(night, row, "text", "", before, record["text"]["full"])]
        case "picture":
            before, record["source"]["sha256"] = record["source"]["sha256"], f"{night:064d}"
            return [(night, row, "picture", "", before, record["source"]["sha256"])]
        case "removed":
            gone[row] = catalogue.pop(row)
            return [(night, row, "removed", "", f"{row}.jpg", None)]
        case "shuffle":
            record["pages"].reverse()
            record["tags"].reverse()
        case "rank":
            record["similar_images"]["items"].pop(0)
    return []


def _die_at(number: int) -> None:
    """Let this process be killed before its action with that number: a statement, a write, a sync or a rename."""
    left = [number]

    def act(*_: object) -> int:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def connect(*args: Any, real: Any = sqlite3.connect, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*args, **options)
        connection.set_trace_callback(act)
        return connection

    sqlite3.connect = connect  # type: ignore[assignment] # for this process alone
    for name in ("write", "fsync", "fdatasync", "replace", "ftruncate"):
        real = getattr(os, name)
        setattr(os, name, lambda *args, real=real: (act(), real(*args))[1])


def _killed(folder: Path, catalogue: Catalogue, number: int) -> bool:
    """Run a night in a child that dies at an action; return False where it ended before."""
    if os.fork() == 0:
        _die_at(number)
        run_night(folder, catalogue)
        os._exit(0)
    return os.wait()[1] != 0


def storm(folder: Path) -> None:
    """Run all nights, each killed three times at random before it is finished."""
    chance = random.Random(SEED)
    for catalogue, _ in plan_nights():
        for _ in range(3):
            _killed(folder, catalogue, chance.randrange(5, 250))
        run_night(folder, catalogue)


def at_any_instant(folder: Path, night: int, step: int) -> None:
    """Run copies of a job through a night, each killed some actions later, and finish it; leave every copy there."""
    (catalogue, _) = list(plan_nights())[night - 1]
    number = 0
    while True:
        copy = folder.with_name(f"killed-{number}")
        shutil.copytree(folder, copy)
        killed = _killed(copy, catalogue, number)
        run_night(copy, catalogue)
        if not killed:
            return
        number += step


if __name__ == "__main__":
    command, place, *numbers = sys.argv[1:]
    if command == "storm":
        storm(Path(place))
    else:
        at_any_instant(Path(place), *map(int, numbers))
