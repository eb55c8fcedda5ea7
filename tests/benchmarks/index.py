"""Measures the index: building it from real files, a kill in between, a small change, and searching a large one.

    python -m tests.benchmarks.index [PICTURES] [OUT.json]

Each step runs in a process of its own, so that its processor time and its peak memory are its own.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# First: it sets the number of BLAS threads, which numpy reads when it is imported.
from tests.benchmarks.engine import ROOT, Results, synthetic_index  # isort: skip

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

from pipeline.service.engine.build import build_index
from pipeline.service.engine.decoders import Decoders
from pipeline.service.engine.embedding import Embedder, open_model
from pipeline.service.engine.engine import CatalogueEngine
from pipeline.service.engine.index import DATABASE, EMBEDDINGS, CatalogueIndex, connect
from pipeline.service.findings import CatalogueConfig, ModelConfig

LARGE, DIMENSIONS, LOOKS = 100_000, 512, 20
Figures = dict[str, float]


def apart(work: Callable[[], Figures]) -> Figures:
    """Do work in a child and return its figures, with the processor time in s and the peak memory in MB."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        figures = work()
        used, decoders = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = used.ru_utime + used.ru_stime + decoders.ru_utime + decoders.ru_stime
        spent = {"cpu_s": seconds, "peak_mb": used.ru_maxrss / 1024, "decoder_peak_mb": decoders.ru_maxrss / 1024}
        os.write(write, json.dumps({**figures, **spent}).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as stream:
        return {name: float(value) for name, value in json.loads(stream.read() or "{}").items()}


def draw(path: Path, seed: int) -> None:
    """Draw a picture of 200 px that is like no other seed's."""
    chance = random.Random(seed)
    image = Image.effect_noise((200, 200), 20).convert("RGB")
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = chance.randrange(160), chance.randrange(160)
        pen.rectangle((x, y, x + chance.randrange(20, 120), y + 40), fill=tuple(chance.randbytes(3)))
    image.save(path, quality=85)


def build(results: Results, folder: Path, count: int) -> None:
    """Index real files: killed in the middle, resumed, unchanged, and with one of a hundred changed."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(count):
        draw(pictures / f"{number:06}.jpg", number)
    catalogue, index_dir = CatalogueConfig(path=pictures), folder / "index"

    def until(done: int, _: int) -> None:
        if done == count // 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def whole() -> Figures:
        return {"pictures": build_index(catalogue, index_dir).count}

    apart(lambda: {"pictures": build_index(catalogue, index_dir, until).count})
    results.show("build, after a kill in the middle", **apart(whole))
    results.show("build, nothing changed", **apart(whole))
    for number in range(0, count, 100):
        draw(pictures / f"{number:06}.jpg", count + number)
    results.show("build, 1 % changed", **apart(whole))


def projection(path: Path) -> Path:
    """Write a model that turns the mean colour into 512 numbers: next to no work, so that the search is measured."""
    weights = np.random.default_rng(3).standard_normal((3, DIMENSIONS)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["picture", "axes"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], ["embedding"]),
        ],
        "projection",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, (1, 3, 32, 32))],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, (1, DIMENSIONS))],
        [numpy_helper.from_array(np.array((2, 3)), "axes"), numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def embed(folder: Path, embedder: Embedder) -> None:
    """Give a synthetic index random embeddings of a model."""
    rng, count = np.random.default_rng(4), len(CatalogueIndex(folder).hashes)
    with (folder / EMBEDDINGS).open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, embedder.dimensions)}
        np.lib.format.write_array_header_1_0(stream, header)
        for _ in range(0, count, 1000):
            block = rng.standard_normal((1000, embedder.dimensions)).astype(np.float32)
            stream.write((block / np.linalg.norm(block, axis=1, keepdims=True)).tobytes())
    db = connect(folder / DATABASE)
    db.execute("INSERT INTO meta VALUES ('model', ?)", (embedder.key,))
    db.commit()
    db.close()


def search(results: Results, folder: Path) -> None:
    """Look pictures up in an index of 100,000, without a model and with one of 512 numbers."""
    config = ModelConfig(path=projection(folder / "projection.onnx"), size_px=32, mean=(0.5, 0.5, 0.5))
    synthetic_index(folder / "large", LARGE)
    stream = io.BytesIO()
    Image.effect_noise((400, 300), 60).convert("RGB").save(stream, "JPEG")
    for name, model in (("no model", None), (f"a model of {DIMENSIONS}", config)):
        if model:
            embed(folder / "large", open_model(model))

        def look(model: ModelConfig | None = model) -> Figures:
            embedder = open_model(model) if model else None
            with Decoders(1) as decoders:
                engine = CatalogueEngine(CatalogueIndex(folder / "large"), decoders, embedder)
                engine.inspect(stream.getvalue())
                began = time.perf_counter()  # a part of the work is done in a decoder process
                for _ in range(LOOKS):
                    engine.inspect(stream.getvalue())
                return {"look_ms": 1000 * (time.perf_counter() - began) / LOOKS}

        results.show(f"{LARGE} pictures, {name}", **apart(look))


def main(count: int, out: Path) -> None:
    """Run all of it."""
    results = Results()
    with tempfile.TemporaryDirectory() as name:
        search(results, Path(name))
        build(results, Path(name), count)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results.tables, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 2000,
        Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "out" / "bench" / "index.json",
    )
