"""Network → SBML L3V2 text.

Everything that a Network can hold is written, with every digit, so that reading the
text again gives an equal network. libSBML, which writes 15 digits, is not used.
"""

import math
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal

from mir21sim import units
from mir21sim.errors import ModelError, UnsupportedFeatureError
from mir21sim.model import expressions as ex
from mir21sim.model.network import Count, Event, Network, Parameter, Reaction, Rule
from mir21sim.units import UnitParts

NAMESPACE = "http://www.sbml.org/sbml/level3/version2/core"
_MATHML = "http://www.w3.org/1998/Math/MathML"
_SYMBOLS = "http://www.sbml.org/sbml/symbols/"
_RDF = {
    "xmlns:rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmlns:bqbiol": "http://biomodels.net/biology-qualifiers/",
}
_QUALIFIED = {"log": "logbase", "root": "degree"}
"""Functions whose first argument MathML puts into an element of its own."""


def write_sbml(network: Network) -> str:
    """Return a network as SBML L3V2 core.

    Local parameters are written as such and named stoichiometries as ids of species
    references; any other stoichiometry that is a formula gets an id and a rule.

    Raises
    ------
    ModelError
        For a local parameter that is used outside its reaction.
    UnsupportedFeatureError
        For fast reactions, which SBML has no more since L3V2.
    """
    fast = [f"`{r.id}`" for r in network.reactions if r.fast]
    if fast:
        raise UnsupportedFeatureError(
            f"The fast reactions {', '.join(fast)} cannot be written: SBML L3V2 has "
            "none; put their balance into an algebraic rule."
        )
    return _Writer(network).text()


def write_formula(parent: ET.Element, expr: ex.Expr) -> None:
    """Add the MathML of an expression to an element of another format."""
    _Formulas(lambda _: "dimensionless").write(parent, expr)


class _Writer:
    """Builds one document, element by element in the order of the standard."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.root = ET.Element(
            "sbml",
            {
                "xmlns": NAMESPACE,
                "xmlns:sbml": NAMESPACE,
                "level": "3",
                "version": "2",
            },
        )
        self.units: dict[UnitParts, str] = {}
        self._math = _Formulas(self._unit).write
        self.taken = {*network.ids(), *(r.id for r in network.reactions)}
        self.species = {s.id for s in network.species}
        self.locals = _local_parameters(network)
        self.counts = named_counts(network)
        self.count_rules: list[Rule] = []

    def text(self) -> str:
        """Return the whole document."""
        network = self.network
        model = _element(self.root, "model", id=network.id, name=network.name or None)
        for key in ("time", "substance", "volume", "extent"):
            unit = getattr(network.units, key)
            if unit is not None:
                model.set(f"{key}Units", self._unit(unit))
        # Units and rules are complete only when all the rest is written.
        definitions = ET.SubElement(model, "listOfUnitDefinitions")
        self._quantities(model)
        self._processes(model)
        for unit, name in self.units.items():
            _unit_definition(definitions, unit, name)
        for container in [item for item in model if not len(item)]:
            model.remove(container)
        ET.indent(self.root)
        text = ET.tostring(self.root, encoding="unicode")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'

    def _quantities(self, model: ET.Element) -> None:
        """Write the quantities with a value, and how they start."""
        self._compartments(ET.SubElement(model, "listOfCompartments"))
        self._species(ET.SubElement(model, "listOfSpecies"))
        parameters = ET.SubElement(model, "listOfParameters")
        for parameter in self.network.parameters:
            if parameter.id not in self.locals and parameter.id not in self.counts:
                self._parameter(parameters, "parameter", parameter, parameter.id)
        starts = ET.SubElement(model, "listOfInitialAssignments")
        for start in self.network.initial_assignments:
            item = _element(starts, "initialAssignment", symbol=start.variable)
            self._math(item, start.math)

    def _processes(self, model: ET.Element) -> None:
        """Write the elements that change values: rules, reactions, events."""
        rules = ET.SubElement(model, "listOfRules")
        reactions = ET.SubElement(model, "listOfReactions")
        for reaction in self.network.reactions:
            self._reaction(reactions, reaction)
        for rule in (*self.network.rules, *self.count_rules):
            item = _element(rules, f"{rule.kind}Rule", variable=rule.variable)
            self._math(item, rule.math)
        for formula in self.network.algebraic:
            self._math(ET.SubElement(rules, "algebraicRule"), formula)
        events = ET.SubElement(model, "listOfEvents")
        for event in self.network.events:
            self._event(events, event)

    def _fresh(self, stem: str) -> str:
        """Return an id that nothing in the model has."""
        name, k = stem, 1
        while name in self.taken:
            k += 1
            name = f"{stem}_{k}"
        self.taken.add(name)
        return name

    def _unit(self, unit: UnitParts) -> str:
        """Return the id of a unit, defined on its first use."""
        if len(unit) == 1 and unit[0][1:] == (1.0, 0, 1.0):
            return unit[0][0]
        if unit not in self.units:
            self.units[unit] = self._fresh(f"unit_{len(self.units) + 1}")
        return self.units[unit]

    def _unit_or_none(self, unit: UnitParts | None) -> str | None:
        return None if unit is None else self._unit(unit)

    def _compartments(self, parent: ET.Element) -> None:
        for record in self.network.compartments:
            _element(
                parent,
                "compartment",
                id=record.id,
                name=record.name or None,
                spatialDimensions=record.dimensions,
                size=record.size,
                units=self._unit_or_none(record.unit),
                constant=record.constant,
            )

    def _species(self, parent: ET.Element) -> None:
        for record in self.network.species:
            kind = "Concentration" if record.initial_is_concentration else "Amount"
            item = _element(
                parent,
                "species",
                id=record.id,
                name=record.name or None,
                compartment=record.compartment,
                substanceUnits=self._unit_or_none(record.unit),
                hasOnlySubstanceUnits=record.only_amount,
                boundaryCondition=record.boundary,
                constant=record.constant,
                conversionFactor=record.conversion or None,
                sboTerm=record.sbo or None,
                **{f"initial{kind}": record.initial},
            )
            _annotate(item, record.identity)

    def _parameter(
        self, parent: ET.Element, tag: str, record: Parameter, name: str
    ) -> None:
        item = _element(
            parent,
            tag,
            id=name,
            name=record.name or None,
            value=record.value,
            units=self._unit_or_none(record.unit),
        )
        if tag == "parameter":
            item.set("constant", _text(record.constant))

    def _reaction(self, parent: ET.Element, record: Reaction) -> None:
        item = _element(
            parent,
            "reaction",
            id=record.id,
            name=record.name or None,
            reversible=record.reversible,
            sboTerm=record.sbo or None,
        )
        for tag, side in (
            ("listOfReactants", record.reactants),
            ("listOfProducts", record.products),
        ):
            if side:
                references = ET.SubElement(item, tag)
                for species, count in side:
                    self._reference(references, species, count)
        modifiers = tuple(self._modifiers(record))
        if modifiers:
            listed = ET.SubElement(item, "listOfModifiers")
            for name in modifiers:
                _element(listed, "modifierSpeciesReference", species=name)
        law = ET.SubElement(item, "kineticLaw")
        own = [p for p in self.network.parameters if self.locals.get(p.id) == record.id]
        short = {p.id: p.id.removeprefix(f"{record.id}.") for p in own}
        self._math(law, record.rate, short)
        if own:
            listed = ET.SubElement(law, "listOfLocalParameters")
            for parameter in own:
                self._parameter(
                    listed, "localParameter", parameter, short[parameter.id]
                )

    def _modifiers(self, record: Reaction) -> Iterator[str]:
        """Yield the modifiers named, and the species that only the rate names."""
        changed = {name for name, _ in (*record.reactants, *record.products)}
        used = (n for n in ex.symbols(record.rate) if n in self.species - changed)
        yield from dict.fromkeys((*record.modifiers, *used))

    def _reference(self, parent: ET.Element, species: str, count: Count) -> None:
        """Write a reactant or product: its stoichiometry a number, named, a formula."""
        item = _element(parent, "speciesReference", species=species)
        if isinstance(count, float):
            item.attrib |= {"stoichiometry": _text(count), "constant": "true"}
        elif isinstance(count, ex.Symbol) and count.name in self.counts:
            record = self.counts[count.name]
            item.attrib |= {"id": record.id, "constant": _text(record.constant)}
            if record.value is not None:
                item.set("stoichiometry", _text(record.value))
        else:
            name = self._fresh("stoichiometry")
            item.attrib |= {"id": name, "constant": "false"}
            self.count_rules.append(Rule("assignment", name, count))

    def _event(self, parent: ET.Element, record: Event) -> None:
        item = _element(
            parent,
            "event",
            # One without an id in its file has a number for a name here.
            id=record.id if record.id.isidentifier() else None,
            name=record.name or None,
            useValuesFromTriggerTime=record.values_from_trigger_time,
        )
        trigger = _element(
            item,
            "trigger",
            initialValue=record.initial_value,
            persistent=record.persistent,
        )
        self._math(trigger, record.trigger)
        for tag, formula in (("priority", record.priority), ("delay", record.delay)):
            if formula is not None:
                self._math(ET.SubElement(item, tag), formula)
        if record.assignments:
            listed = ET.SubElement(item, "listOfEventAssignments")
            for entry in record.assignments:
                made = _element(listed, "eventAssignment", variable=entry.variable)
                self._math(made, entry.math)


class _Formulas:
    """Writes MathML; `unit_id` gives the ids of the units of numbers."""

    def __init__(self, unit_id: Callable[[UnitParts], str]) -> None:
        self.unit_id = unit_id

    def write(
        self,
        parent: ET.Element,
        expr: ex.Expr,
        names: dict[str, str] | None = None,
    ) -> None:
        """Give an element its formula; `names` renames ids in it."""
        self._node(ET.SubElement(parent, "math", xmlns=_MATHML), expr, names or {})

    def _node(self, parent: ET.Element, expr: ex.Expr, names: dict[str, str]) -> None:
        if isinstance(expr, ex.Number):
            self._number(parent, expr)
        elif isinstance(expr, ex.Symbol):
            ET.SubElement(parent, "ci").text = names.get(expr.name, expr.name)
        elif expr.op in {"true", "false"}:
            ET.SubElement(parent, expr.op)
        elif expr.op == ex.TIME:
            _csymbol(parent, "time")
        elif expr.op == "piecewise":
            self._piecewise(ET.SubElement(parent, "piecewise"), expr, names)
        else:
            self._apply(ET.SubElement(parent, "apply"), expr, names)

    def _apply(self, item: ET.Element, expr: ex.Call, names: dict[str, str]) -> None:
        if expr.op in (ex.RATE_OF, ex.DELAY):
            _csymbol(item, expr.op)
        else:
            ET.SubElement(item, expr.op)
        args = expr.args
        if expr.op in _QUALIFIED:
            self._node(ET.SubElement(item, _QUALIFIED[expr.op]), args[0], names)
            args = args[1:]
        for arg in args:
            self._node(item, arg, names)

    def _piecewise(
        self, item: ET.Element, expr: ex.Call, names: dict[str, str]
    ) -> None:
        """Write value, condition, value, condition, …, and the value otherwise."""
        pairs, rest = divmod(len(expr.args), 2)
        for k in range(pairs):
            piece = ET.SubElement(item, "piece")
            for arg in expr.args[2 * k : 2 * k + 2]:
                self._node(piece, arg, names)
        if rest:
            self._node(ET.SubElement(item, "otherwise"), expr.args[-1], names)

    def _number(self, parent: ET.Element, number: ex.Number) -> None:
        value = number.value
        if math.isnan(value):
            ET.SubElement(parent, "notanumber")
        elif math.isinf(value):
            if value < 0:
                parent = ET.SubElement(parent, "apply")
                ET.SubElement(parent, "minus")
            ET.SubElement(parent, "infinity")
        else:
            item = ET.SubElement(parent, "cn")
            # Written out: a power of ten is multiplied in, and so rounded, by readers.
            item.text = f"{Decimal(repr(value)):f}"
            if number.unit is not None:
                item.set("sbml:units", self.unit_id(number.unit))


def _local_parameters(network: Network) -> dict[str, str]:
    """Return the parameters of one reaction each: id → reaction."""
    rates = {r.id: set(ex.symbols(r.rate)) for r in network.reactions}
    found = {}
    for parameter in network.parameters:
        home, dot, short = parameter.id.partition(".")
        if not dot:
            continue
        if short in rates.get(home, {short}):
            raise ModelError(
                f"`{parameter.id}` cannot be written as a local parameter: there is no "
                f"reaction `{home}`, or its rate uses a global `{short}` as well."
            )
        found[parameter.id] = home
    return found


def named_counts(network: Network) -> dict[str, Parameter]:
    """Return the parameters that are the stoichiometry of one species reference."""
    used = Counter(
        count.name
        for reaction in network.reactions
        for _, count in (*reaction.reactants, *reaction.products)
        if isinstance(count, ex.Symbol)
    )
    # A stoichiometry has no unit and no name of its own in SBML.
    return {
        p.id: p
        for p in network.parameters
        if used[p.id] == 1 and p.unit is None and not p.name
    }


def _unit_definition(parent: ET.Element, unit: UnitParts, name: str) -> None:
    item = _element(parent, "unitDefinition", id=name, name=units.parts_text(unit))
    if unit:
        parts = ET.SubElement(item, "listOfUnits")
    for kind, exponent, scale, multiplier in unit:
        _element(
            parts,
            "unit",
            kind=kind,
            exponent=exponent,
            scale=scale,
            multiplier=multiplier,
        )


def _annotate(item: ET.Element, identity: str) -> None:
    """Write the `is` annotation of an element."""
    if not identity:
        return
    about = f"meta_{item.get('id')}"
    item.set("metaid", about)
    rdf = ET.SubElement(ET.SubElement(item, "annotation"), "rdf:RDF", _RDF)
    said = ET.SubElement(rdf, "rdf:Description", {"rdf:about": f"#{about}"})
    bag = ET.SubElement(ET.SubElement(said, "bqbiol:is"), "rdf:Bag")
    ET.SubElement(bag, "rdf:li", {"rdf:resource": identity})


def _csymbol(parent: ET.Element, name: str) -> None:
    item = ET.SubElement(
        parent, "csymbol", encoding="text", definitionURL=f"{_SYMBOLS}{name}"
    )
    item.text = name


def _element(
    parent: ET.Element, tag: str, **attributes: str | float | bool | None
) -> ET.Element:
    """Add an element; attributes that are None are left out."""
    given = {
        key: _text(value) for key, value in attributes.items() if value is not None
    }
    return ET.SubElement(parent, tag, given)


def _text(value: str | float | bool) -> str:
    """Return a value as XML Schema writes it, numbers with every digit."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isinf(value):
            return "INF" if value > 0 else "-INF"
        return "NaN" if math.isnan(value) else repr(float(value))
    return str(value)
