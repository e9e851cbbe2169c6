"""SBML text → Network; unsupported constructs are refused by name and id."""

from typing import Any

import libsbml

from mir21sim.errors import ModelError, UnsupportedFeatureError
from mir21sim.model import expressions as ex
from mir21sim.model.formats import guard as texts
from mir21sim.model.formats.left_open import (
    STOICHIOMETRY,
    LeftOpen,
    warn_of_left_open,
)
from mir21sim.model.formats.sbml_events import read_events
from mir21sim.model.formats.sbml_formulas import Formulas, unit_of
from mir21sim.model.formats.sbml_refusals import refused_features, stop_on_errors
from mir21sim.model.network import (
    Compartment,
    Count,
    InitialAssignment,
    ModelUnits,
    Network,
    Parameter,
    Reaction,
    Rule,
    Species,
)
from mir21sim.units import UnitParts


def read_sbml(text: str, name: str) -> Network:
    """Read SBML text (L1 to L3 core) into a Network.

    Parameters
    ----------
    text : the XML
    name : the name of the model in messages, usually its file name

    Raises
    ------
    ModelError
        When the text is not SBML, or a formula cannot be read.
    UnsupportedFeatureError
        For constructs that are not supported; every one is named with its id.
    """
    network, left_open = read_open(text, name)
    warn_of_left_open(name, left_open)
    return network


def read_open(text: str, name: str) -> tuple[Network, tuple[LeftOpen, ...]]:
    """Read as ``read_sbml`` does, without a warning.

    Returns
    -------
    network : Network
    left_open : stoichiometries that the file leaves open; the network has 1
    """
    texts.stop_on_hostile_xml(text, name)
    document = libsbml.readSBMLFromString(text)
    stop_on_errors(document, name)
    model = document.getModel()
    if model is None:
        raise ModelError(f"{name} holds no SBML model.")
    refused = list(refused_features(document, model))
    if refused:
        raise UnsupportedFeatureError(
            f"{name} uses what mir21sim does not support: {'; '.join(refused)}."
        )
    reader = _Reader(model, name)
    return reader.network(), tuple(reader.left_open)


def _references(reaction: Any) -> tuple[Any, ...]:
    """Return the species references of a reaction that have a stoichiometry."""
    return (*reaction.getListOfReactants(), *reaction.getListOfProducts())


class _Reader:
    """Walks one libSBML model; holds the data that every formula needs."""

    def __init__(self, model: Any, name: str) -> None:
        self.model, self.name = model, name
        self.formulas = Formulas(model, name)
        self.left_open: list[LeftOpen] = []
        self.points = {
            c.getId()
            for c in model.getListOfCompartments()
            if c.getSpatialDimensionsAsDouble() == 0.0 and not _has_size(model, c)
        }

    def network(self) -> Network:
        """Return the whole model."""
        model = self.model
        self.units = self._model_units()
        reactions, parameters = [], [*map(self._parameter, model.getListOfParameters())]
        for item in model.getListOfReactions():
            record, own = self._reaction(item)
            reactions.append(record)
            parameters += own
        # L3V2 lets a formula be absent: such a rule or assignment says nothing.
        said = [rule for rule in model.getListOfRules() if rule.isSetMath()]
        initial = [
            InitialAssignment(
                item.getSymbol(),
                self.formulas.read(
                    item.getMath(), f"initial assignment `{item.getSymbol()}`"
                ),
            )
            for item in model.getListOfInitialAssignments()
            if item.isSetMath()
        ]
        return Network(
            id=model.getId() or "model",
            name=model.getName(),
            compartments=tuple(map(self._compartment, model.getListOfCompartments())),
            species=tuple(map(self._species, model.getListOfSpecies())),
            parameters=tuple(parameters),
            reactions=tuple(reactions),
            rules=tuple(self._rule(rule) for rule in said if not rule.isAlgebraic()),
            initial_assignments=tuple(initial),
            units=self.units,
            events=tuple(read_events(model, self.formulas.read)),
            algebraic=tuple(
                self.formulas.read(rule.getMath(), f"algebraic rule {i}")
                for i, rule in enumerate(filter(_is_algebraic, said), start=1)
            ),
        )

    def _model_units(self) -> ModelUnits:
        model = self.model
        if model.getLevel() >= 3:
            return ModelUnits(
                time=self._unit(model.getTimeUnits()),
                substance=self._unit(model.getSubstanceUnits()),
                volume=self._unit(model.getVolumeUnits()),
                extent=self._unit(model.getExtentUnits()),
            )
        # Levels 1 and 2 have predefined units that a model may redefine.
        substance = self._unit("substance") or (("mole", 1.0, 0, 1.0),)
        return ModelUnits(
            time=self._unit("time") or (("second", 1.0, 0, 1.0),),
            substance=substance,
            volume=self._unit("volume") or (("litre", 1.0, 0, 1.0),),
            extent=substance,
        )

    def _unit(self, name: str) -> UnitParts | None:
        return unit_of(self.model, name)

    def _compartment(self, item: Any) -> Compartment:
        # A compartment without a size: 1 in Level 1, unknown in the others.
        given = item.isSetSize() or item.getLevel() == 1
        # Level 3 has no default for the dimensions; one without dimensions is a volume.
        stated = item.getLevel() < 3 or item.isSetSpatialDimensions()
        dimensions = float(item.getSpatialDimensionsAsDouble()) if stated else 3.0
        default = self.units.volume if dimensions == 3.0 else None
        return Compartment(
            id=item.getId(),
            size=item.getSize() if given else None,
            unit=self._unit(item.getUnits()) or default,
            dimensions=dimensions,
            constant=self._is_constant(item),
            name=item.getName(),
        )

    def _species(self, item: Any) -> Species:
        concentration = item.isSetInitialConcentration()
        amount = item.getInitialAmount() if item.isSetInitialAmount() else None
        home = item.getCompartment()
        return Species(
            id=item.getId(),
            compartment=home,
            initial=item.getInitialConcentration() if concentration else amount,
            initial_is_concentration=concentration,
            # A species in a point has no concentration.
            only_amount=item.getHasOnlySubstanceUnits() or home in self.points,
            boundary=item.getBoundaryCondition(),
            constant=item.getConstant(),
            unit=self._unit(item.getSubstanceUnits()) or self.units.substance,
            name=item.getName(),
            sbo=item.getSBOTermID(),
            identity=_identity(item),
            conversion=item.getConversionFactor() or self.model.getConversionFactor(),
        )

    def _parameter(self, item: Any, prefix: str = "") -> Parameter:
        return Parameter(
            id=prefix + item.getId(),
            value=item.getValue() if item.isSetValue() else None,
            unit=self._unit(item.getUnits()),
            constant=self._is_constant(item),
            name=item.getName(),
        )

    def _is_constant(self, item: Any) -> bool:
        """Say whether a compartment or parameter may not vary.

        Level 1 has no word for it: there, a value without a rule stays.
        """
        if item.getLevel() > 1:
            return bool(item.getConstant())
        given = item.isSetValue() if hasattr(item, "isSetValue") else True
        return given and self.model.getRule(item.getId()) is None

    def _rule(self, rule: Any) -> Rule:
        variable = rule.getVariable()
        return Rule(
            kind="rate" if rule.isRate() else "assignment",
            variable=variable,
            math=self.formulas.read(rule.getMath(), f"rule `{variable}`"),
        )

    def _reaction(self, item: Any) -> tuple[Reaction, list[Parameter]]:
        law = item.getKineticLaw()
        local = law.getListOfLocalParameters() or law.getListOfParameters()
        prefix = item.getId() + "."
        parameters = [self._parameter(p, prefix) for p in local]
        renamed: dict[str, ex.Expr] = {
            p.id.removeprefix(prefix): ex.Symbol(p.id) for p in parameters
        }
        rate = self.formulas.read(law.getMath(), f"reaction `{item.getId()}`")
        parameters += [
            Parameter(
                id=reference.getIdAttribute(),
                value=_plain_count(reference),
                constant=reference.getConstant(),
            )
            for reference in _references(item)
            if _is_symbol(reference)
        ]
        reaction = Reaction(
            id=item.getId(),
            reactants=self._counts(item.getListOfReactants(), item),
            products=self._counts(item.getListOfProducts(), item),
            modifiers=tuple(m.getSpecies() for m in item.getListOfModifiers()),
            rate=ex.substitute(rate, renamed),
            reversible=item.getReversible(),
            name=item.getName(),
            sbo=item.getSBOTermID(),
            fast=bool(item.isSetFast() and item.getFast()),
        )
        return reaction, parameters

    def _counts(self, references: Any, reaction: Any) -> tuple[tuple[str, Count], ...]:
        """Return (species, stoichiometry) pairs."""
        where = f"a stoichiometry in reaction `{reaction.getId()}`"
        pairs: list[tuple[str, Count]] = []
        for item in references:
            count: Count
            if item.isSetStoichiometryMath():
                count = self.formulas.read(item.getStoichiometryMath().getMath(), where)
            elif _is_symbol(item):
                count = ex.Symbol(item.getIdAttribute())
            else:
                count = self._given_count(item, reaction)
            pairs.append((item.getSpecies(), count))
        return tuple(pairs)

    def _given_count(self, reference: Any, reaction: Any) -> float:
        """Return a stoichiometry; one that Level 3 leaves open is 1, with a warning."""
        count = _plain_count(reference)
        if count is None:
            where = f"`{reference.getSpecies()}` in `{reaction.getId()}`"
            self.left_open.append((*STOICHIOMETRY, where))
            return STOICHIOMETRY[1]
        return count


def _has_size(model: Any, compartment: Any) -> bool:
    """Say whether a compartment has a size; in a point with one it counts as volume."""
    name = compartment.getId()
    given = compartment.isSetSize() or model.getInitialAssignment(name) is not None
    return bool(given or model.getRule(name) is not None)


def _is_symbol(reference: Any) -> bool:
    """Say whether formulas may use, and rules change, a stoichiometry by its id."""
    return bool(reference.getLevel() >= 3 and reference.getIdAttribute())


def _plain_count(reference: Any) -> float | None:
    """Return the number that the file gives a stoichiometry, None for none.

    Level 3 has no default, and libSBML then says it is not a number.
    """
    if reference.getLevel() >= 3 and not reference.isSetStoichiometry():
        return None
    # Level 1 wrote fractions.
    return float(reference.getStoichiometry() / reference.getDenominator())


def _is_algebraic(rule: Any) -> bool:
    return bool(rule.isAlgebraic())


def _identity(item: Any) -> str:
    """Return the first `is` annotation of an element, e.g. a UniProt address."""
    for i in range(item.getNumCVTerms()):
        term = item.getCVTerm(i)
        if (
            term.getQualifierType() == libsbml.BIOLOGICAL_QUALIFIER
            and term.getNumResources()
        ):
            return str(term.getResourceURI(0))
    return ""
