"""The contract of a method of integration, and the record that describes one.

A method integrates the runs of a ``Problem``. To add one, write a file in the folder of
its family that ends in ``METHOD = Method(...)``, and add it to ``methods.METHODS``.

A method is given

1. a ``CompiledModel`` that its ``supports`` accepted, with the kernels it may call;
2. a ``Problem``: start values, parameters, output times, doses, and the quantities to
   keep, all as arrays in model units. It writes to none of them;
3. ``Settings``: tolerances and limits, with nothing left open;
4. ``Workers``: the number of threads, and a progress callback or None.

It returns

5. a ``Solution`` with one entry a run, in the order of the problem; its ``method``
   is left to ``solve``;
6. whether it was interrupted by Ctrl-C. It raises no KeyboardInterrupt.

It promises that

7. values are those of the output times, whatever steps it chose, and that doses at one
   time act in the order of the schedule, before the output at that time is written;
8. every run ends with a ``SolverStatus``. One bad run costs no other run, and a failed
   run keeps its values up to ``t_end`` and is NaN after it;
9. a run with status OK is within the tolerance asked for: an amount that is negative by
   more than ``negative_slack`` ends the run, unless ``allow_negative``;
10. a run ends after ``max_steps`` steps, and after ``timeout`` seconds, late by no more
    than a tenth of that time or a second;
11. the numbers of a run depend on nothing but its own arrays and the settings: not on
    the number of threads, the other runs, or their order;
12. after Ctrl-C finished runs are kept, and those not finished are NOT_RUN and NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from mir21sim.compiler.model import CompiledModel
from mir21sim.solvers.problem import Problem, Solution
from mir21sim.solvers.settings import Settings, Workers

Integrate: TypeAlias = Callable[
    [CompiledModel, Problem, Settings, Workers], tuple[Solution, bool]
]

BATCH, SINGLE = "batch", "single"
"""Families of methods, named like their folders: eight runs at a time, or one."""


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A method of integration, as the rest of the package sees it.

    Attributes
    ----------
    name : the name that users write; upper and lower case do not matter to them
    kisao : id in the Kinetic Simulation Algorithm Ontology
    family : BATCH or SINGLE
    supports : returns why the method cannot run a model, None where it can
    integrate : keeps the contract of this module
    """

    name: str
    kisao: str
    family: str
    supports: Callable[[CompiledModel], str | None]
    integrate: Integrate
