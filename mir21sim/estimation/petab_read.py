"""A PEtab file of either version → FitProblem."""

from pathlib import Path

from mir21sim.compiler import cache
from mir21sim.errors import InputError
from mir21sim.estimation.problem import FitProblem

EXTRA = 'the package `petab` (pip install "mir21sim[petab]")'


def read_petab(path: str | Path, backend: cache.Backend = "numba") -> FitProblem:
    """Read a PEtab problem from its YAML file.

    Raises
    ------
    InputError
        For a missing file or extra, a version other than 1 or 2, or bad tables.

    Examples
    --------
    >>> import mir21sim as ms
    >>> problem = ms.read_petab("problem.yaml")  # doctest: +SKIP
    >>> result = ms.fit(problem)  # doctest: +SKIP
    """
    path = Path(path)
    number = version(path)
    from mir21sim.estimation.petab_tables import check_tables
    from mir21sim.estimation.problem_checks import check_problem

    check_tables(path, number)
    if number == 1:
        from mir21sim.estimation import petab_v1

        return check_problem(petab_v1.read(path, backend))
    from mir21sim.estimation import petab_v2

    return check_problem(petab_v2.read(path, backend))


def version(path: Path) -> int:
    """Return the major version of a PEtab file."""
    if not path.is_file():
        raise InputError(f"The PEtab file `{path}` does not exist.")
    try:
        import yaml
        from petab.versions import get_major_version
    except ImportError as error:
        raise InputError(f"PEtab problems need {EXTRA}.") from error
    try:
        found = int(get_major_version(path))
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        text = " ".join(str(error).split())
        if not isinstance(error, yaml.YAMLError):
            text = "it needs the line `format_version: 1` or `format_version: 2.0.0`"
        raise InputError(f"`{path}` is not a PEtab problem: {text}") from error
    if found not in (1, 2):
        raise InputError(f"`{path}` is PEtab version {found}; 1 and 2 are supported.")
    return found
