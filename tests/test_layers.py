"""The layers of docs/design.md hold: a module imports its own layer or those below, and the pure ones stay pure."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cidadao_rt

ROOT = Path(cidadao_rt.__file__).parent
LAYERS = ["words", "memory", "motion", "edges", "top"]
BESIDE = "client"
IMPURE = {"aiohttp", "asyncio", "logging", "os", "random", "secrets", "socket", "threading", "time", "uuid"}
MODULES = sorted(ROOT.rglob("*.py"))


def layer(parts: tuple[str, ...]) -> str:
    return parts[0] if parts and parts[0] in LAYERS else "top"


def imports(path: Path) -> list[str]:
    """The absolute names of all that a module imports, one dotted name for each name bound."""
    package = path.relative_to(ROOT.parent).with_suffix("").parts[:-1]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            found += [".".join([*module, alias.name]) for alias in node.names]
    return found


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if not {BESIDE, "bench", "tools"} & set(path.relative_to(ROOT).parts)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_module_imports_its_own_layer_or_those_below(path: Path) -> None:
    own = layer(path.relative_to(ROOT).parts)
    for name in imports(path):
        parts = tuple(name.split("."))
        if parts[0] == "cidadao_rt":
            assert parts[1:2] != (BESIDE,), f"{path.name} imports {name}"
            assert LAYERS.index(layer(parts[1:])) <= LAYERS.index(own), f"{path.name} imports {name}"
        elif own in ("words", "memory"):
            assert parts[0] not in IMPURE, f"{path.name}, which is pure, imports {name}"
        elif own == "motion":
            assert parts[:2] != ("aiohttp", "web"), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "edges").glob("*.py")), ids=lambda path: path.name)
def test_an_edge_imports_no_other_edge_but_what_all_share(path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[:2] == ["cidadao_rt", "edges"] and len(parts) > 2:
            assert parts[2] in ("admission", "outlet", "takeover", "wire"), f"{path.name} imports {name}"


CLIENT = {"aiohttp", "yarl", *sys.stdlib_module_names}
CLIENT_PURE = {"conversation", "errors", "eventstream", "following", "pending", "received", "returning", "values"}


@pytest.mark.parametrize("path", sorted((ROOT / "client").glob("*.py")), ids=lambda path: path.name)
def test_the_client_imports_words_itself_and_aiohttps_client(path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "cidadao_rt":
            assert parts[1] in ("client", "words"), f"{path.name} imports {name}"
        else:
            assert parts[0] in CLIENT, f"{path.name} imports {name}"
            assert parts[:2] != ["aiohttp", "web"], f"{path.name} imports {name}"
            assert path.stem not in CLIENT_PURE or parts[0] not in IMPURE, f"{path.name}, which is pure, imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "tools").glob("*.py")), ids=lambda path: path.name)
def test_a_tool_is_built_on_the_client_and_what_is_pure(path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "cidadao_rt":
            assert parts[1] in ("client", "memory", "tools", "words"), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "bench").glob("*.py")), ids=lambda path: path.name)
def test_the_bench_knows_the_server_from_outside(path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "cidadao_rt":
            assert parts[1] in ("__version__", "bench", "tools", "words"), f"{path.name} imports {name}"
        else:
            # The bare loop is a server itself.
            assert parts[0] in {*sys.stdlib_module_names, "matplotlib"} or path.name == "bare.py", name


def test_the_command_line_loads_no_client_before_a_tool_is_asked_for() -> None:
    code = "import sys, cidadao_rt.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"cidadao_rt.client", "cidadao_rt.tools.target"} & set(loaded)


def test_importing_the_client_loads_nothing_of_the_server() -> None:
    code = "import sys, cidadao_rt.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    ours = {name.split(".")[1] for name in loaded if name.startswith("cidadao_rt.")}
    assert ours == {"client", "words"}
    assert not {"aiohttp.web", "prometheus_client"} & set(loaded)


def test_pure_layers_call_no_clock() -> None:
    """`datetime` is for calendars here; asking it for the present is what the layer may not do."""
    for path in MODULES:
        if layer(path.relative_to(ROOT).parts) in ("words", "memory"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    assert node.attr not in ("now", "utcnow", "today"), f"{path.name}:{node.lineno}"
