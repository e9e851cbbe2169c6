"""Network → Antimony text, by way of SBML and the `antimony` package."""

from collections.abc import Iterator

from mir21sim.errors import UnsupportedFeatureError
from mir21sim.model import expressions as ex
from mir21sim.model.formats import antimony
from mir21sim.model.formats.sbml_reader import read_sbml
from mir21sim.model.formats.sbml_writer import write_sbml
from mir21sim.model.network import Network


def write_antimony(network: Network) -> str:
    """Return a network as Antimony text; local parameters become `reaction_parameter`.

    The text is read back: constructs outside the language are refused, not left out.

    Raises
    ------
    InputError
        Without the package `antimony`.
    UnsupportedFeatureError
        For an element that does not come back; each is named with its id.
    """
    text = antimony.sbml_to_antimony(write_sbml(network), network.id)
    back = read_sbml(antimony.antimony_to_sbml(text, network.id), network.id)
    got = dict(_told(back))
    lost = [what for what, said in _told(network) if got.get(what) != said]
    if lost:
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        raise UnsupportedFeatureError(
            f"Antimony cannot hold {', '.join(lost[:5])}{more} of `{network.id}`; "
            "write SBML (.xml) instead."
        )
    return text


def _told(network: Network) -> Iterator[tuple[str, str]]:
    """Yield (element, its content) of everything that decides a simulation."""
    local = {p.id: ex.Symbol(p.id.replace(".", "_")) for p in network.parameters}

    def said(expr: ex.Expr | None) -> str:
        return "" if expr is None else ex.text(ex.substitute(expr, local))

    for i, formula in enumerate(network.algebraic, start=1):
        yield f"algebraic rule {i}", said(formula)
    for rule in network.rules:
        yield f"the rule of `{rule.variable}`", f"{rule.kind} {said(rule.math)}"
    for item in network.reactions:
        changes = [f"{said(count)} {name}" for name, count in item.changes()]
        yield f"reaction `{item.id}`", f"{said(item.rate)}; {changes}"
    for pool in network.species:
        flags = (pool.compartment, pool.only_amount, pool.boundary, pool.conversion)
        yield f"species `{pool.id}`", str(flags)
    for event in network.events:
        formulas = [said(f) for f in (event.trigger, event.delay, event.priority)]
        done = [(a.variable, said(a.math)) for a in event.assignments]
        when = (event.initial_value, event.persistent, event.values_from_trigger_time)
        yield f"event `{event.id}`", str((formulas, done, when))
