"""Network → kernels, through a cache folder keyed by content."""

import functools
import hashlib
import importlib.abc
import importlib.metadata
import importlib.util
import marshal
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Literal, TypeAlias

from mir21sim.compiler import build_kernels, cache_folder
from mir21sim.compiler import version as emit_version
from mir21sim.compiler.cache_folder import clear as clear
from mir21sim.compiler.cache_folder import folder as folder
from mir21sim.compiler.equations import equations
from mir21sim.compiler.garbage import rare_collections
from mir21sim.compiler.kernels import Kernels
from mir21sim.errors import InputError
from mir21sim.model.network import Network

if TYPE_CHECKING:
    from mir21sim.compiler.build_lane_kernels import LaneKernels
    from mir21sim.compiler.build_one_kernels import OneKernels
    from mir21sim.compiler.build_sensitivity_kernels import SensitivityKernels
    from mir21sim.compiler.symbolic import SymbolicSystem

Backend: TypeAlias = Literal["numba", "numpy"]


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


def key(network: Network) -> str:
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


def is_cached(network: Network) -> bool:
    """Return whether the module text of a network is in the cache and undamaged."""
    return cache_folder.read(folder() / f"m_{key(network)}.py") is not None


def noted(name: str, check: str) -> str | None:
    """Return the text noted of a check of the network of a ``key``, None for none."""
    body = cache_folder.read(folder() / f"m_{name}.{check}")
    return None if body is None else body.decode()


def note(name: str, check: str, text: str) -> None:
    """Note the outcome of a check that depends on the structure alone."""
    cache_folder.write(folder() / f"m_{name}.{check}", text.encode())


def kernels(
    network: Network, backend: Backend = "numba", name: str | None = None
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
    source = _Source(f"m_{name}", functools.partial(_generate, network, name))
    module = source.module(backend)
    if backend == "numpy":
        compiled = build_kernels.numpy_kernels(module)
    else:
        make = functools.partial(build_kernels.compile_kernel, module, source.text)
        compiled = build_kernels.numba_kernels(module, make)
    return KernelModule(
        kernels=compiled,
        state_names=module.STATE_NAMES,
        param_names=module.PARAM_NAMES,
        assigned_names=module.ASSIGNED_NAMES,
        rate_names=module.RATE_NAMES,
        path=source.path,
        key=name,
    )


def lane_kernels(network: Network, name: str | None = None) -> "LaneKernels":
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
    make = functools.partial(_generate_lanes, network, name)
    return _load_lanes(_Source(f"l_{name}", make))


def sensitivity_kernels(network: Network, name: str = "") -> "SensitivityKernels":
    """Return the vector kernels for the derivatives of a network's batch runs.

    Parameters
    ----------
    name : ``key(network)``, where the caller has computed it already

    Raises
    ------
    CodegenError
        For a function without vector code or without a derivative.
    """
    make = functools.partial(_generate_sensitivities, network)
    return _load_sensitivities(_Source(f"s2_{name or key(network)}", make))


@functools.lru_cache(maxsize=16)
def _load_sensitivities(source: "_Source") -> "SensitivityKernels":
    """Return the kernels of a module, compiled once in a process."""
    from mir21sim.compiler import build_sensitivity_kernels as build

    return build.compiled(source.module("sensitivities"), source.text)


def _generate_sensitivities(network: Network) -> str:
    """Return the text of the sensitivity programs."""
    from mir21sim.compiler import sensitivity_programs, symbolic

    species = frozenset(s.id for s in network.species)
    with symbolic.as_written(network):
        system = symbolic.build(network)
        made = sensitivity_programs.sensitivity_programs(system, species)
        return sensitivity_programs.module_text(made, system, network.id, key(network))


def one_kernels(network: Network, name: str | None = None) -> "OneKernels":
    """Return the scalar kernels of a network for one run, of the same programs.

    Raises
    ------
    CodegenError
        For a function without such code; such a model runs by SciPy.
    """
    from mir21sim.compiler import build_one_kernels  # Numba takes half a second

    name = name or key(network)
    source = _Source(f"l_{name}", functools.partial(_generate_lanes, network, name))
    return build_one_kernels.compile_one(source.module("one"), source.text)


@functools.lru_cache(maxsize=16)
def _load_lanes(source: "_Source") -> "LaneKernels":
    """Return the kernels of a module, compiled once in a process."""
    from mir21sim.compiler import build_lane_kernels  # Numba takes half a second

    return build_lane_kernels.compile_lanes(source.module("lanes"), source.text)


def _generate_lanes(network: Network, name: str) -> str:
    """Return the text of the lane programs."""
    from mir21sim.compiler import lane_programs as lanes
    from mir21sim.compiler import symbolic

    species = frozenset(s.id for s in network.species)
    with symbolic.as_written(network):
        system = _system(network, name)
        made = lanes.programs(system, species)
        return lanes.module_text(made, system, network.id, name)


def _generate(network: Network, name: str) -> str:
    """Return the module text; SymPy is imported only here."""
    from mir21sim.compiler import python_text as emit
    from mir21sim.compiler import (
        symbolic,
        symbolic_events,  # not needed on a cached start
    )

    with symbolic.as_written(network):
        system = _system(network, name)
        events = symbolic_events.build(equations(network), system)
        return emit.module_text(system, events, network.id, name)


_LAST: "dict[str, SymbolicSystem]" = {}
"""The symbolic form of the last network: its first run asks for it twice."""


def _system(network: Network, name: str) -> "SymbolicSystem":
    """Return the symbolic form of a network of a ``key``."""
    from mir21sim.compiler import symbolic

    found = _LAST.get(name)
    if found is None:
        found = symbolic.build(network)
        _LAST.clear()
        _LAST[name] = found
    return found


class _Source:
    """A generated module: its text from the cache, or generated and put there.

    Parameters
    ----------
    stem : name of its file without the ending
    generate : returns its text
    """

    def __init__(self, stem: str, generate: Callable[[], str]) -> None:
        self.path, self._generate = folder() / f"{stem}.py", generate

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Source) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    @functools.cached_property
    def text(self) -> str:
        """The text; a missing or damaged file is replaced."""
        found = cache_folder.read(self.path)
        if found is not None:
            return found.decode()
        with rare_collections():
            text = self._generate()
        cache_folder.write(self.path, text.encode())
        return text

    def module(self, backend: str) -> ModuleType:
        """Return a new module of this text, registered before it runs."""
        name = f"mir21sim_generated_{backend}_{self.path.stem}"
        loader = _TextLoader(self.path, self.text)
        spec = importlib.util.spec_from_loader(name, loader, origin=str(self.path))
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        loader.exec_module(module)
        return module


class _TextLoader(importlib.abc.InspectLoader):
    """Imports a text that is in memory; its bytecode is kept in a sealed file.

    Python does not check the bytecode that it keeps itself.
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text

    def get_source(self, fullname: str) -> str:
        """Return the text, also for tracebacks."""
        return self._text

    def get_code(self, fullname: str) -> CodeType:
        """Return the bytecode of the text."""
        kept = self._path.with_suffix(".code")
        stamp = hashlib.sha256(self._text.encode()).digest()
        stamp += importlib.util.MAGIC_NUMBER
        body = cache_folder.read(kept)
        if body is not None and body.startswith(stamp):
            code = marshal.loads(body[len(stamp) :])
            if isinstance(code, CodeType):
                return code
        code = self.source_to_code(self._text, str(self._path))
        cache_folder.write(kept, stamp + marshal.dumps(code))
        return code
