"""One run as a self-contained model with its values, start state and doses.

Other tools need it to repeat a run, since they know neither contexts nor protocols.
"""

from dataclasses import replace

from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.model import expressions as ex
from mir21sim.model.network import (
    Assignment,
    Event,
    Network,
    Parameter,
    Reaction,
    Species,
)
from mir21sim.simulation.translate import Translated
from mir21sim.solvers.problem import Action
from mir21sim.units import UnitParts

DOSES_FIRST = 1e9
"""Priority of the doses, which act before events of the model at the same time."""


def snapshot(model: CompiledModel, translated: Translated) -> Network:
    """Return the network of one run, with nothing left to set.

    Every number is that of the run, start formulas evaluated, the start state that of
    the run's first instant (resting states and doses at the start included). Later
    doses are events, infusions reactions whose rate events switch. Doses come first,
    but SBML has no way to let an event of the model at the very same time, with
    values of the moment it fires, know of them.

    Parameters
    ----------
    translated : of one run, from its start (``run.prepare``)

    Raises
    ------
    InputError
        For more runs than one, and for an infusion into a species that reactions do
        not change.
    """
    if len(translated.problem) != 1:
        raise InputError(
            f"One run makes a model, got {len(translated.problem)} runs: simulate it "
            "alone."
        )
    return _Snapshot(model, translated).network()


class _Snapshot:
    """Collects the changes that a run makes to its network."""

    def __init__(self, model: CompiledModel, translated: Translated) -> None:
        self.model, self.problem = model, translated.problem
        problem = translated.problem
        self.values = dict(
            zip(model.param_names, map(float, problem.p[0]), strict=True)
        )
        self.values |= dict(
            zip(model.state_names, map(float, problem.y0[0]), strict=True)
        )
        self.species = {s.id: s for s in model.network.species}
        network = model.network
        self.taken = {
            *network.ids(),
            *(r.id for r in network.reactions),
            *(e.id for e in network.events),
        }
        self.infusions: dict[str, str] = {}  # species → parameter
        self.rate_units: dict[str, UnitParts] = {}  # of these parameters
        self.held = {
            name
            for k, name in enumerate(model.state_names)
            if problem.frozen is not None and problem.frozen[k]
        }

    def network(self) -> Network:
        """Return the network of the run."""
        network = self.model.network
        events = tuple(self._doses())
        return replace(
            network,
            compartments=tuple(
                replace(c, size=self.values.get(c.id, c.size))
                for c in network.compartments
            ),
            species=tuple(map(self._species, network.species)),
            parameters=(
                *(
                    replace(p, value=self.values.get(p.id, p.value))
                    for p in network.parameters
                ),
                *(
                    Parameter(name, self.values[name], self.rate_units.get(name), False)
                    for name in self.infusions.values()
                ),
            ),
            reactions=(*network.reactions, *map(self._infusion, self.infusions)),
            rules=tuple(r for r in network.rules if r.variable not in self.held),
            initial_assignments=(),
            events=(*network.events, *events),
        )

    def _species(self, item: Species) -> Species:
        """Return a species that starts as in the run; one that is clamped stays so."""
        if item.id not in self.values:
            return item
        return replace(
            item,
            initial=self.values[item.id],
            initial_is_concentration=False,
            boundary=item.boundary or item.id in self.held,
        )

    def _doses(self) -> list[Event]:
        """Return the doses after the start as events, those at the start as values."""
        schedule, start = self.problem.schedule, float(self.problem.times[0])
        later: dict[float, dict[str, ex.Expr]] = {}
        for k, time in enumerate(map(float, schedule.time)):
            state = self.model.state_names[schedule.state[k]]
            amount, kind = float(schedule.value[0, k]), Action(schedule.kind[k])
            target = self._infused(state) if kind == Action.RATE else state
            if time <= start:
                before = 0.0 if kind == Action.SET else self.values[target]
                self.values[target] = before + amount
                continue
            changes = later.setdefault(time, {})
            given = self._as_meant(target, amount)
            if kind == Action.SET:
                changes[target] = given
            else:
                before_ = changes.get(target, ex.Symbol(target))
                changes[target] = ex.Call("plus", (before_, given))
        clock = self.model.network.units.time
        first = ex.Number(DOSES_FIRST) if self.model.network.events else None
        return [
            Event(
                id=self._fresh(f"dose_{k}"),
                trigger=ex.Call(
                    "geq",
                    (
                        ex.Call(ex.TIME, ()),
                        ex.Number(time, clock),
                    ),
                ),
                priority=first,
                assignments=tuple(Assignment(n, math) for n, math in changes.items()),
                initial_value=False,
            )
            for k, (time, changes) in enumerate(later.items(), start=1)
        ]

    def _as_meant(self, name: str, amount: float) -> ex.Expr:
        """Return an amount as the id means it: over the volume for a concentration."""
        item = self.species.get(name)
        if item is None:
            return ex.Number(amount, self.rate_units.get(name))
        given = ex.Number(amount, item.unit)
        if item.only_amount:
            return given
        return ex.Call("divide", (given, ex.Symbol(item.compartment)))

    def _infused(self, species: str) -> str:
        """Return the parameter that is the rate of infusion into a species."""
        if species not in self.infusions:
            ruled = {r.variable for r in self.model.network.rules}
            item = self.species.get(species)
            if item is None or item.boundary or species in ruled:
                raise InputError(
                    f"The infusion of `{species}` cannot be written as a reaction, "
                    "because reactions do not change it; give it as single doses."
                )
            name = self._fresh(f"infusion_{species}")
            self.infusions[species], self.values[name] = name, 0.0
            clock = self.model.network.units.time
            if item.unit is not None and clock is not None:
                per_time = tuple((k, -x, s, m) for k, x, s, m in clock)
                self.rate_units[name] = (*item.unit, *per_time)
        return self.infusions[species]

    def _infusion(self, species: str) -> Reaction:
        """Return the reaction that adds an infused species."""
        rate: ex.Expr = ex.Symbol(self.infusions[species])
        conversion = self.species[species].conversion
        if conversion:
            rate = ex.Call("divide", (rate, ex.Symbol(conversion)))
        name = self._fresh(f"infuse_{species}")
        return Reaction(name, (), ((species, 1.0),), (), rate)

    def _fresh(self, stem: str) -> str:
        name, k = stem, 1
        while name in self.taken:
            k += 1
            name = f"{stem}_{k}"
        self.taken.add(name)
        return name
