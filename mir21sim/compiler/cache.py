"""Network → kernels, through a cache folder keyed by content."""

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, TypeAlias

import platformdirs

from mir21sim._typing import Kernel
from mir21sim.compiler import build_kernels
from mir21sim.compiler import version as emit_version
from mir21sim.compiler.equations import equations
from mir21sim.compiler.kernels import Kernels
from mir21sim.errors import InputError
from mir21sim.model import network as ir

if TYPE_CHECKING:
    from mir21sim.compiler.build_lane_kernels import LaneKernels
    from mir21sim.compiler.build_sensitivity_kernels import SensitivityKernels

Backend: TypeAlias = Literal["numba", "numpy"]

_SEAL = "# sha256 of the rest: "


@dataclass(frozen=True, slots=True, eq=False)
class KernelModule:
    """Kernels with the axis orders they were generated for."""

    kernels: Kernels
    state_names: tuple[str, ...]
    param_names: tuple[str, ...]
    assigned_names: tuple[str, ...]
    rate_names: tuple[str, ...]
    path: Path
    key: str


def folder() -> Path:
    """Return the cache folder: ``$MIR21SIM_CACHE`` or the user's cache folder.

    It is safe to delete. Where it cannot be written, a temporary folder serves, and
    every process compiles anew.
    """
    wanted = os.environ.get("MIR21SIM_CACHE") or platformdirs.user_cache_dir("mir21sim")
    path = Path(wanted)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path):
            pass
    except OSError:
        path = Path(tempfile.gettempdir()) / f"mir21sim-{os.getpid()}"
        path.mkdir(exist_ok=True)
    return path


def key(network: ir.Network) -> str:
    """Return the hash that names a network's kernels on this machine."""
    parts = (
        network.structure_digest(),
        emit_version.GENERATOR,
        _numba_version(),
        platform.python_version(),
        platform.machine(),
        platform.processor(),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


@functools.cache  # reading the metadata of a package takes a millisecond
def _numba_version() -> str:
    try:
        return importlib.metadata.version("numba")
    except importlib.metadata.PackageNotFoundError:
        return "none"


def is_cached(network: ir.Network) -> bool:
    """Return whether the module text of a network is in the cache and undamaged."""
    return _read(folder() / f"m_{key(network)}.py") is not None


def noted(name: str, check: str) -> str | None:
    """Return the text noted of a check of the network of a ``key``, None for none."""
    text = _read(folder() / f"m_{name}.{check}")
    return None if text is None else text.partition("\n")[2]


def note(name: str, check: str, text: str) -> None:
    """Note the outcome of a check that depends on the structure alone."""
    with contextlib.suppress(OSError):
        _write(folder() / f"m_{name}.{check}", _sealed(text))


def kernels(
    network: ir.Network, backend: Backend = "numba", name: str | None = None
) -> KernelModule:
    """Return the kernels of a network; generate and compile those not in the cache.

    A damaged file in the cache is replaced, never fatal.

    Parameters
    ----------
    name : ``key(network)``, where the caller has computed it already

    Raises
    ------
    InputError
        For an unknown backend, or for "numba" where Numba is not installed.
    CodegenError
        For an expression without kernel code.
    """
    if backend not in ("numba", "numpy"):
        raise InputError(f"`backend` must be numba or numpy, got `{backend}`.")
    if backend == "numba" and _numba_version() == "none":
        raise InputError(
            "The backend `numba` needs the package numba; `numpy` works without it."
        )
    name = name or key(network)
    path = folder() / f"m_{name}.py"
    text = _read(path)
    if text is None:
        text = _generate(network, name)
        _write(path, text)
    module = _import(path, backend)
    if backend == "numpy":
        compiled = build_kernels.numpy_kernels(module)
    else:
        compiled = build_kernels.numba_kernels(module, _compiler(path, module, text))
    return KernelModule(
        kernels=compiled,
        state_names=module.STATE_NAMES,
        param_names=module.PARAM_NAMES,
        assigned_names=module.ASSIGNED_NAMES,
        rate_names=module.RATE_NAMES,
        path=path,
        key=name,
    )


def lane_kernels(network: ir.Network, name: str | None = None) -> "LaneKernels":
    """Return the vector kernels of a network for the batch solver.

    Parameters
    ----------
    name : ``key(network)``, where the caller has computed it already

    Raises
    ------
    CodegenError
        For a function without vector code; such a model runs by SciPy.
    """
    name = name or key(network)
    path = folder() / f"l_{name}.py"
    if _read(path) is None:
        _write(path, _generate_lanes(network, name))
    return _load_lanes(path)


def sensitivity_kernels(network: ir.Network) -> "SensitivityKernels":
    """Return the vector kernels for the derivatives of a network's batch runs.

    Raises
    ------
    CodegenError
        For a function without vector code or without a derivative.
    """
    path = folder() / f"s_{key(network)}.py"
    if _read(path) is None:
        _write(path, _generate_sensitivities(network))
    return _load_sensitivities(path)


@functools.lru_cache(maxsize=16)
def _load_sensitivities(path: Path) -> "SensitivityKernels":
    """Return the kernels of a file; a damaged cache beside it is thrown away once."""
    from mir21sim.compiler import build_sensitivity_kernels as build

    try:
        return build.compiled(_import(path, "sensitivities"))
    except Exception:  # noqa: BLE001 - a damaged pickle can raise anything
        _forget(path)
        return build.compiled(_import(path, "sensitivities"))


def _generate_sensitivities(network: ir.Network) -> str:
    """Return the sealed text of the sensitivity programs."""
    from mir21sim.compiler import sensitivity_programs, symbolic

    system = symbolic.build(network)
    species = frozenset(s.id for s in network.species)
    made = sensitivity_programs.sensitivity_programs(system, species)
    text = sensitivity_programs.module_text(made, system, network.id, key(network))
    return _sealed(text)


@functools.lru_cache(maxsize=16)
def _load_lanes(path: Path) -> "LaneKernels":
    """Return the kernels of a file; a damaged cache beside it is thrown away once."""
    from mir21sim.compiler import build_lane_kernels  # Numba takes half a second

    try:
        return build_lane_kernels.compile_lanes(_import(path, "lanes"))
    except Exception:  # noqa: BLE001 - a damaged pickle can raise anything
        _forget(path)
        return build_lane_kernels.compile_lanes(_import(path, "lanes"))


def _generate_lanes(network: ir.Network, name: str) -> str:
    """Return the sealed text of the lane programs."""
    from mir21sim.compiler import lane_programs as lanes
    from mir21sim.compiler import symbolic

    system = symbolic.build(network)
    made = lanes.programs(system, frozenset(s.id for s in network.species))
    return _sealed(lanes.module_text(made, system, network.id, name))


def _sealed(body: str) -> str:
    """Return a text with its digest in front, as ``_read`` wants it."""
    return f"{_SEAL}{hashlib.sha256(body.encode()).hexdigest()}\n{body}"


def _generate(network: ir.Network, name: str) -> str:
    """Return the sealed module text; SymPy is imported only here."""
    from mir21sim.compiler import python_text as emit
    from mir21sim.compiler import (
        symbolic,
        symbolic_events,  # not needed on a cached start
    )

    system = symbolic.build(network)
    events = symbolic_events.build(equations(network), system)
    body = emit.module_text(system, events, network.id, name)
    return _sealed(body)


def _read(path: Path) -> str | None:
    """Return a module text from the cache, None where it is missing or damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    seal, _, body = text.partition("\n")
    whole = seal == _SEAL + hashlib.sha256(body.encode()).hexdigest()
    return text if whole else None


def _write(path: Path, text: str) -> None:
    """Put a text in place in one move, so that no reader sees half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    Path(name).replace(path)


def _import(path: Path, backend: str) -> ModuleType:
    """Import a generated file under a name of its own, registered before it runs."""
    name = f"mir21sim_generated_{backend}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (EOFError, ValueError, ImportError, TypeError):
        # Python's own bytecode beside the (sealed) text is damaged: compile the text.
        _forget(path)
        spec.loader.exec_module(module)
    return module


def _compiler(path: Path, module: ModuleType, text: str) -> Callable[[str], Kernel]:
    """Return what compiles a kernel of a module, or loads it from Numba's cache.

    Where that is damaged, it is thrown away once.
    """

    def make(name: str) -> Kernel:
        try:
            return build_kernels.compile_kernel(module, text, name)
        except Exception:  # noqa: BLE001 - a damaged pickle can raise anything
            _forget(path)
            return build_kernels.compile_kernel(_import(path, "numba"), text, name)

    return make


def _forget(path: Path) -> None:
    """Delete what Python and Numba keep beside a generated file."""
    for stale in (path.parent / "__pycache__").glob(f"{path.stem}*"):
        with contextlib.suppress(OSError):
            stale.unlink()


def clear() -> int:
    """Delete everything in the cache folder; return the number of models it held."""
    count = len(list(folder().glob("m_*.py")))
    shutil.rmtree(folder(), ignore_errors=True)
    return count
