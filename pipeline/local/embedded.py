"""What the embedded service of a job is told: its catalogue, its model, whether it reads text; as a command line."""

from __future__ import annotations

import sys
from glob import escape
from hashlib import file_digest, sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import orjson

from pipeline.config import Config, EmbeddedSettings, ModelSettings
from pipeline.errors import ConfigError, UsageError
from pipeline.tabular.formats import TableFile, format_name
from pipeline.tabular.location import is_cloud, local_path

S = TypeVar("S", bound=EmbeddedSettings)

TEXT_PACKAGES = ("rapidocr", "onnxruntime")
# Keys of the manifest that say what the catalogue says as well, and how it is read where it is the manifest.
_COLUMNS = ("id", "image")
_READING = ("format", "delimiter", "encoding", "root", "split", "skip_without_image")
# Without it the service can't be imported.
NEEDED = "numpy"
# The command line, imported from where this process imports it, not from what happens to lie in the working folder.
OURSELVES = "import sys; sys.path[:] = {path!r}; from pipeline.entry import main; main()"


def check_packages() -> None:
    """Raise UsageError where the embedded service can't run in this installation."""
    if find_spec(NEEDED) is None:
        raise UsageError(f'the embedded service can\'t run without the package {NEEDED}; install the extra "service"')


def reads_text(settings: EmbeddedSettings) -> bool:
    """Return True if the service is told to read text and the packages for it are there; none is imported."""
    return settings.text and all(find_spec(name) is not None for name in TEXT_PACKAGES)


def resolved(settings: S, config: Config) -> S:
    """Return settings that name what the answers come from: a whole path, a model's content, text that can be read."""
    model = _by_content(settings.model)
    catalogue = str(Path(catalogue_of(settings, config)).resolve())
    return settings.model_copy(update={"catalogue": catalogue, "model": model, "text": reads_text(settings)})


def catalogue_of(settings: EmbeddedSettings, config: Config) -> str:
    """Return the catalogue that the service is to know; raises ConfigError where none is named."""
    catalogue = settings.catalogue or config.manifest.path
    if catalogue in {"", "-"}:
        what = "a manifest from stdin can't be served" if catalogue else "there is no manifest to search in"
        raise ConfigError("provider.catalogue", [f"is missing: {what}, name a catalogue"])
    catalogue = local_path(catalogue)
    if is_cloud(catalogue):
        problem = f"the embedded service can't read {catalogue}; copy it to this machine, and name the copy"
        raise ConfigError("provider.catalogue", [problem])
    reading = config.manifest.format if catalogue == local_path(config.manifest.path) else "auto"
    if format_name(TableFile(path=catalogue, format=reading, section="manifest")) in {"zip", "tar"}:
        problem = f"the embedded service can't read the archive {catalogue}; unpack it, and name its folder"
        raise ConfigError("provider.catalogue", [problem])
    return catalogue


def command_of(settings: EmbeddedSettings, config: Config) -> list[str]:
    """Return the command that serves the job's catalogue; its index is kept in the output folder."""
    catalogue = catalogue_of(settings, config)
    command = [sys.executable, "-P", "-c", OURSELVES.format(path=sys.path)]
    command += ["serve", "--catalogue", catalogue, "--port", "0", "--with-parent"]
    command += ["--index", str(Path(config.output.dir) / "index")]
    given: dict[str, object] = {f"catalogue.columns.{key}": getattr(config.manifest.columns, key) for key in _COLUMNS}
    if catalogue == local_path(config.manifest.path):
        given |= {f"catalogue.{key}": getattr(config.manifest, key) for key in _READING}
    if settings.model is not None:
        given |= {f"model.{key}": value for key, value in settings.model}
    sets = (f"{key}={orjson.dumps(value).decode()}" for key, value in given.items() if value is not None)
    command += [part for value in sets for part in ("--set", value)]
    return command if settings.text else [*command, "--no-text"]


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
