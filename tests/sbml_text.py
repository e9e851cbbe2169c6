"""Small SBML documents as text, for tests."""

import libsbml
import numpy as np
import support

HOURS = (
    '<listOfUnitDefinitions><unitDefinition id="h"><listOfUnits><unit kind="second" '
    'exponent="1" scale="0" multiplier="3600"/></listOfUnits></unitDefinition>'
    "</listOfUnitDefinitions>"
)
COMP = "http://www.sbml.org/sbml/level3/version1/comp/version1"
CLOSE = {"rtol": 1e-7, "atol": 1e-9}
TIMES = np.linspace(0.0, 2.0, 9)


def formula(text):
    """Return MathML of an infix formula."""
    node = libsbml.parseL3Formula(text)
    assert node is not None, libsbml.getLastParseL3Error()
    return libsbml.writeMathMLToString(node).partition("?>")[2]


def listed(kind, items):
    return f"<listOf{kind}>{''.join(items)}</listOf{kind}>" if items else ""


def compartment(name, size="1", constant="true", dimensions="3"):
    given_size = f'size="{size}"' if size else ""
    return (
        f'<compartment id="{name}" spatialDimensions="{dimensions}" {given_size} '
        f'constant="{constant}"/>'
    )


def species(name, start='initialConcentration="1"', *, amount="false", extra=""):
    more = {"boundaryCondition": "false", "constant": "false"}
    more = {k: v for k, v in more.items() if k not in extra}
    rest = " ".join(f'{k}="{v}"' for k, v in more.items())
    return (
        f'<species id="{name}" compartment="cell" {start} '
        f'hasOnlySubstanceUnits="{amount}" {rest} {extra}/>'
    )


def parameter(name, value="", constant="true"):
    given_value = f'value="{value}"' if value != "" else ""
    return f'<parameter id="{name}" {given_value} constant="{constant}"/>'


def reference(name, count="1", *, id_="", constant="true"):
    given_id = f'id="{id_}"' if id_ else ""
    given_count = f'stoichiometry="{count}"' if count else ""
    return (
        f'<speciesReference species="{name}" {given_id} {given_count} '
        f'constant="{constant}"/>'
    )


def reaction(name, reactants, products, rate, local=()):
    return (
        f'<reaction id="{name}" reversible="false">{listed("Reactants", reactants)}'
        f"{listed('Products', products)}<kineticLaw>{formula(rate)}"
        f"{listed('LocalParameters', local)}</kineticLaw></reaction>"
    )


def rule(kind, variable, text):
    name = f'variable="{variable}"' if variable else ""
    return f"<{kind}Rule {name}>{formula(text)}</{kind}Rule>"


def start(variable, text):
    return f'<initialAssignment symbol="{variable}">{formula(text)}</initialAssignment>'


def document(
    *,
    compartments=None,
    pools=(),
    parameters=(),
    starts=(),
    rules=(),
    reactions=(),
    attributes="",
    functions=(),
    units="",
    time="h",
    events=(),
):
    inside = "".join(
        (
            listed("FunctionDefinitions", functions),
            units or HOURS,
            listed("Compartments", compartments or [compartment("cell")]),
            listed("Species", pools),
            listed("Parameters", parameters),
            listed("InitialAssignments", starts),
            listed("Rules", rules),
            listed("Reactions", reactions),
            listed("Events", events),
        )
    )
    given = f'timeUnits="{time}" ' if time else ""
    head = f'{support.SBML}<model id="m" {given}{attributes}>'
    return f"{head}{inside}</model></sbml>"
