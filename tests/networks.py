"""Random networks that use everything a Network can hold."""

from dataclasses import replace

from hypothesis import strategies as st

from mir21sim.model import expressions as ex
from mir21sim.model.network import (
    Assignment,
    Compartment,
    Event,
    InitialAssignment,
    ModelUnits,
    Network,
    Parameter,
    Reaction,
    Rule,
    Species,
)

VALUES = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
NAMES = ("A", "B", "G", "cell", "room", "k", "w", "z", "flow")
UNARY = sorted(
    ex.FUNCTIONS - {"log", "root", "max", "min", "piecewise", "quotient", "rem"}
)
UNITS = st.sampled_from(
    [
        None,
        (("item", 1.0, 0, 1.0),),
        (("litre", 1.0, -12, 1.0),),
        (("second", 1.0, 0, 60.0),),
    ]
)


def _number(value):
    return ex.Number(abs(value))  # a sign is an operation in MathML


_LEAVES = st.one_of(
    st.builds(_number, VALUES),
    st.sampled_from([ex.Symbol(name) for name in NAMES]),
    st.just(ex.Call(ex.TIME, ())),
    st.builds(
        lambda n: ex.Call(ex.RATE_OF, (ex.Symbol(n),)),
        st.sampled_from("ABw"),
    ),
)


_ONE = st.sampled_from(["minus", *UNARY])


def _flat(op, args):
    """Return a sum or product as the reader makes it: one level."""
    parts = []
    for arg in args:
        same = isinstance(arg, ex.Call) and arg.op == op
        parts += arg.args if same else (arg,)
    return ex.Call(op, tuple(parts))


def _tests(inner):
    relations = st.builds(
        lambda op, a, b: ex.Call(op, (a, b)),
        st.sampled_from(sorted(ex.RELATIONS)),
        inner,
        inner,
    )
    return st.one_of(
        relations,
        st.builds(lambda a, b: ex.Call("and", (a, b)), relations, relations),
        st.builds(lambda a: ex.Call("not", (a,)), relations),
        st.sampled_from([ex.Call("true", ()), ex.Call("false", ())]),
    )


def _calls(inner):
    two = st.tuples(inner, inner)
    return st.one_of(
        st.builds(_flat, st.sampled_from(["plus", "times"]), two),
        st.builds(ex.Call, st.sampled_from(
            ["minus", "divide", "power", "log", "root", "max", "min", "quotient", "rem"]
        ), two),
        st.builds(lambda op, a: ex.Call(op, (a,)), _ONE, inner),
        st.builds(
            lambda v, c, o: ex.Call("piecewise", (v, c, o)),
            inner, _tests(inner), inner,
        ),
    )  # fmt: skip


FORMULAS = st.recursive(_LEAVES, _calls, max_leaves=8)
TRIGGERS = _tests(FORMULAS)
COUNTS = st.one_of(
    st.floats(0, 10, allow_subnormal=False),
    st.sampled_from([ex.Symbol("nA"), ex.Symbol("k")]),
    FORMULAS,
).filter(lambda count: not isinstance(count, ex.Number))

_EVENTS = st.builds(
    Event,
    id=st.sampled_from(["e1", "e2"]),
    trigger=TRIGGERS,
    delay=st.none() | FORMULAS,
    priority=st.none() | FORMULAS,
    assignments=st.lists(
        st.builds(Assignment, st.sampled_from(["A", "B", "w2", "room"]), FORMULAS),
        max_size=3,
        unique_by=lambda a: a.variable,
    ).map(tuple),
    initial_value=st.booleans(),
    persistent=st.booleans(),
    values_from_trigger_time=st.booleans(),
    name=st.sampled_from(["", "a dose"]),
)


@st.composite
def networks(draw):
    """Draw a network of three species in two compartments; it need not make sense."""
    sides = st.lists(
        st.tuples(st.sampled_from("ABG"), st.floats(0, 10, allow_subnormal=False)),
        max_size=3,
    ).map(tuple)
    reactants = draw(sides)
    if draw(st.booleans()):
        reactants = (*reactants, ("A", ex.Symbol("nA")))
    return Network(
        id="random",
        name=draw(st.sampled_from(["", "Größe & <µ>"])),
        compartments=(
            Compartment("cell", draw(VALUES), draw(UNITS)),
            Compartment(
                "room",
                draw(VALUES),
                constant=False,
                name="a room",
                dimensions=draw(st.sampled_from([3.0, 2.0])),
            ),
        ),
        species=tuple(
            Species(
                name,
                draw(st.sampled_from(["cell", "room"])),
                draw(st.none() | VALUES),
                initial_is_concentration=False,
                only_amount=draw(st.booleans()),
                boundary=draw(st.booleans()),
                unit=draw(UNITS),
                name=draw(st.sampled_from(["", "α"])),
                sbo=draw(st.sampled_from(["", "SBO:0000252"])),
                identity=draw(st.sampled_from(["", "https://identifiers.org/x:1&2"])),
                conversion=draw(st.sampled_from(["", "k"])),
            )
            for name in "ABG"
        ),
        parameters=(
            Parameter("k", draw(VALUES), draw(UNITS)),
            Parameter("w", draw(VALUES), constant=False),
            Parameter("w2", draw(VALUES), constant=False),
            Parameter("z", None, constant=False),
            Parameter("flow.q", draw(VALUES), draw(UNITS)),
            *(
                [
                    Parameter(
                        "nA",
                        draw(st.floats(0, 5, allow_subnormal=False)),
                        constant=draw(st.booleans()),
                    )
                ]
                if len(reactants) and reactants[-1][1] == ex.Symbol("nA")
                else []
            ),
        ),
        reactions=(
            Reaction(
                "flow",
                reactants,
                draw(sides),
                (),
                ex.Call("times", (ex.Symbol("flow.q"), ex.Symbol("A"))),
                reversible=draw(st.booleans()),
                name=draw(st.sampled_from(["", "a flow"])),
                sbo=draw(st.sampled_from(["", "SBO:0000179"])),
            ),
        ),
        rules=(
            Rule("assignment", "z", draw(FORMULAS)),
            Rule("rate", "w", draw(FORMULAS)),
        ),
        initial_assignments=(InitialAssignment("k", draw(FORMULAS)),),
        units=ModelUnits(draw(UNITS), draw(UNITS), draw(UNITS), draw(UNITS)),
        algebraic=tuple(draw(st.lists(FORMULAS, max_size=1))),
        events=tuple(draw(st.lists(_EVENTS, max_size=2, unique_by=lambda e: e.id))),
    )


def as_read(network):
    """Return a network with the defaults of SBML: modifiers, units of the model."""
    reactions = []
    for item in network.reactions:
        changed = {name for name, _ in (*item.reactants, *item.products)}
        used = tuple(n for n in ex.symbols(item.rate) if n in {*"ABG"} - changed)
        reactions.append(replace(item, modifiers=tuple(dict.fromkeys(used))))
    volume = network.units.volume
    return replace(
        network,
        reactions=tuple(reactions),
        compartments=tuple(
            replace(c, unit=c.unit or (volume if c.dimensions == 3.0 else None))
            for c in network.compartments
        ),
        species=tuple(
            replace(s, unit=s.unit or network.units.substance) for s in network.species
        ),
    )
