"""Pictures are worked on in processes that can be ended: whatever one does, it costs that picture only."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import orjson
import pytest

from pipeline.decoding import child
from pipeline.errors import ServiceError
from pipeline.service.engine import decoder_messages
from pipeline.service.engine.analysis import Analysis, analyse, pack_features
from pipeline.service.engine.decoder_messages import check_reply, pack_bug, pack_problem
from pipeline.service.engine.decoders import Decoders, DecodersClosed
from pipeline.service.engine.model_input import read_model_input
from pipeline.service.engine.pictures import WHOLE, read_header
from pipeline.service.engine.query import read_query
from pipeline.service.engine.thumbnails import make_thumbnail
from pipeline.service.findings import BadPicture, ModelConfig
from tests.poison import COMPUTE, CRASH, HANG, TAKE_MEMORY, acting, acting_decoder
from tests.service.engine.drawing import draw, encode
from tests.waiting import HANG_SECONDS, wait_until

PICTURE = encode(draw(1, (400, 300)))


@pytest.fixture(scope="module", autouse=True)
def _acting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let all processes here have the decoder for tests."""
    with acting_decoder(tmp_path_factory.mktemp("decoder")):
        yield


@pytest.fixture
def pool() -> Iterator[Decoders]:
    """Return one process."""
    with Decoders(1) as pool:
        yield pool


def as_bytes(analysis: Analysis) -> tuple[object, bytes]:
    return analysis.facts, pack_features(analysis.features)


def own_pid(pool: Decoders) -> str:
    """Return the id of the process that works on the next picture."""
    with pytest.raises(BadPicture, match="can't be decoded") as caught:
        pool.analyse(acting(1, "raise ValueError(f'process {os.getpid()}')"))
    return str(caught.value)


def test_results_are_those_of_this_process(pool: Decoders) -> None:
    """Whatever is done in a process comes back as it was there."""
    assert as_bytes(pool.analyse(PICTURE)) == as_bytes(analyse(read_header(PICTURE)))
    crop = (0.1, 0.2, 0.8, 0.9)
    ours, theirs = read_query(read_header(PICTURE), crop), pool.read_query(PICTURE, crop)
    assert theirs.facts == ours.facts
    assert [(view.box, view.mirrored, pack_features(view.features)) for view in theirs.views] == [
        (view.box, view.mirrored, pack_features(view.features)) for view in ours.views
    ]
    model = ModelConfig(path=Path("model.onnx"), size_px=33, resize="pad")
    assert np.array_equal(
        pool.read_model_input(PICTURE, WHOLE, model), read_model_input(read_header(PICTURE), WHOLE, 33, "pad")
    )
    assert pool.make_thumbnail(PICTURE, 50, 40) == make_thumbnail(read_header(PICTURE), 50, 40)


def test_a_bad_picture_is_one_there_too(pool: Decoders) -> None:
    """Code and text come back, and the process is used again."""
    first = own_pid(pool)
    with pytest.raises(BadPicture, match="no side may be longer than 300 px") as caught:
        pool.read_query(PICTURE, WHOLE, 300)
    assert caught.value.code == "too-many-pixels"
    with pytest.raises(BadPicture, match="a web page") as caught:
        pool.analyse(b"<html>")
    assert caught.value.code == "unknown-format"
    assert own_pid(pool) == first


@pytest.mark.parametrize(
    ("act", "code", "message"),
    [
        (CRASH, "decoder-died", r"crashed \(SIGSEGV\)"),
        ("os.kill(os.getpid(), signal.SIGBUS)", "decoder-died", r"crashed \(SIGBUS\)"),
        ("os._exit(3)", "decoder-died", r"crashed \(exit code 3\)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "decoder-died", "out of memory"),
        ("os.write(0, bytes(100)); " + HANG, "decoder-died", "sent nonsense"),
        ("os.write(0, bytes([255] * 100)); " + HANG, "decoder-died", "sent nonsense"),
        ("os.write(0, bytes(7) + b'\\x02[]' + bytes(8)); " + HANG, "decoder-died", "sent nonsense"),
        ("os.write(0, bytes(7) + b'\\x02{}' + bytes(8)); " + HANG, "decoder-died", "sent nonsense"),
        (TAKE_MEMORY, "too-many-pixels", "not enough memory"),
    ],
    ids=["crash", "other-crash", "exit", "killed", "no-json", "endless", "no-object", "no-facts", "memory"],
)
def test_a_poison_picture_fails_alone(pool: Decoders, act: str, code: str, message: str) -> None:
    """A picture that crashes its decoder, or takes it over, is named for it; the next one is worked on."""
    with pytest.raises(BadPicture, match=message) as caught:
        pool.analyse(acting(1, act))
    assert caught.value.code == code
    assert pool.analyse(PICTURE).facts.width == 400


# A decoder's own clocks run towards the deadline, and are put forward to it.
CLOCKS = """
wall, processor = (signal.getitimer(clock)[0] for clock in (signal.ITIMER_REAL, signal.ITIMER_PROF))
assert 2.5 < processor <= 3.1 and 3.1 < wall <= 6.2
signal.setitimer({clock}, 0.05)
"""


@pytest.mark.parametrize(
    ("clock", "act"), [("signal.ITIMER_PROF", COMPUTE), ("signal.ITIMER_REAL", HANG)], ids=["computes", "waits"]
)
def test_a_picture_that_takes_too_long_is_ended(pool: Decoders, clock: str, act: str) -> None:
    """Its time goes by its pixels: three seconds of the processor for a small one, twice that for all it does."""
    with pytest.raises(BadPicture, match="takes too long") as caught:
        pool.analyse(acting(1, CLOCKS.format(clock=clock) + act))
    assert caught.value.code == "too-slow"
    assert pool.analyse(PICTURE).facts.width == 400


def test_a_large_picture_has_more_time() -> None:
    """The largest one that is decoded has 43 s of the processor."""
    assert pytest.approx(43, abs=1) == child.BASE_SECONDS + child.SECONDS_PER_PX * 2**28


def test_a_process_that_was_killed_gets_a_second_chance(pool: Decoders, tmp_path: Path) -> None:
    """The system kills for lack of memory, which may be the fault of another."""
    died = tmp_path / "died"
    act = f"if not os.path.exists({str(died)!r}): os.mkdir({str(died)!r}); os.kill(os.getpid(), signal.SIGKILL)"
    assert pool.analyse(acting(1, act)).facts.width == 200
    assert died.exists()


def test_a_process_that_has_grown_is_replaced(pool: Decoders) -> None:
    """What a large picture has taken is given back to the system."""
    first = own_pid(pool)
    assert own_pid(pool) == first
    pool.analyse(acting(1, "sys.kept = b'x' * 300 * 1024**2"))
    assert own_pid(pool) != first


def test_a_bug_is_no_fault_of_the_picture(pool: Decoders) -> None:
    """It is reported as a bug, and the process goes on."""
    with pytest.raises(ServiceError, match="which is a bug") as caught:
        pool.make_thumbnail(PICTURE, "wide", 50)  # type: ignore[arg-type] # as only a bug can
    assert not isinstance(caught.value, BadPicture)
    assert pool.analyse(PICTURE).facts.width == 400


def test_a_process_gets_no_keys(pool: Decoders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A decoder that is taken over by a picture finds none in its environment."""
    monkeypatch.setenv("SHOP_KEY", "recognisable")
    pool.analyse(acting(1, f"open({str(tmp_path / 'seen')!r}, 'w').write(str(dict(os.environ)))"))
    seen = (tmp_path / "seen").read_text()
    assert "PATH" in seen
    assert "recognisable" not in seen


def test_closing_ends_what_is_in_progress(tmp_path: Path) -> None:
    """Calls in progress and later ones say that the service is stopping."""
    begun = tmp_path / "begun"
    with ThreadPoolExecutor(1) as threads:
        pool = Decoders(1)
        busy = threads.submit(pool.analyse, acting(1, f"os.mkdir({str(begun)!r}); {HANG}"))
        wait_until(begun.exists, "the picture is worked on")
        pool.close()
        with pytest.raises(DecodersClosed):
            busy.result(HANG_SECONDS)
    with pytest.raises(DecodersClosed):
        pool.analyse(PICTURE)


def test_no_more_processes_than_allowed(tmp_path: Path) -> None:
    """Further calls wait for a process."""
    with Decoders(2) as pool, ThreadPoolExecutor(8) as threads:
        barrier = threading.Barrier(8)
        act = f"open({str(tmp_path)!r} + '/' + str(os.getpid()), 'w').close()"

        def call() -> None:
            barrier.wait()
            pool.analyse(acting(1, act))

        for future in [threads.submit(call) for _ in range(8)]:
            future.result(HANG_SECONDS)
    assert 1 <= len(os.listdir(tmp_path)) <= 2  # noqa: PTH208 - only their number counts


def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said why, and no picture is blamed."""

    def refuse(_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("pipeline.decoding.pool.DecoderProcess", refuse)
    with Decoders(1) as pool, pytest.raises(ServiceError, match="Resource temporarily unavailable"):
        pool.analyse(PICTURE)


@pytest.mark.parametrize(
    "reply",
    [pack_problem(BadPicture("damaged", "odd \ud800 text" + "x" * 5000)), pack_bug(ValueError("odd \ud800 text"))],
)
def test_problems_arrive_as_short_texts(reply: decoder_messages.Reply) -> None:
    """What cannot be encoded is replaced, and what is too long is cut."""
    with pytest.raises(ServiceError, match=r"odd \? text") as caught:
        check_reply(orjson.loads(reply[0]))
    assert len(str(caught.value)) <= 1100


def test_an_unknown_code_is_nonsense() -> None:
    """A process that was taken over can't make up codes."""
    with pytest.raises(ValueError, match="not a code"):
        check_reply({"code": "own", "message": "x"})
