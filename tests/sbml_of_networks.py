"""A writer of SBML for the networks of the tests; it shares no code with ours."""

from mir21sim.model import expressions as ex
from mir21sim.model.network import Network

SBML = (
    '<sbml xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2">'
)
MATH = '<math xmlns="http://www.w3.org/1998/Math/MathML">'
_TIME = (
    '<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/time">'
    "t</csymbol>"
)


def mathml(e):
    """Return the MathML of an expression, without the outer element."""
    if isinstance(e, ex.Number):
        return f"<cn>{e.value!r}</cn>"
    if isinstance(e, ex.Symbol):
        return f"<ci>{e.name}</ci>"
    if e.op == "time":
        return _TIME
    inner = [mathml(arg) for arg in e.args]
    if e.op == "piecewise":
        pieces = "".join(
            f"<piece>{value}{test}</piece>"
            for value, test in zip(inner[0::2], inner[1::2], strict=False)
        )
        return f"<piecewise>{pieces}<otherwise>{inner[-1]}</otherwise></piecewise>"
    return f"<apply><{e.op}/>{''.join(inner)}</apply>"


def _attributes(**values):
    shown = {True: "true", False: "false"}
    return " ".join(
        f'{key}="{shown.get(v, v) if isinstance(v, bool) else v}"'
        for key, v in values.items()
        if v is not None
    )


def _unit_definitions(units):
    texts = []
    for key in ("time", "substance", "volume", "extent"):
        parts = "".join(
            f"<unit {_attributes(kind=k, exponent=x, scale=s, multiplier=m)}/>"
            for k, x, s, m in getattr(units, key)
        )
        texts.append(
            f'<unitDefinition id="u_{key}"><listOfUnits>{parts}</listOfUnits>'
            "</unitDefinition>"
        )
    return _list("UnitDefinitions", texts)


def _list(name, texts):
    texts = list(texts)
    return f"<listOf{name}>{''.join(texts)}</listOf{name}>" if texts else ""


def _references(kind, pairs):
    texts = [
        f'<speciesReference species="{s}" stoichiometry="{n!r}" constant="true"/>'
        for s, n in pairs
    ]
    return _list(kind, texts)


def _reaction_xml(item, species):
    """Write a reaction; SBML wants species that only its rate uses as modifiers."""
    named = {name for name, _ in (*item.reactants, *item.products)}
    used = [s for s in dict.fromkeys(ex.symbols(item.rate)) if s in species - named]
    modifiers = [f'<modifierSpeciesReference species="{s}"/>' for s in used]
    return (
        f'<reaction id="{item.id}" reversible="false">'
        f"{_references('Reactants', item.reactants)}"
        f"{_references('Products', item.products)}"
        f"{_list('Modifiers', modifiers)}"
        f"<kineticLaw>{MATH}{mathml(item.rate)}</math></kineticLaw></reaction>"
    )


def sbml_model(net: Network) -> dict[str, str]:
    """Return the lists of a network as SBML elements, in the order of a model."""
    compartments = [
        f"<compartment {_attributes(id=c.id, size=c.size, constant=c.constant)}/>"
        for c in net.compartments
    ]
    species = []
    for s in net.species:
        kind = "initialConcentration" if s.initial_is_concentration else "initialAmount"
        given = _attributes(
            id=s.id,
            compartment=s.compartment,
            hasOnlySubstanceUnits=s.only_amount,
            boundaryCondition=s.boundary,
            constant=s.constant,
            **{kind: s.initial},
        )
        species.append(f"<species {given}/>")
    parameters = [
        f"<parameter {_attributes(id=p.id, value=p.value, constant=p.constant)}/>"
        for p in net.parameters
    ]
    ids = {s.id for s in net.species}
    reactions = [_reaction_xml(item, ids) for item in net.reactions]
    starts = [
        f'<initialAssignment symbol="{a.variable}">{MATH}{mathml(a.math)}</math>'
        "</initialAssignment>"
        for a in net.initial_assignments
    ]
    rules = [
        f'<{r.kind}Rule variable="{r.variable}">{MATH}{mathml(r.math)}</math>'
        f"</{r.kind}Rule>"
        for r in net.rules
    ]
    return {
        "functions": "",
        "units": _unit_definitions(net.units),
        "compartments": _list("Compartments", compartments),
        "species": _list("Species", species),
        "parameters": _list("Parameters", parameters),
        "starts": _list("InitialAssignments", starts),
        "rules": _list("Rules", rules),
        "constraints": "",
        "reactions": _list("Reactions", reactions),
        "events": _list("Events", map(_event_xml, net.events)),
    }


def _event_xml(item):
    """Write an event with all its attributes."""

    def part(tag, math_, **attributes):
        inner = f"{MATH}{mathml(math_)}</math>"
        return f"<{tag} {_attributes(**attributes)}>{inner}</{tag}>"

    texts = [
        part("eventAssignment", a.math, variable=a.variable) for a in item.assignments
    ]
    given = _attributes(
        id=item.id, useValuesFromTriggerTime=item.values_from_trigger_time
    )
    trigger = part(
        "trigger",
        item.trigger,
        initialValue=item.initial_value,
        persistent=item.persistent,
    )
    return (
        f"<event {given}>{trigger}"
        f"{part('priority', item.priority) if item.priority else ''}"
        f"{part('delay', item.delay) if item.delay else ''}"
        f"{_list('EventAssignments', texts)}</event>"
    )


def to_sbml(net: Network, **replaced: str) -> str:
    """Return SBML L3V2 of a network, with some of its lists replaced."""
    lists = sbml_model(net) | replaced
    model = (
        f'<model id="{net.id}" timeUnits="u_time" substanceUnits="u_substance" '
        'volumeUnits="u_volume" extentUnits="u_extent">'
    )
    return f"{SBML}{model}{''.join(lists.values())}</model></sbml>"
