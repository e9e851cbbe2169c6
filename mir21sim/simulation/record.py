"""Validation of the provenance record in a result file, which may be a stranger's."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, FiniteFloat, StringConstraints

from mir21sim.errors import InputError
from mir21sim.simulation.doses import Dose
from mir21sim.simulation.perturbations import Clamp
from mir21sim.simulation.plan import LONGEST, MAX_RUNS

_Name = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
_Numbers = dict[_Name, FiniteFloat]
_Values = Annotated[list[FiniteFloat], Field(min_length=1, max_length=MAX_RUNS)]
_Time = Annotated[FiniteFloat, Field(ge=-LONGEST, le=LONGEST)]
_Positive = Annotated[FiniteFloat, Field(gt=0)]


class _Table(pydantic.BaseModel):
    """Base: strict types, no conversions of text to numbers."""

    model_config = pydantic.ConfigDict(
        strict=True, frozen=True, protected_namespaces=()
    )


class _Axis(_Table):
    values: _Values
    unit: str


class _Perturbations(_Table):
    clamp: dict[_Name, Clamp] = {}
    knockdown: _Numbers = {}
    overexpress: _Numbers = {}
    no_site: list[_Name] = []


class _Record(_Table):
    kind: Literal["simulate", "sweep"]
    model: _Name
    model_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    context: str | None
    backend: Literal["numba", "numpy"]
    times_h: Annotated[list[_Time], Field(min_length=2)]
    doses: list[Dose]
    over: dict[_Name, _Axis]
    cells: dict[_Name, str] = {}
    rest_from: _Numbers = {}
    perturb: _Perturbations = _Perturbations()
    parameters: _Numbers
    initials: _Numbers
    observe: Annotated[list[_Name], Field(min_length=1)]
    method: str
    rtol: _Positive
    atol: _Positive | list[_Positive] | None
    max_steps: Annotated[int, Field(gt=0, le=10**9)]
    max_step: _Positive | _Name | None = None
    timeout: Annotated[float, Field(gt=0)]
    equilibrate: bool | None
    allow_negative: bool
    features: bool | None = None


class _Mark(_Table):
    """The part of a dose that pictures and curves read."""

    time: FiniteFloat
    target: str
    amount: FiniteFloat = 0.0
    unit: str = ""


class _Marks(_Table):
    doses: list[_Mark]


def parsed(text: str, *, doses_only: bool = False) -> dict[str, Any]:
    """Return the record in a provenance text.

    Parameters
    ----------
    doses_only : check the doses and nothing else

    Raises
    ------
    InputError
        When the text is not a record as this package writes it; with the first
        mistake and its place.
    """
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The provenance of the result is not JSON ({str(error)[:80]}): the file "
            "was changed or is damaged."
        ) from error
    try:
        (_Marks if doses_only else _Record).model_validate_json(text)
    except pydantic.ValidationError as error:
        raise InputError(_sentence(error)) from error
    except RecursionError as error:
        raise InputError("The provenance of the result is nested too deep.") from error
    checked: dict[str, Any] = record
    return checked


def _sentence(error: pydantic.ValidationError) -> str:
    """Return the first mistake in a record, with its place."""
    first: Mapping[str, Any] = error.errors(include_url=False)[0]
    place = ".".join(str(part)[:60] for part in first["loc"][:6]) or "the whole"
    came = repr(first.get("input"))
    came = came if len(came) <= 80 else f"{came[:80]}…"
    return (
        f"The provenance of the result is not as mir21sim writes it: `{place}`: "
        f"{first['msg'][:300]} (got {came}); the file was changed or is damaged."
    )
