"""SBML text → Network; what is not supported is refused by name and id. Layer 3."""

import textwrap
import warnings
from collections.abc import Iterator
from typing import Any

import libsbml

from mir21sim import ir
from mir21sim.errors import (
    ModelError,
    ModelWarning,
    UnsupportedFeatureError,
    hint,
)
from mir21sim.frontends import arity, texts
from mir21sim.frontends.events import read_events, refused_events
from mir21sim.units import UnitParts

MAX_DEPTH = 60
"""Formulas nested deeper are refused: no published model comes near, and every later
stage walks them recursively. Sums and products count once, however long."""

AVOGADRO = 6.02214179e23  # value that SBML L3V2 section 3.4.6 fixes for the csymbol

_OPS = {
    libsbml.AST_PLUS: "plus",
    libsbml.AST_MINUS: "minus",
    libsbml.AST_TIMES: "times",
    libsbml.AST_DIVIDE: "divide",
    libsbml.AST_POWER: "power",
    libsbml.AST_FUNCTION_POWER: "power",
    libsbml.AST_FUNCTION_ABS: "abs",
    libsbml.AST_FUNCTION_ARCCOS: "arccos",
    libsbml.AST_FUNCTION_ARCCOSH: "arccosh",
    libsbml.AST_FUNCTION_ARCCOT: "arccot",
    libsbml.AST_FUNCTION_ARCCOTH: "arccoth",
    libsbml.AST_FUNCTION_ARCCSC: "arccsc",
    libsbml.AST_FUNCTION_ARCCSCH: "arccsch",
    libsbml.AST_FUNCTION_ARCSEC: "arcsec",
    libsbml.AST_FUNCTION_ARCSECH: "arcsech",
    libsbml.AST_FUNCTION_ARCSIN: "arcsin",
    libsbml.AST_FUNCTION_ARCSINH: "arcsinh",
    libsbml.AST_FUNCTION_ARCTAN: "arctan",
    libsbml.AST_FUNCTION_ARCTANH: "arctanh",
    libsbml.AST_FUNCTION_CEILING: "ceiling",
    libsbml.AST_FUNCTION_COS: "cos",
    libsbml.AST_FUNCTION_COSH: "cosh",
    libsbml.AST_FUNCTION_COT: "cot",
    libsbml.AST_FUNCTION_COTH: "coth",
    libsbml.AST_FUNCTION_CSC: "csc",
    libsbml.AST_FUNCTION_CSCH: "csch",
    libsbml.AST_FUNCTION_EXP: "exp",
    libsbml.AST_FUNCTION_FACTORIAL: "factorial",
    libsbml.AST_FUNCTION_FLOOR: "floor",
    libsbml.AST_FUNCTION_LN: "ln",
    libsbml.AST_FUNCTION_LOG: "log",
    libsbml.AST_FUNCTION_MAX: "max",
    libsbml.AST_FUNCTION_MIN: "min",
    libsbml.AST_FUNCTION_PIECEWISE: "piecewise",
    libsbml.AST_FUNCTION_QUOTIENT: "quotient",
    libsbml.AST_FUNCTION_REM: "rem",
    libsbml.AST_FUNCTION_ROOT: "root",
    libsbml.AST_FUNCTION_SEC: "sec",
    libsbml.AST_FUNCTION_SECH: "sech",
    libsbml.AST_FUNCTION_SIN: "sin",
    libsbml.AST_FUNCTION_SINH: "sinh",
    libsbml.AST_FUNCTION_TAN: "tan",
    libsbml.AST_FUNCTION_TANH: "tanh",
    libsbml.AST_LOGICAL_AND: "and",
    libsbml.AST_LOGICAL_IMPLIES: "implies",
    libsbml.AST_LOGICAL_NOT: "not",
    libsbml.AST_LOGICAL_OR: "or",
    libsbml.AST_LOGICAL_XOR: "xor",
    libsbml.AST_RELATIONAL_EQ: "eq",
    libsbml.AST_RELATIONAL_GEQ: "geq",
    libsbml.AST_RELATIONAL_GT: "gt",
    libsbml.AST_RELATIONAL_LEQ: "leq",
    libsbml.AST_RELATIONAL_LT: "lt",
    libsbml.AST_RELATIONAL_NEQ: "neq",
    libsbml.AST_CONSTANT_TRUE: "true",
    libsbml.AST_CONSTANT_FALSE: "false",
    libsbml.AST_NAME_TIME: ir.TIME,
    libsbml.AST_FUNCTION_RATE_OF: ir.RATE_OF,
}
_CONSTANTS = {
    libsbml.AST_CONSTANT_E: 2.718281828459045,
    libsbml.AST_CONSTANT_PI: 3.141592653589793,
    libsbml.AST_NAME_AVOGADRO: AVOGADRO,
}
_NUMBERS = {
    libsbml.AST_INTEGER,
    libsbml.AST_REAL,
    libsbml.AST_REAL_E,
    libsbml.AST_RATIONAL,
}
_SAID_BY_US = {
    libsbml.ApplyCiMustBeUserFunction,
    libsbml.ApplyCiMustBeModelComponent,
    libsbml.InvalidNoArgsPassedToFunctionDef,
    libsbml.UndeclaredSpeciesRef,
    libsbml.RecursiveFunctionDefinition,
    libsbml.CircularRuleDependency,
}
"""Errors of libSBML that this reader, lint or ``equations`` tell in their own words."""

ERRORS_SHOWN = 3
"""Errors of libSBML that a message repeats; of the others it gives the number."""

_REFUSED_SYMBOLS = {libsbml.AST_FUNCTION_DELAY: "delay()"}


def read_sbml(text: str, name: str) -> ir.Network:
    """Read SBML text (L1 to L3 core) into a Network.

    Parameters
    ----------
    text : the XML
    name : what to call the model in messages, usually its file name

    Raises
    ------
    ModelError
        When the text is not SBML, or a formula cannot be read.
    UnsupportedFeatureError
        For constructs that are not supported; every one is named with its id.
    """
    texts.stop_on_hostile_xml(text, name)
    document = libsbml.readSBMLFromString(text)
    _stop_on_errors(document, name)
    model = document.getModel()
    if model is None:
        raise ModelError(f"{name} holds no SBML model.")
    refused = list(_refused(document, model))
    if refused:
        raise UnsupportedFeatureError(
            f"{name} uses what mir21sim does not support: {'; '.join(refused)}."
        )
    reader = _Reader(model, name)
    network = reader.network()
    if reader.open_counts:
        warnings.warn(
            f"{name} gives no stoichiometry for {', '.join(reader.open_counts[:3])}"
            f"{' and others' if len(reader.open_counts) > 3 else ''}; 1 is taken.",
            ModelWarning,
            stacklevel=2,
        )
    return network


def _errors(document: Any, name: str) -> Iterator[Any]:
    """Yield what libSBML says is wrong, apart from what we say in our own words."""
    log = document.getErrorLog()
    if log.getNumFailsWithSeverity(libsbml.LIBSBML_SEV_ERROR) == 0:
        model = document.getModel()
        if model is None:
            return
        arity.stop_on_wrong_arity(model, name)
        document = document.clone()
        _unlink(document.getModel())
        for category in (
            libsbml.LIBSBML_CAT_MATHML_CONSISTENCY,  # lint says these in our words
            libsbml.LIBSBML_CAT_UNITS_CONSISTENCY,
            libsbml.LIBSBML_CAT_MODELING_PRACTICE,
            libsbml.LIBSBML_CAT_SBO_CONSISTENCY,
        ):
            document.setConsistencyChecks(category, False)
        document.checkConsistency()
        log = document.getErrorLog()
    for i in range(log.getNumErrors()):
        error = log.getError(i)
        if (
            error.getSeverity() >= libsbml.LIBSBML_SEV_ERROR
            and error.getErrorId() not in _SAID_BY_US
        ):
            yield error


def _stop_on_errors(document: Any, name: str) -> None:
    """Raise the first few of libSBML's errors, with the count of the others."""
    errors = list(_errors(document, name))
    told = []
    for error in errors[:ERRORS_SHOWN]:
        words = " ".join(error.getMessage().split())
        told.append(f"line {error.getLine()}: {textwrap.shorten(words, 200)}")
    if told:
        more = len(errors) - len(told)
        tail = f" ({more} more errors)" if more else ""
        raise ModelError(f"{name} is not valid SBML: {'; '.join(told)}{tail}")


def _definitions(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (id, formula) of what has its value from a formula, at times or at all."""
    for rule in model.getListOfRules():
        if rule.isAssignment():
            yield rule.getVariable(), rule.getMath()
    for item in model.getListOfInitialAssignments():
        yield item.getSymbol(), item.getMath()
    for reaction in model.getListOfReactions():
        if reaction.isSetKineticLaw():
            yield reaction.getIdAttribute(), reaction.getKineticLaw().getMath()


def _unlink(model: Any) -> None:
    """Put numbers in place of what one definition uses of others.

    libSBML looks for circles in a time that grows with the fourth power of a chain of
    rules, 400 of them 13 s; ``equations`` finds them in no time.
    """
    definitions = list(_definitions(model))
    defined = {variable for variable, _ in definitions}
    for _, math in definitions:
        for node in list(arity.nodes(math)):
            if node.getType() == libsbml.AST_NAME and node.getName() in defined:
                node.setValue(1.0)


def _refused(document: Any, model: Any) -> Iterator[str]:
    """Yield 'feature `id`' for each construct that a Network cannot hold."""
    for i in range(document.getNumPlugins() if document.getLevel() >= 3 else 0):
        prefix = document.getPlugin(i).getPackageName()
        # libSBML shows the functions that L3V2 core itself has as a package.
        if prefix != "l3v2extendedmath" and document.getPackageRequired(prefix):
            yield f"package `{prefix}`"
    yield from refused_events(model)
    for reaction in model.getListOfReactions():
        if not reaction.isSetKineticLaw() or not reaction.getKineticLaw().isSetMath():
            yield f"reaction `{reaction.getId()}` without a rate law"


def _references(reaction: Any) -> tuple[Any, ...]:
    """Return the species references of a reaction that have a stoichiometry."""
    return (*reaction.getListOfReactants(), *reaction.getListOfProducts())


class _Reader:
    """Walks one libSBML model; holds what every formula needs."""

    def __init__(self, model: Any, name: str) -> None:
        self.model, self.name = model, name
        self.functions = {f.getId(): f for f in model.getListOfFunctionDefinitions()}
        ir.order(
            {key: _called(f.getMath()) for key, f in self.functions.items()},
            lambda path: f"{name}: a function is defined through itself: {path}.",
        )
        self.open_counts: list[str] = []
        self.points = {
            c.getId()
            for c in model.getListOfCompartments()
            if c.getSpatialDimensionsAsDouble() == 0.0
        }

    def network(self) -> ir.Network:
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
            ir.InitialAssignment(
                item.getSymbol(),
                self._formula(
                    item.getMath(), f"initial assignment `{item.getSymbol()}`"
                ),
            )
            for item in model.getListOfInitialAssignments()
            if item.isSetMath()
        ]
        return ir.Network(
            id=model.getId() or "model",
            name=model.getName(),
            compartments=tuple(map(self._compartment, model.getListOfCompartments())),
            species=tuple(map(self._species, model.getListOfSpecies())),
            parameters=tuple(parameters),
            reactions=tuple(reactions),
            rules=tuple(self._rule(rule) for rule in said if not rule.isAlgebraic()),
            initial_assignments=tuple(initial),
            units=self.units,
            events=tuple(read_events(model, self._formula)),
            algebraic=tuple(
                self._formula(rule.getMath(), f"algebraic rule {i}")
                for i, rule in enumerate(filter(_is_algebraic, said), start=1)
            ),
        )

    def _model_units(self) -> ir.ModelUnits:
        model = self.model
        if model.getLevel() >= 3:
            return ir.ModelUnits(
                time=self._unit(model.getTimeUnits()),
                substance=self._unit(model.getSubstanceUnits()),
                volume=self._unit(model.getVolumeUnits()),
                extent=self._unit(model.getExtentUnits()),
            )
        # Levels 1 and 2 have predefined units that a model may redefine.
        substance = self._unit("substance") or (("mole", 1.0, 0, 1.0),)
        return ir.ModelUnits(
            time=self._unit("time") or (("second", 1.0, 0, 1.0),),
            substance=substance,
            volume=self._unit("volume") or (("litre", 1.0, 0, 1.0),),
            extent=substance,
        )

    def _unit(self, name: str) -> UnitParts | None:
        """Return a unit by the id of its definition or its SBML kind."""
        if not name:
            return None
        definition = self.model.getUnitDefinition(name)
        if definition is None:
            known = libsbml.UnitKind_forName(name) != libsbml.UNIT_KIND_INVALID
            return ((name, 1.0, 0, 1.0),) if known else None
        return tuple(
            (
                libsbml.UnitKind_toString(unit.getKind()),
                float(unit.getExponentAsDouble()),
                int(unit.getScale()),
                float(unit.getMultiplier()),
            )
            for unit in definition.getListOfUnits()
        )

    def _compartment(self, item: Any) -> ir.Compartment:
        # A compartment without a size: 1 in Level 1, unknown in the others.
        given = item.isSetSize() or item.getLevel() == 1
        # Level 3 has no default for the dimensions; what does not say is a volume.
        stated = item.getLevel() < 3 or item.isSetSpatialDimensions()
        dimensions = float(item.getSpatialDimensionsAsDouble()) if stated else 3.0
        default = self.units.volume if dimensions == 3.0 else None
        return ir.Compartment(
            id=item.getId(),
            size=item.getSize() if given else None,
            unit=self._unit(item.getUnits()) or default,
            dimensions=dimensions,
            constant=self._is_constant(item),
            name=item.getName(),
        )

    def _species(self, item: Any) -> ir.Species:
        concentration = item.isSetInitialConcentration()
        amount = item.getInitialAmount() if item.isSetInitialAmount() else None
        home = item.getCompartment()
        return ir.Species(
            id=item.getId(),
            compartment=home,
            initial=item.getInitialConcentration() if concentration else amount,
            initial_is_concentration=concentration,
            # What is in a point has no concentration.
            only_amount=item.getHasOnlySubstanceUnits() or home in self.points,
            boundary=item.getBoundaryCondition(),
            constant=item.getConstant(),
            unit=self._unit(item.getSubstanceUnits()) or self.units.substance,
            name=item.getName(),
            sbo=item.getSBOTermID(),
            identity=_identity(item),
            conversion=item.getConversionFactor() or self.model.getConversionFactor(),
        )

    def _parameter(self, item: Any, prefix: str = "") -> ir.Parameter:
        return ir.Parameter(
            id=prefix + item.getId(),
            value=item.getValue() if item.isSetValue() else None,
            unit=self._unit(item.getUnits()),
            constant=self._is_constant(item),
            name=item.getName(),
        )

    def _is_constant(self, item: Any) -> bool:
        """Say whether a compartment or parameter may not vary.

        Level 1 has no word for it: there, what has a value and no rule stays.
        """
        if item.getLevel() > 1:
            return bool(item.getConstant())
        given = item.isSetValue() if hasattr(item, "isSetValue") else True
        return given and self.model.getRule(item.getId()) is None

    def _rule(self, rule: Any) -> ir.Rule:
        variable = rule.getVariable()
        return ir.Rule(
            kind="rate" if rule.isRate() else "assignment",
            variable=variable,
            math=self._formula(rule.getMath(), f"rule `{variable}`"),
        )

    def _reaction(self, item: Any) -> tuple[ir.Reaction, list[ir.Parameter]]:
        law = item.getKineticLaw()
        local = law.getListOfLocalParameters() or law.getListOfParameters()
        prefix = item.getId() + "."
        parameters = [self._parameter(p, prefix) for p in local]
        renamed: dict[str, ir.Expr] = {
            p.id.removeprefix(prefix): ir.Symbol(p.id) for p in parameters
        }
        rate = self._formula(law.getMath(), f"reaction `{item.getId()}`")
        parameters += [
            ir.Parameter(
                id=reference.getIdAttribute(),
                value=_plain_count(reference),
                constant=reference.getConstant(),
            )
            for reference in _references(item)
            if _is_symbol(reference)
        ]
        reaction = ir.Reaction(
            id=item.getId(),
            reactants=self._counts(item.getListOfReactants(), item),
            products=self._counts(item.getListOfProducts(), item),
            modifiers=tuple(m.getSpecies() for m in item.getListOfModifiers()),
            rate=ir.substitute(rate, renamed),
            reversible=item.getReversible(),
            name=item.getName(),
            sbo=item.getSBOTermID(),
            fast=bool(item.isSetFast() and item.getFast()),
        )
        return reaction, parameters

    def _counts(
        self, references: Any, reaction: Any
    ) -> tuple[tuple[str, ir.Count], ...]:
        """Return (species, stoichiometry) pairs."""
        where = f"a stoichiometry in reaction `{reaction.getId()}`"
        pairs: list[tuple[str, ir.Count]] = []
        for item in references:
            count: ir.Count
            if item.isSetStoichiometryMath():
                count = self._formula(item.getStoichiometryMath().getMath(), where)
            elif _is_symbol(item):
                count = ir.Symbol(item.getIdAttribute())
            else:
                count = self._given_count(item, reaction)
            pairs.append((item.getSpecies(), count))
        return tuple(pairs)

    def _given_count(self, reference: Any, reaction: Any) -> float:
        """Return a stoichiometry; one that Level 3 leaves open is 1, with a warning."""
        count = _plain_count(reference)
        if count is None:
            self.open_counts.append(
                f"`{reference.getSpecies()}` in `{reaction.getId()}`"
            )
            return 1.0
        return count

    def _formula(self, node: Any, where: str) -> ir.Expr:
        if node is None:
            raise ModelError(f"{self.name}: {where} has no formula.")
        return self._bounded(self._expr(node, where, {}), where)

    def _bounded(self, made: ir.Expr, where: str) -> ir.Expr:
        """Return a formula that is not too long to be differentiated."""
        if ir.size(made, arity.MAX_SIZE) >= arity.MAX_SIZE:
            raise ModelError(arity.too_long(f"{self.name}: {where}"))
        return made

    def _expr(
        self,
        root: Any,
        where: str,
        arguments: dict[str, ir.Expr],
    ) -> ir.Expr:
        """Return one libSBML formula as ours, function definitions expanded.

        Walks with a stack of its own: how deep a file nests is not ours to choose.
        """
        waiting = [(root, False)]
        done: list[ir.Expr] = []  # finished operands
        while waiting:
            node, ready = waiting.pop()
            count = node.getNumChildren()
            if not ready and count:
                waiting.append((node, True))
                waiting += [(node.getChild(i), False) for i in reversed(range(count))]
                continue
            operands = done[len(done) - count :]
            del done[len(done) - count :]
            made = self._node(node, operands, where, arguments)
            if ir.depth(made) > MAX_DEPTH:
                raise ModelError(
                    f"{self.name}: the formula of {where} is nested deeper than "
                    f"{MAX_DEPTH} levels; split it by assignment rules."
                )
            done.append(made)
        return done[0]

    def _node(
        self,
        node: Any,
        children: list[ir.Expr],
        where: str,
        arguments: dict[str, ir.Expr],
    ) -> ir.Expr:
        """Return one node whose operands are finished."""
        kind = node.getType()
        if kind in _NUMBERS:
            return ir.Number(node.getValue(), self._unit(node.getUnits()))
        if kind in _CONSTANTS:
            return ir.Number(_CONSTANTS[kind])
        if kind == libsbml.AST_NAME:
            return self._name(node.getName(), arguments)
        if kind == libsbml.AST_FUNCTION:
            return self._call(node.getName(), children, where)
        if kind in _REFUSED_SYMBOLS:
            raise UnsupportedFeatureError(
                f"{self.name} uses what mir21sim does not support: "
                f"{_REFUSED_SYMBOLS[kind]} in {where}."
            )
        if kind not in _OPS:
            raise UnsupportedFeatureError(
                f"{self.name}: {where} uses `{node.getName() or kind}`, which is not "
                "supported."
            )
        return _operation(_OPS[kind], children)

    def _name(self, name: str, arguments: dict[str, ir.Expr]) -> ir.Expr:
        if name in arguments:
            return arguments[name]
        return ir.Symbol(name)

    def _call(
        self,
        name: str,
        arguments: list[ir.Expr],
        where: str,
    ) -> ir.Expr:
        """Expand a call of a function definition."""
        definition = self.functions.get(name)
        if definition is None:
            known = (*self.functions, *sorted(ir.FUNCTIONS))
            raise ModelError(
                f"{self.name}: {where} calls `{name}`, which is not a function. "
                f"{hint(name, known)}"
            )
        formal = [
            definition.getArgument(i).getName()
            for i in range(definition.getNumArguments())
        ]
        if len(formal) != len(arguments):
            raise ModelError(
                f"{self.name}: {where} calls `{name}` with {len(arguments)} arguments; "
                f"it takes {len(formal)}."
            )
        bound = dict(zip(formal, arguments, strict=True))
        body = definition.getBody()
        if body is None:
            raise ModelError(f"{self.name}: the function `{name}` has no body.")
        return self._bounded(self._expr(body, where, bound), where)


def _called(root: Any) -> list[str]:
    """Return the names of the functions that a formula calls, with repetitions."""
    return [
        n.getName() for n in arity.nodes(root) if n.getType() == libsbml.AST_FUNCTION
    ]


_ASSOCIATIVE = {"plus", "times"}


def _operation(op: str, children: list[ir.Expr]) -> ir.Expr:
    """Return an operation; empty sums and products as MathML defines them."""
    if op in {"plus", "times"} and len(children) < 2:
        return children[0] if children else ir.Number(float(op == "times"))
    if op == "root" and len(children) == 1:
        children = [ir.Number(2.0), *children]
    if op == "log" and len(children) == 1:
        children = [ir.Number(10.0), *children]
    if op in _ASSOCIATIVE:
        # (a + b) + c is a + b + c: however long a sum is, it is one level deep.
        parts: list[ir.Expr] = []
        for child in children:
            same = isinstance(child, ir.Call) and child.op == op
            parts += child.args if same else (child,)  # type: ignore[union-attr]
        children = parts
    return ir.Call(op, tuple(children))


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
