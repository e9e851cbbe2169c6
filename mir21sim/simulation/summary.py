"""One line on a result: cell line, doses, cells, times and method."""

from mir21sim.compiler.model import CompiledModel
from mir21sim.model.files import BASE
from mir21sim.simulation.doses import Dose
from mir21sim.simulation.plan import Axis, Plan
from mir21sim.simulation.translate import Translated
from mir21sim.simulation.treatment import UNTREATED, Treatment
from mir21sim.solvers.settings import Settings


def summary(
    model: CompiledModel, plan: Plan, translated: Translated, settings: Settings
) -> str:
    """Return model, cell line, doses, overrides, cells, times and method of runs.

    It is the first line that commands print, and the attribute ``summary`` of a result.
    """
    axes = {axis.name: axis for axis in translated.axes}
    doses = [_dose(dose, axes) for dose in translated.protocol.doses]
    swept = [
        _range(axis) for axis in axes.values() if axis.kind not in ("dose", "cell")
    ]
    done = plan.treatment
    overrides = Treatment((), done.parameters, done.initials, done.perturbations)
    n_cell = axes["cell"].values.size if "cell" in axes else 1
    times, unit = translated.times_h, model.border.time_unit
    parts = [
        named_model(model),
        " + ".join(doses) or "no dose",
        *swept,
        *([str(overrides)] if overrides != UNTREATED else []),
        f"{n_cell} cells" if n_cell > 1 else "1 cell",
        f"{times[0]:g} to {times[-1]:g} {unit}, {len(times)} times",
        f"{settings.method}, rtol {settings.rtol:g}",
    ]
    return "; ".join(parts)


def named_model(model: CompiledModel) -> str:
    """Return the model and its cell line; a line of choices is called a sketch."""
    line = f"{model.id}, {model.context or BASE}"
    chosen = model.chosen_numbers
    if not chosen:
        return line
    if chosen == 1:
        return f"{line} (a sketch: its only own number is chosen)"
    return f"{line} (a sketch: all of its {chosen} numbers are chosen)"


def _dose(dose: Dose, axes: dict[str, Axis]) -> str:
    """Return a dose, with the range of its amounts where they are swept."""
    axis = axes.get(dose.target)
    if axis is None or axis.kind != "dose" or dose.mode == "set":
        return str(dose)
    return f"{_range(axis)}@{str(dose).partition('@')[2]}"


def _range(axis: Axis) -> str:
    """Return the values of an axis: ``TRAIL=0 to 100 ng/ml (5 values)``."""
    values = axis.values
    if values.size == 1:
        return f"{axis.name}={values[0]:g} {axis.unit}".strip()
    ends = f"{values.min():g} to {values.max():g} {axis.unit}".strip()
    return f"{axis.name}={ends} ({values.size} values)"
