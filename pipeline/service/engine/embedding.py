"""The user's own embedding model: an ONNX file, checked once, that turns pictures into vectors of length 1."""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape
from hashlib import file_digest, sha256
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageOps

from pipeline.errors import ConfigError, ServiceError
from pipeline.service.engine.color import Floats
from pipeline.service.engine.pictures import WHOLE, open_picture
from pipeline.service.findings import Crop, ModelConfig

# Changes whenever the same model and preprocessing would be fed other numbers.
ALGORITHM = "1"
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_SILENT = 4


class Session(Protocol):
    """What is used of onnxruntime.InferenceSession."""

    def get_inputs(self) -> Sequence[Any]:
        """Return the inputs, each with name, type, and a shape of numbers and names."""

    def get_outputs(self) -> Sequence[Any]:
        """Return the outputs, likewise."""

    def run(self, output_names: Sequence[str], input_feed: dict[str, Any]) -> Sequence[Any]:
        """Return the arrays of the named outputs."""


class Embedder:
    """A model at work; safe to share between threads: a call computes in its caller's thread, on one core.

    `key` names model and preprocessing: equal keys, equal vectors. `alike_from` is the least cosine of look-alikes.
    """

    def __init__(self, config: ModelConfig, session: Session, digest: str) -> None:
        self._config, self._session = config, session
        self._input = _find_input(session, config)
        self._output = _find_output(session, config)
        self._type = _TYPES[self._input.type]
        self._batch = self._input.shape[0] if isinstance(self._input.shape[0], int) else 1
        self.key = _key(config, digest)
        self.alike_from = config.alike_from
        self.dimensions = len(self._try())

    def embed(self, data: bytes, *, crop: Crop = WHOLE) -> Floats:
        """Return a picture's vector, of length 1; zeros, which are like nothing, where the model has no finite one.

        Raises BadPicture, and ServiceError where the model fails.
        """
        vector = self._run(open_picture(data, crop=crop, side_px=self._config.size_px).pixels).ravel()
        length = float(np.linalg.norm(vector))
        return vector / length if 0 < length < np.inf else np.zeros_like(vector)

    def _run(self, picture: Image.Image) -> Floats:
        """Return the model's answer for one picture, without dimensions of 1; a fixed batch is filled with copies."""
        batch = np.repeat(prepare(picture, self._config)[None].astype(self._type), self._batch, axis=0)
        try:
            (answer,) = self._session.run([self._output.name], {self._input.name: batch})
            vector: Floats = np.atleast_1d(np.asarray(answer, dtype=np.float32))[:1].squeeze()
        except Exception as exc:  # onnxruntime's own errors have no common base
            raise ServiceError(f"{self._config.path}: the model fails: {_first_line(exc)}") from exc
        return vector

    def _try(self) -> Floats:
        """Run the model once on a picture of grey shades; raises ConfigError where its answer is no vector."""
        try:
            vector = self._run(Image.linear_gradient("L").convert("RGB"))
        except ServiceError as exc:
            raise _wrong(self._config, f"fails on a test picture: {_first_line(exc.__cause__ or exc)}") from exc
        if vector.ndim != 1 or vector.size < 2:
            others = ", ".join(each.name for each in self._session.get_outputs())
            shape = "x".join(map(str, vector.shape)) or "1"
            problem = f"output {self._output.name!r} is {shape} numbers, no vector; name one of its outputs ({others})"
            raise _wrong(self._config, f"{problem} as output")
        if not np.isfinite(vector).all() or not vector.any():
            raise _wrong(
                self._config, "gives no finite numbers, or only zeros, for a test picture; look at mean and std"
            )
        return vector


def open_model(config: ModelConfig) -> Embedder:
    """Load and try a model; raises ConfigError where onnxruntime or the file is missing, or the model doesn't fit."""
    try:
        runtime = import_module("onnxruntime")
    except ImportError as exc:
        raise _wrong(config, "needs onnxruntime; install it: pip install 'image-insights-pipeline[service]'") from exc
    digest = _digest(config)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    try:
        session = runtime.InferenceSession(str(config.path), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime's own errors have no common base
        raise _wrong(config, f"is no ONNX model that can be loaded ({_first_line(exc)})") from exc
    return Embedder(config, session, digest)


def prepare(picture: Image.Image, config: ModelConfig) -> Floats:
    """Return an RGB picture as the model wants it: float32 (3, size, size), or (size, size, 3) for NHWC."""
    pixels: Floats = np.divide(np.asarray(_resize(picture, config)), 255, dtype=np.float32)
    ordered = pixels if config.channels == "RGB" else pixels[..., ::-1]
    mean, std = (np.array(values, dtype=np.float32) for values in (config.mean, config.std))
    scaled: Floats = (ordered - mean) / std
    return scaled.transpose(2, 0, 1) if config.layout == "NCHW" else scaled


def _resize(picture: Image.Image, config: ModelConfig) -> Image.Image:
    size = (config.size_px, config.size_px)
    if config.resize == "crop":
        return ImageOps.fit(picture, size, Image.Resampling.BICUBIC)
    if config.resize == "pad":
        return ImageOps.pad(picture, size, Image.Resampling.BICUBIC, color="white")
    return picture.resize(size, Image.Resampling.BICUBIC)


def _digest(config: ModelConfig) -> str:
    """Digest the model's file, and its weights where they lie beside it under its name (model.onnx.data).

    A run's own digest (backend.py) must agree, byte for byte: they share no code, and a test compares them.
    """
    digest = sha256()
    try:
        beside = config.path.parent.glob(escape(config.path.name) + "*")
        for file in sorted(each for each in beside if each.is_file()) or [config.path]:
            with file.open("rb") as stream:
                digest.update(file_digest(stream, "sha256").digest())
    except OSError as exc:
        raise _wrong(config, f"can't be read ({exc.strerror}); give the path of an ONNX file") from exc
    return digest.hexdigest()


def _key(config: ModelConfig, digest: str) -> str:
    asked = (config.size_px, config.mean, config.std, config.channels, config.layout, config.resize, config.output)
    return sha256(f"{ALGORITHM} {digest} {asked}".encode()).hexdigest()


def _find_input(session: Session, config: ModelConfig) -> Any:
    """Return the model's one input, which takes pictures of the configured size and layout; raises ConfigError."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise _wrong(config, f"has {len(inputs)} inputs ({names}); export the part that takes a picture alone")
    (found,) = inputs
    size = config.size_px
    wanted = (3, size, size) if config.layout == "NCHW" else (size, size, 3)
    fits = len(found.shape) == 4 and all(
        not isinstance(has, int) or has == wants for has, wants in zip(found.shape[1:], wanted, strict=True)
    )
    if not fits or found.type not in _TYPES:
        takes = "x".join("?" if each is None else str(each) for each in found.shape)
        needed = "x".join(map(str, wanted))
        raise _wrong(config, f"takes {found.type} {takes}, not float {needed}; look at size_px and layout")
    return found


def _find_output(session: Session, config: ModelConfig) -> Any:
    outputs = {each.name: each for each in session.get_outputs()}
    if config.output and config.output not in outputs:
        raise _wrong(config, f"has no output {config.output!r}; its outputs are {', '.join(outputs)}")
    return outputs[config.output or next(iter(outputs))]


def _wrong(config: ModelConfig, problem: str) -> ConfigError:
    return ConfigError(f"model {config.path}", [problem])


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
