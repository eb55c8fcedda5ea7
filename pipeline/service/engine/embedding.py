"""The user's own embedding model: an ONNX file, checked when it is opened, that turns pictures into unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape
from hashlib import file_digest, sha256
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from PIL import Image

from pipeline.errors import ConfigError, ServiceError
from pipeline.service.engine.color import Bytes, Floats
from pipeline.service.engine.model_input import resize_for_model
from pipeline.service.findings import ModelConfig

# Must change whenever the same model and settings would get other input numbers.
ALGORITHM = "1"
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_FATAL_ONLY = 4


class InferenceSession(Protocol):
    """The part of onnxruntime.InferenceSession that is used."""

    def get_inputs(self) -> Sequence[Any]:
        """Return the inputs, each with name, type, and a shape of numbers and names."""

    def get_outputs(self) -> Sequence[Any]:
        """Return the outputs, each with the same attributes."""

    def run(self, output_names: Sequence[str], input_feed: dict[str, Any]) -> Sequence[Any]:
        """Return the arrays of the named outputs."""


class Embedder:
    """A loaded model; safe to share between threads: a call computes in its caller's thread, on one core.

    `key` identifies model and preprocessing: equal keys give equal vectors. Pictures with a cosine of at least
    `min_cosine` are similar.
    """

    def __init__(self, config: ModelConfig, session: InferenceSession, digest: str) -> None:
        self.config, self._session = config, session
        self._input = _find_input(session, config)
        self._output = _find_output(session, config)
        self._type = _TYPES[self._input.type]
        self._batch = self._input.shape[0] if isinstance(self._input.shape[0], int) else 1
        self.key = _key(config, digest)
        self.min_cosine = config.alike_from
        self.dimensions = len(self._run_on_test_picture())

    def embed(self, pixels: Bytes) -> Floats:
        """Return the vector of the pixels that the model takes (model_input.py), of length 1.

        It is zeros, which match nothing, if the model's output isn't finite. Raises ServiceError if the model fails.
        """
        vector = self._run(pixels).ravel()
        length = float(np.linalg.norm(vector))
        return vector / length if 0 < length < np.inf else np.zeros_like(vector)

    def _run(self, pixels: Bytes) -> Floats:
        """Return the model's output for one picture, without dimensions of 1; a fixed batch is filled with copies."""
        batch = np.repeat(prepare(pixels, self.config)[None].astype(self._type), self._batch, axis=0)
        try:
            (output,) = self._session.run([self._output.name], {self._input.name: batch})
            vector: Floats = np.atleast_1d(np.asarray(output, dtype=np.float32))[:1].squeeze()
        except Exception as exc:  # onnxruntime's own errors have no common base
            raise ServiceError(f"{self.config.path}: the model fails: {_first_line(exc)}") from exc
        return vector

    def _run_on_test_picture(self) -> Floats:
        """Run the model once on a grey gradient; raises ConfigError if its output is no vector."""
        gradient = Image.linear_gradient("L").convert("RGB")
        try:
            vector = self._run(resize_for_model(gradient, self.config.size_px, self.config.resize))
        except ServiceError as exc:
            raise _model_error(self.config, f"fails on a test picture: {_first_line(exc.__cause__ or exc)}") from exc
        if vector.ndim != 1 or vector.size < 2:
            others = ", ".join(each.name for each in self._session.get_outputs())
            shape = "x".join(map(str, vector.shape)) or "1"
            problem = f"output {self._output.name!r} is {shape} numbers, no vector; name one of its outputs ({others})"
            raise _model_error(self.config, f"{problem} as output")
        if not np.isfinite(vector).all() or not vector.any():
            raise _model_error(
                self.config, "gives no finite numbers, or only zeros, for a test picture; check mean and std"
            )
        return vector


def open_model(config: ModelConfig) -> Embedder:
    """Load and test a model; raises ConfigError if onnxruntime or the file is missing, or the model doesn't fit."""
    try:
        runtime = import_module("onnxruntime")
    except ImportError as exc:
        raise _model_error(
            config, "needs onnxruntime; install it: pip install 'image-insights-pipeline[service]'"
        ) from exc
    digest = _digest(config)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    try:
        session = runtime.InferenceSession(str(config.path), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime's own errors have no common base
        raise _model_error(config, f"is no ONNX model that can be loaded ({_first_line(exc)})") from exc
    return Embedder(config, session, digest)


def prepare(picture: Bytes, config: ModelConfig) -> Floats:
    """Return RGB pixels as input for the model: float32 (3, size, size), or (size, size, 3) for NHWC."""
    pixels: Floats = np.divide(picture, 255, dtype=np.float32)
    ordered = pixels if config.channels == "RGB" else pixels[..., ::-1]
    mean, std = (np.array(values, dtype=np.float32) for values in (config.mean, config.std))
    scaled: Floats = (ordered - mean) / std
    return scaled.transpose(2, 0, 1) if config.layout == "NCHW" else scaled


def _digest(config: ModelConfig) -> str:
    """Return a digest of the model's file and of the weights beside it under its name (model.onnx.data).

    The digest in pipeline/local must be the same, byte for byte: the two share no code, and a test compares them.
    """
    digest = sha256()
    try:
        beside = config.path.parent.glob(escape(config.path.name) + "*")
        for file in sorted(each for each in beside if each.is_file()) or [config.path]:
            with file.open("rb") as stream:
                digest.update(file_digest(stream, "sha256").digest())
    except OSError as exc:
        raise _model_error(config, f"can't be read ({exc.strerror}); give the path of an ONNX file") from exc
    return digest.hexdigest()


def _key(config: ModelConfig, digest: str) -> str:
    settings = (config.size_px, config.mean, config.std, config.channels, config.layout, config.resize, config.output)
    return sha256(f"{ALGORITHM} {digest} {settings}".encode()).hexdigest()


def _find_input(session: InferenceSession, config: ModelConfig) -> Any:
    """Return the model's one input, which takes pictures of the configured size and layout; raises ConfigError."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise _model_error(config, f"has {len(inputs)} inputs ({names}); export the part that takes only a picture")
    (only,) = inputs
    size = config.size_px
    wanted = (3, size, size) if config.layout == "NCHW" else (size, size, 3)
    fits = len(only.shape) == 4 and all(
        not isinstance(has, int) or has == wants for has, wants in zip(only.shape[1:], wanted, strict=True)
    )
    if not fits or only.type not in _TYPES:
        takes = "x".join("?" if each is None else str(each) for each in only.shape)
        needed = "x".join(map(str, wanted))
        raise _model_error(config, f"takes {only.type} {takes}, not float {needed}; check size_px and layout")
    return only


def _find_output(session: InferenceSession, config: ModelConfig) -> Any:
    outputs = {each.name: each for each in session.get_outputs()}
    if config.output and config.output not in outputs:
        raise _model_error(config, f"has no output {config.output!r}; its outputs are {', '.join(outputs)}")
    return outputs[config.output or next(iter(outputs))]


def _model_error(config: ModelConfig, problem: str) -> ConfigError:
    return ConfigError(f"model {config.path}", [problem])


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
