"""Fixtures of all tests: a private cache and a few models with closed forms."""

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `import support`, in importlib mode
# Before NumPy is there: matrices of some hundred rows are no work for two threads, and
# where other processes want the cores these wait for each other 40 times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import compiled_modules
import support

_KEPT = os.environ.get("MIR21SIM_TEST_CACHE")
"""A cache folder to keep between test runs, so that kernels are compiled once."""

_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ

_CACHE = Path(
    _KEPT
    or (os.environ["MIR21SIM_CACHE"] if _IS_WORKER else None)
    or tempfile.mkdtemp(prefix="mir21sim-tests-")
)
"""One cache for all workers, so that a model is compiled once; a worker is started with
the environment of the first process, which names the folder. Tests that count what is
compiled have folders of their own."""


def pytest_addoption(parser):
    parser.addoption(
        "--suite", action="store_true", help="run every case of the SBML packs"
    )


def pytest_configure(config):
    """Turn the cache away from the user's before anything, doctests too, compiles."""
    os.environ["MIR21SIM_CACHE"] = str(_CACHE)
    # Tests count searches of resting states, so none may be left of an earlier run.
    if not _IS_WORKER:
        shutil.rmtree(_CACHE / "resting", ignore_errors=True)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(_CACHE / "hypothesis")
    hypothesis.settings.register_profile(
        "mir21sim", database=None, deadline=None, derandomize=True
    )
    hypothesis.settings.load_profile("mir21sim")


def pytest_sessionstart(session):
    """Compile the solvers once, in two processes, before a whole run of two workers.

    To collect the doctests each worker imports every module, so that all workers would
    compile the same functions at the same time.
    """
    config = session.config
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if _IS_WORKER or not whole or not getattr(config.option, "numprocesses", None):
        return
    compiled_modules.compile_all()


def pytest_collection_modifyitems(items):
    """Begin with the files of slow tests, so that none is left for one worker alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_unconfigure(config):
    if not _KEPT and not _IS_WORKER:
        shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture
def small_files():
    """Return a context manager in which no file can grow past a size: a full disk."""
    import resource
    import signal

    @contextlib.contextmanager
    def limited(size):
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)

    return limited


@pytest.fixture(scope="session")
def decay():
    return support.compiled(support.DECAY)


@pytest.fixture(scope="session")
def binding():
    return support.compiled(support.BINDING)


@pytest.fixture(scope="session")
def birth_death():
    return support.compiled(support.BIRTH_DEATH)


@pytest.fixture(scope="session")
def driven():
    return support.compiled(support.DRIVEN)


@pytest.fixture(scope="session")
def chain():
    return support.compiled(support.CHAIN)


@pytest.fixture(scope="session")
def hill():
    return support.compiled(support.HILL)


@pytest.fixture(scope="session")
def robertson():
    return support.compiled(support.ROBERTSON)
