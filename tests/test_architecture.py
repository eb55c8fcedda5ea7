"""The house as design and style want it: imports point one way, one place starts tasks, modules say what they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

# A unit may import those of earlier lines only: data flows from the manifest to the report, and imports follow it.
ORDER: tuple[tuple[str, ...], ...] = (
    ("child_environment", "errors", "schema", "wording"),
    ("decoding", "guards", "network"),
    ("changes", "downloads", "records", "tabular"),
    ("config",),
    ("manifest", "prepare", "providers", "state"),
    ("fetch", "resume"),
    ("sink",),
    ("alerts", "export", "local", "report"),
    ("runner",),
    ("commands",),
    ("api", "signals"),
    ("cli_options",),
    ("cli_results",),
    ("cli",),
    ("entry",),
    ("__main__",),
)
RANKS = {unit: rank for rank, units in enumerate(ORDER) for unit in units}
SERVICE = "service"
# Inside the service: what is known of a picture comes before how it is told. Only text's values are part of findings.
SERVICE_ORDER = ("text.recognised_text", "refusals", "findings", "engine", "access", "text", "search", "http", "server")
# Reading and downloading pictures, and what is checked in them, is the same on both sides of the wire; what is said
# over it is not.
SHARED = ("decoding", "downloads", "errors", "guards", "tabular", "wording")
# What may know the other side of the wire: the module that serves it.
SERVES = "pipeline.local.serve"
STARTS_TASKS = ("pipeline.runner.execution", "pipeline.service.")
NOT_ANYIO = {
    "as_completed",
    "create_task",
    "ensure_future",
    "gather",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "shield",
    "TaskGroup",
    "timeout",
    "timeout_at",
    "wait",
    "wait_for",
}


def _name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted((PROJECT / "pipeline").rglob("*.py"))}


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def _unit(module: str) -> str:
    """Return the unit of ORDER that a module belongs to: the longest one that it is, or lies in."""
    inner = module.removeprefix("pipeline").removeprefix(".")
    held = [unit for unit in (*RANKS, SERVICE) if inner == unit or inner.startswith(f"{unit}.")]
    return max(held, key=len, default=inner)


def _imports(module: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the module of each import of ours; relative ones don't occur (ruff refuses them)."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield node.lineno, inner if inner in MODULES else node.module


def _wrong(module: str, imported: str) -> str | None:
    """Say why `module` may not import `imported`; None where it may."""
    here, there = _unit(module), _unit(imported)
    if here == there == SERVICE:
        return _wrong_in_service(module, imported)
    if here == there or not there:
        return None
    if here == SERVICE:
        return None if there in SHARED else f"the service may import nothing of the pipeline but {SHARED}"
    if there == SERVICE:
        return None if module == SERVES else f"only {SERVES} may import the service"
    if RANKS[there] < RANKS[here]:
        return None
    return f"{here} comes before {there}, or stands beside it: imports point from the report towards the errors"


def _wrong_in_service(module: str, imported: str) -> str | None:
    here, there = _layer(module), _layer(imported)
    if there is None or here is None or SERVICE_ORDER.index(there) <= SERVICE_ORDER.index(here):
        return None
    return f"in the service {here} comes before {there}"


def _layer(module: str) -> str | None:
    inner = module.removeprefix(f"pipeline.{SERVICE}").removeprefix(".")
    held = [layer for layer in SERVICE_ORDER if inner == layer or inner.startswith(f"{layer}.")]
    return max(held, key=len, default=None)


def test_every_module_has_its_place() -> None:
    """A new top-level module must be put into the order."""
    strangers = [module for module in MODULES if module != "pipeline" and _unit(module) not in {*RANKS, SERVICE}]
    assert not strangers, f"put these into ORDER of tests/test_architecture.py: {', '.join(strangers)}"


def test_imports_point_one_way() -> None:
    """No stage knows a later one, nor its neighbour; the two sides of the wire share no code."""
    wrong = [
        f"{MODULES[module].relative_to(PROJECT)}:{line} imports {imported}: {reason}"
        for module in MODULES
        if _unit(module)
        for line, imported in _imports(module)
        if (reason := _wrong(module, imported))
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_no_modules_import_each_other() -> None:
    """There is no cycle of imports, inside a package either."""
    graph = {module: {imported for _, imported in _imports(module)} - {module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these modules import each other in a circle: {' <- '.join(error.args[1])}")


def test_only_the_runner_starts_tasks() -> None:
    """One place holds the task groups of the pipeline; the service, a program of its own, has its own."""
    wrong = [
        f"{MODULES[module].relative_to(PROJECT)}:{node.lineno} starts a task group; only runner/execution.py does"
        for module in MODULES
        if not module.startswith(STARTS_TASKS)
        for node in ast.walk(_tree(module))
        if (isinstance(node, ast.Attribute) and node.attr == "create_task_group")
        or (isinstance(node, ast.ImportFrom) and "create_task_group" in {alias.name for alias in node.names})
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def _asyncio_uses(module: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.split(".")[0] == "asyncio":
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute):
            owner = node.value
            if (isinstance(owner, ast.Name) and owner.id == "asyncio") or node.attr in {"create_task", "ensure_future"}:
                yield node.lineno, node.attr


def test_tasks_and_waits_are_anyio_s() -> None:
    """No task, queue or timeout of asyncio: cancellation would not reach it."""
    wrong = [
        f"{MODULES[module].relative_to(PROJECT)}:{line} uses asyncio's {name}; use anyio"
        for module in MODULES
        for line, name in _asyncio_uses(module)
        if name in NOT_ANYIO
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_every_module_says_what_it_is_for() -> None:
    """Each module begins with a docstring of a whole sentence."""
    mute = [
        str(path.relative_to(PROJECT))
        for module, path in MODULES.items()
        if len((ast.get_docstring(_tree(module)) or "").split()) < 3
    ]
    assert not mute, f"say in one sentence what these are for: {', '.join(mute)}"


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("pipeline.manifest.rows", "pipeline.state.ledger"),
        ("pipeline.providers.bing.read", "pipeline.fetch.retry"),
        ("pipeline.manifest.rows", "pipeline.prepare.fit"),
        ("pipeline.tabular.tables", "pipeline.records"),
        ("pipeline.guards.picture_guard", "pipeline.prepare.fit"),
        ("pipeline.service.http.app", "pipeline.records"),
        ("pipeline.runner.stages", "pipeline.service.http.app"),
        ("pipeline.errors", "pipeline.config"),
        ("pipeline.service.engine.build", "pipeline.service.http.picture_source"),
        ("pipeline.service.findings", "pipeline.service.text.store"),
    ],
)
def test_a_wrong_import_would_be_found(module: str, imported: str) -> None:
    """The rule refuses what it is there for."""
    assert _wrong(module, imported)


def test_modules_functions_and_constructors_are_short() -> None:
    """A module has at most 300 lines, a function 40, and a constructor that is written by hand eight arguments."""
    wrong = [
        f"{path.relative_to(PROJECT)} has {count} lines"
        for path in MODULES.values()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 300
    ]
    for module, path in MODULES.items():
        for node in ast.walk(_tree(module)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            place = f"{path.relative_to(PROJECT)}:{node.lineno} {node.name}"
            if (node.end_lineno or node.lineno) - node.lineno >= 40:
                wrong.append(f"{place} has more than 40 lines")
            arguments = len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs) - 1
            if node.name == "__init__" and arguments > 8:
                wrong.append(f"{place} has {arguments} arguments")
    assert not wrong, "\n" + "\n".join(wrong)
