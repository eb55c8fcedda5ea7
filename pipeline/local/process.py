"""The service a run asks: the configured endpoint, or the embedded service as a child on a free loopback port."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from glob import escape
from hashlib import file_digest, sha256
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import anyio
import orjson
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from pipeline.config import Config, ModelSettings
from pipeline.errors import ConfigError, ExitCode, PipelineError, ServiceError, Stalled, UsageError
from pipeline.providers import PROVIDERS
from pipeline.providers.base import Provider

STOP_SECONDS = 10.0
# The service says every few seconds how far its index is, as long as it moves.
SILENCE_SECONDS = 300.0
LOOK_SECONDS = 1.0
READY_LINE_BYTES = 65_536
TEXT_PACKAGES = ("rapidocr", "onnxruntime")
# Without it the service can't be imported.
NEEDED = "numpy"
# The command line, imported from where this process imports it, not from what happens to lie in the working folder.
OURSELVES = "import sys; sys.path[:] = {path!r}; from pipeline.entry import main; main()"


@asynccontextmanager
async def open_provider(config: Config) -> AsyncGenerator[tuple[Provider, Process | None]]:
    """Yield the configured provider, and the embedded service's process where it has been started for it."""
    if config.provider.name != "local":
        yield make_provider(config), None
        return
    check_packages()
    log = Path(config.output.dir) / "service.log"
    async with _service(_command(config), log) as (process, port):
        yield make_provider(config, f"http://127.0.0.1:{port}/v7.0"), process


def check_packages() -> None:
    """Raise UsageError where the embedded service can't run in this installation."""
    if find_spec(NEEDED) is None:
        raise UsageError(f'the embedded service can\'t run without the package {NEEDED}; install the extra "service"')


def make_provider(config: Config, endpoint: str = "") -> Provider:
    """Return the configured provider; the embedded one is told its catalogue and model, which its answers come from."""
    settings = config.provider
    if settings.name == "local":
        known = {"catalogue": str(Path(catalogue_of(config)).resolve()), "model": _by_content(model_of(config))}
        settings = settings.model_copy(update={**known, "text": reads_text(config)})
    return PROVIDERS[settings.name].make(settings, endpoint)


def model_of(config: Config) -> ModelSettings | None:
    """Return the embedding model that the embedded service is to use, if any."""
    model: ModelSettings | None = getattr(config.provider, "model", None)
    return model


def reads_text(config: Config) -> bool:
    """Tell whether the embedded service reads text: it is told to, and the packages are there; none is imported."""
    return getattr(config.provider, "text", False) and all(find_spec(name) is not None for name in TEXT_PACKAGES)


def _by_content(model: ModelSettings | None) -> ModelSettings | None:
    """Put the digest of the model's file, and of weights beside it (model.onnx.data), in the place of its path.

    The service's `_digest` of a model must agree, byte for byte: they share no code, and a test compares them.
    """
    if model is None:
        return None
    path, digest = Path(model.path), sha256()
    try:
        for file in sorted(filter(Path.is_file, path.parent.glob(f"{escape(path.name)}*"))) or [path]:
            with file.open("rb") as stream:
                digest.update(file_digest(stream, "sha256").digest())
    except OSError as exc:
        problem = f"{path} can't be read ({exc.strerror}); give the path of an ONNX file"
        raise ConfigError("provider.model.path", [problem]) from exc
    return model.model_copy(update={"path": digest.hexdigest()})


def _command(config: Config) -> list[str]:
    """Return the command that serves the job's catalogue; its index is kept in the output folder."""
    catalogue = catalogue_of(config)
    columns = config.manifest.columns
    command = [sys.executable, "-P", "-c", OURSELVES.format(path=sys.path)]
    command += ["serve", "--catalogue", catalogue, "--port", "0", "--with-parent"]
    command += ["--index", str(Path(config.output.dir) / "index")]
    command += [part for name in ("id", "image") for part in ("--column", f"{name}={getattr(columns, name)}")]
    if catalogue == config.manifest.path:
        command += ["--format", config.manifest.format]
        command += ["--root", config.manifest.root] if config.manifest.root is not None else []
    if (model := model_of(config)) is not None:
        command += [part for key, value in model for part in ("--set", f"model.{key}={orjson.dumps(value).decode()}")]
    command += [] if getattr(config.provider, "text", True) else ["--no-text"]
    return command


def catalogue_of(config: Config) -> str:
    """Return the catalogue that the embedded service is to know; raises ConfigError where none is named."""
    catalogue: str = getattr(config.provider, "catalogue", "") or config.manifest.path
    if catalogue in {"", "-"}:
        what = "a manifest from stdin can't be served" if catalogue else "there is no manifest to search in"
        raise ConfigError("provider.catalogue", [f"is missing: {what}, name a catalogue"])
    return catalogue


@asynccontextmanager
async def _service(command: list[str], log: Path) -> AsyncGenerator[tuple[Process, int]]:
    """Run the service until the block ends; it also ends by itself when this process dies (its stdin closes)."""
    with log.open("wb") as errors:
        process = await anyio.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
    try:
        yield process, await _ready(process, log)
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


async def _ready(process: Process, log: Path) -> int:
    """Wait for the line that says the port; building the index of a large catalogue may take its time.

    Raises Stalled where the service says nothing for SILENCE_SECONDS, in its log or here.
    """
    stdout = BufferedByteReceiveStream(cast("ByteReceiveStream", process.stdout))
    said, since = 0, anyio.current_time()
    try:
        while anyio.current_time() - since < SILENCE_SECONDS:
            with anyio.move_on_after(LOOK_SECONDS):  # what has arrived of the line is kept for the next look
                return int(orjson.loads(await stdout.receive_until(b"\n", READY_LINE_BYTES))["port"])
            if (length := log.stat().st_size) > said:  # noqa: ASYNC240 - a look at a file that is open costs nothing
                said, since = length, anyio.current_time()
    except (anyio.IncompleteRead, anyio.DelimiterNotFound, orjson.JSONDecodeError, KeyError):
        raise await _not_started(process, log) from None
    raise Stalled(
        f"the embedded service got no further with its index for {SILENCE_SECONDS:.0f} s; does the disk of the "
        f"catalogue answer? how far it came is in {log}; run again"
    )


async def _not_started(process: Process, log: Path) -> PipelineError:
    """Return what the service said last; a UsageError where its catalogue or model is wrong."""
    with anyio.move_on_after(STOP_SECONDS):
        await process.wait()
    said = log.read_text(errors="replace").strip().splitlines()  # noqa: ASYNC240 - nothing else runs yet
    kind = UsageError if process.returncode == ExitCode.USAGE else ServiceError
    why = said[-1] if said else "it said nothing"
    return kind(f"the embedded service did not start: {why} (all it said is in {log})")


async def _end(process: Process) -> None:
    """Ask the service to stop, end it where it doesn't, and leave it where a disk that is gone holds it."""
    for end in (process.terminate, process.kill):
        if process.returncode is None:
            end()
            with anyio.move_on_after(STOP_SECONDS):
                await process.wait()
    if process.returncode is not None:
        await process.aclose()
