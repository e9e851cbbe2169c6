"""Numba functions whose machine code is kept in the cache folder, under a digest.

Numba's own cache trusts its files: one flipped bit gives wrong numbers or ends the
process. It also writes beside the Python source, which may be read-only.

Numba imports `function_type` where a function is first passed to another one, and adds
types to a registry by it. That would be in the threads of a sweep, of which one may
read the registry at that moment ("dictionary changed size during iteration"). So it is
imported here.
"""

import functools
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.serialize import dumps
from numba.experimental import function_type  # noqa: F401

from mir21sim._typing import Kernel
from mir21sim.compiler import cache_folder
from mir21sim.compiler.garbage import rare_collections
from mir21sim.compiler.version import PACKAGE, digest_of

INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of functions that compiled code alone calls, never Python.

Code that unpacks their arguments for Python, some hundred numbers of the arrays in a
NamedTuple, took a third of the time of compilation.
"""


class SealedCache(_Cache):  # type: ignore[misc]  # numba is untyped
    """Machine code of one function, one file for each signature and processor.

    Parameters
    ----------
    name : begins the names of the files
    stamp : digest of everything that decides the machine code besides the function
    """

    def __init__(self, name: str, stamp: bytes) -> None:
        self._name, self._stamp, self._enabled = name, stamp, True

    @property
    def cache_path(self) -> str:
        """The cache folder."""
        return str(cache_folder.folder())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function, None where it is missing or damaged."""
        if not self._enabled:
            return None
        # Enough to run machine code. `refresh` would load all that a compilation needs,
        # 0.2 s a process; a compilation does that by itself.
        rtsys.initialize(target_context)
        digest = self._digest(sig, target_context.codegen())
        body = cache_folder.read(self._path(digest))
        if body is None or body[: len(digest)] != digest:
            return None
        # The seal is whole, so these are the bytes that this program has written.
        payload = pickle.loads(body[len(digest) :])
        return CompileResult._rebuild(target_context, *payload)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, unless it holds addresses of this process."""
        if not self._enabled or data.lifted or data.library.has_dynamic_globals:
            return
        digest = self._digest(sig, data.codegen)
        cache_folder.write(self._path(digest), digest + dumps(data._reduce()))

    def enable(self) -> None:
        """Use the cache."""
        self._enabled = True

    def disable(self) -> None:
        """Compile anew and keep nothing."""
        self._enabled = False

    def flush(self) -> None:
        """Forget nothing: files are named by all that decides their content."""

    def _digest(self, sig: Any, codegen: Any) -> bytes:
        parts = (numba.__version__, str(sig), codegen.magic_tuple(), self._stamp.hex())
        return hashlib.sha256(repr(parts).encode()).digest()

    def _path(self, digest: bytes) -> Path:
        return cache_folder.folder() / f"{self._name}.{digest.hex()[:16]}.nbc"


def kernel(
    signature: Any, function: Callable[..., Any], text: str, **options: Any
) -> Kernel:
    """Compile a function of a generated module, or load its machine code.

    Parameters
    ----------
    signature : of Numba
    function : of a module that is registered in ``sys.modules``
    text : of the module, which decides all of its functions
    options : of Numba
    """
    name = function.__module__.removeprefix("mir21sim_generated_").partition("_")[2]
    stamp = hashlib.sha256(f"{function.__module__}\n{text}".encode()).digest()
    return _compiled(signature, function, f"{name}.{function.__name__}", stamp, options)


def solver(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Kernel]:
    """Return a decorator that compiles a function of the solvers, or loads its code.

    The machine code is made anew when a source file changes that it is made from.
    """

    def decorate(function: Callable[..., Any]) -> Kernel:
        name = f"k_{function.__module__.rpartition('.')[2]}.{function.__name__}"
        return _compiled(signature, function, name, _solver_stamp(), options)

    return decorate


def address(function: Any) -> int:
    """Return the address of a function that has been compiled for one signature."""
    (found,) = function.overloads.values()
    name = found.fndesc.llvm_cfunc_wrapper_name
    return int(found.library.get_pointer_to_function(name))


def _compiled(
    signature: Any,
    function: Callable[..., Any],
    name: str,
    stamp: bytes,
    options: dict[str, Any],
) -> Kernel:
    dispatcher: Any = numba.njit(**options)(function)
    if hasattr(dispatcher, "compile"):  # a plain function with NUMBA_DISABLE_JIT=1
        settings = repr((sorted(options.items()), function.__name__)).encode()
        whole = hashlib.sha256(stamp + settings + function.__code__.co_code).digest()
        dispatcher._cache = SealedCache(name, whole)
        with rare_collections():
            dispatcher.compile(signature)
        dispatcher.disable_compile()
    compiled: Kernel = dispatcher
    return compiled


SOLVER_SOURCES = (
    "solvers/batch/*.py",
    "solvers/single/one_crossing.py",
    "solvers/single/one_driver.py",
    "solvers/single/one_memory.py",
    "solvers/single/reduction_compiled.py",
    "solvers/problem.py",
    "solvers/step_curve.py",
    "compiler/build_*.py",
    "compiler/kernels.py",
    "compiler/llvm_lanes.py",
    "compiler/machine_code.py",
    "errors.py",
)
"""Source files that compiled functions of the solvers are made from."""


@functools.cache
def _solver_stamp() -> bytes:
    """Return the digest of the source files of the compiled solvers."""
    return digest_of(
        path for pattern in SOLVER_SOURCES for path in sorted(PACKAGE.glob(pattern))
    )
