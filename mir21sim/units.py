"""The only conversions: molecules and seconds inside; nM, h, ng/ml outside."""

import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import pint

SECONDS_PER_HOUR = 3600.0
AVOGADRO = 6.02214076e23  # 1/mol, exact (SI, 2019)

# SBML unit kinds that pint calls otherwise; `item` is a counted molecule.
_SBML_KINDS = {
    "item": "molecule",
    "litre": "liter",
    "metre": "meter",
    "celsius": "kelvin",
    "avogadro": "avogadro_constant",
}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?)"
_QUANTITY = re.compile(rf"\s*({_NUMBER})\s*(.*?)\s*", re.IGNORECASE)
_SECONDS = {"s": 1.0, "min": 60.0, "h": SECONDS_PER_HOUR, "d": 86400.0}
_TIME_UNITS = tuple(_SECONDS)
_DOSE_UNITS = (
    "nM", "pM", "fM", "uM", "µM", "mM", "M", "molecule", "ng/ml", "pg/ml", "ug/ml",
    "µg/ml", "mg/ml", "pmol", "fmol", "amol", "nmol",
)  # fmt: skip
"""Dose units that messages list; others differ in the prefix or per litre."""

_PREFIXES = {
    "": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15,
    "a": 1e-18,
}  # fmt: skip
_LITRES = {
    "l": 1.0, "dl": 1e-1, "ml": 1e-3, "ul": 1e-6, "µl": 1e-6, "nl": 1e-9, "pl": 1e-12,
}  # fmt: skip


def _dose_scales() -> dict[str, tuple[str, float]]:
    """Return the kind and size of every dose unit by its spelling."""
    scales = {"molecule": ("amount", 1.0)}
    for prefix, factor in _PREFIXES.items():
        scales[f"{prefix}mol"] = ("amount", factor * AVOGADRO)
        scales[f"{prefix}M"] = ("molar", factor)
        for litre, litres in _LITRES.items():
            scales[f"{prefix}mol/{litre}"] = ("molar", factor / litres)
            scales[f"{prefix}g/{litre}"] = ("mass", factor / litres)
    return scales


_DOSE_SCALES = _dose_scales()
_TIME_ALIASES = {
    "sec": "s", "second": "s", "seconds": "s", "minute": "min", "minutes": "min",
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d",
}  # fmt: skip
_DOSE_ALIASES = {"molecules": "molecule"}

UnitParts: TypeAlias = tuple[tuple[str, float, int, float], ...]
"""An SBML unit: (kind, exponent, scale, multiplier) a factor."""


@cache
def registry() -> "pint.UnitRegistry[Any]":
    """Return the one unit registry; pint is imported on the first call."""
    import pint  # 0.3 s, and most commands need no units

    return pint.UnitRegistry(cache_folder=None)


def rounded(value: float, digits: int = 3) -> str:
    """Return a number for a reader: some significant digits, 1000 rather than 1e+03.

    Examples
    --------
    >>> rounded(99.7, 2), rounded(1234.5), rounded(1.234e-7), rounded(2.5e9)
    ('100', '1230', '1.23e-07', '2.5e+09')
    """
    short = f"{value:.{digits}g}"
    if "e+" not in short or abs(value) >= PLAIN:
        return short
    return f"{float(short):.0f}"


PLAIN = 1e7
"""Numbers from here on are written with an exponent."""


def parse_quantity(text: str, what: str) -> tuple[float, str]:
    """Split ``"50 ng/ml"`` into 50.0 and ``"ng/ml"`` (``""`` for a bare number).

    Raises
    ------
    InputError
        When the text does not start with a number or the number is not finite.

    Examples
    --------
    >>> parse_quantity("50 ng/ml", "dose")
    (50.0, 'ng/ml')
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InputError(
            f"{what} must be a number with an optional unit, such as `50 nM`, "
            f"got `{text}`."
        )
    if match[2].startswith(","):
        raise InputError(
            f"{what} must have a decimal point, and nothing between thousands, got "
            f"`{text}`."
        )
    value = float(match[1])
    if not math.isfinite(value):
        raise InputError(f"{what} must be finite, got `{text}`.")
    return value, match[2]


def seconds(value: float | str, what: str = "time") -> float:
    """Return a time in seconds; a bare number is in hours.

    Examples
    --------
    >>> seconds(2), seconds("30 min")
    (7200.0, 1800.0)
    """
    number, unit = parse_quantity(str(value), what)
    return number * _SECONDS[time_unit(unit, what) if unit else "h"]


def time_in(value: float | str, unit: str, what: str = "time") -> float:
    """Return a time in a unit; a bare number is in it.

    Raises
    ------
    InputError
        For a time with a unit where `unit` does not convert, such as "model units".

    Examples
    --------
    >>> time_in("30 min", "h"), time_in(30, "model units")
    (0.5, 30.0)
    """
    number, given = parse_quantity(str(value), what)
    if not given or number == 0.0:
        return number
    if unit not in _SECONDS:
        raise InputError(
            f"Times are in {unit} here, so {what} `{value}` cannot be converted; write "
            "a bare number."
        )
    return number * _SECONDS[time_unit(given, what)] / _SECONDS[unit]


def time_column(header: str) -> str | None:
    """Return the unit in the header of a column of times, "" for none.

    None for the header of another column.

    Raises
    ------
    UnknownNameError
        For a unit that is none of time.

    Examples
    --------
    >>> time_column("Time (hours)"), time_column("time_min"), time_column("time")
    ('h', 'min', '')
    >>> time_column("control") is None
    True
    """
    words = [w for w in re.split(r"[\s_()\[\],/:]+", header.strip().lower()) if w]
    if len(words) == 1:
        return "" if words[0] == "time" else _TIME_ALIASES.get(words[0])
    if len(words) != 2 or words[0] not in ("time", "t"):
        return None
    return time_unit(words[1], "time")


def in_hours(values: FloatArray, unit: str) -> FloatArray:
    """Return times in hours; without a unit they are taken as they are."""
    return values * (_SECONDS[unit] / _SECONDS["h"]) if unit else values


def time_unit(unit: str, what: str) -> str:
    """Return the short name of a unit of time or say which units exist."""
    short = _TIME_ALIASES.get(unit.lower(), unit.lower())
    if short not in _SECONDS:
        raise UnknownNameError(f"unit of {what}", short, _TIME_UNITS)
    return short


def dose_unit(unit: str, what: str) -> str:
    """Return the usual spelling of a dose unit.

    Upper and lower case are free, except where they would decide the prefix.

    Raises
    ------
    UnknownNameError
        For any other unit.

    Examples
    --------
    >>> dose_unit("UG/ml", "dose"), dose_unit("nmol/L", "dose")
    ('ug/ml', 'nmol/l')
    """
    unit = unit.replace("μ", "µ")  # two code points print as one letter
    unit = _DOSE_ALIASES.get(unit, unit)
    lower = unit.lower()
    if unit in _DOSE_SCALES:
        return unit
    known = {name.lower(): name for name in _DOSE_SCALES}
    if lower in known and lower != "m" and not unit.startswith("M") and lower != "mm":
        return known[lower]
    raise UnknownNameError(f"unit of {what}", unit, _DOSE_UNITS)


def dose_scale(unit: str, what: str = "dose") -> tuple[str, float]:
    """Return the kind of a dose unit and its size in the base unit of the kind.

    Returns
    -------
    kind : "amount" (base: molecules), "molar" (mol/l) or "mass" (g/l)
    size : float

    Examples
    --------
    >>> dose_scale("ug/ml")
    ('mass', 0.001)
    """
    return _DOSE_SCALES[dose_unit(unit, what)]


def molecules(
    amount: float,
    unit: str,
    volume_pL: float,
    what: str,
    molecular_weight: float | None = None,
) -> float:
    """Turn an amount or a concentration into molecules.

    Parameters
    ----------
    amount : float, in `unit`
    unit : a molar or mass concentration (in `volume_pL`), moles, or ``"molecule"``
    volume_pL : float, pL, volume of the compartment that the substance enters
    molecular_weight : float, g/mol, needed for a mass concentration

    Raises
    ------
    InputError
        For a mass concentration without molecular weight.

    Examples
    --------
    >>> round(molecules(1, "nM", 1.0, "dose"), 1)  # 1 nM in 1 pL
    602.2
    """
    kind, size = dose_scale(unit, what)
    if kind == "amount":
        return amount * size
    if kind == "mass":
        if molecular_weight is None:
            raise InputError(
                f"{what} is given in `{unit}`, a mass concentration, but the model "
                "states no conversion for it (`molecular_weight` or "
                "`molecules_per_unit` of the input); use nM or molecule."
            )
        size /= molecular_weight
    return amount * size * AVOGADRO * (volume_pL * 1e-12)


def picolitres(size: float, unit: UnitParts | None) -> float | None:
    """Return a compartment's size in pL; None where its unit is no volume."""
    for kind, litres_each, power in (("litre", 1.0, 1.0), ("metre", 1e3, 3.0)):
        factor = _factor(unit, kind, power)
        if factor is not None:
            return size * (factor * litres_each / 1e-12)
    return None


def molecules_per(unit: UnitParts | None) -> float | None:
    """Return molecules in one model unit of substance; None where it is no amount."""
    if unit is None:
        return None
    for kind, molecules_each in (("item", 1.0), ("mole", AVOGADRO)):
        factor = _factor(unit, kind)
        if factor is not None:
            return factor * molecules_each
    return None


def seconds_per(unit: UnitParts | None) -> float | None:
    """Return seconds in one model unit of time; None where it is no time."""
    return _factor(unit, "second")


def _factor(unit: UnitParts | None, kind: str, wanted: float = 1.0) -> float | None:
    """Return how many `kind`**`wanted` one unit is, None where it is something else."""
    if unit is None:
        return None
    factor, power = 1.0, 0.0
    for name, exponent, scale, multiplier in unit:
        if name not in (kind, "dimensionless"):
            return None
        factor *= (multiplier * 10.0**scale) ** exponent
        power += exponent if name == kind else 0.0
    return factor if power == wanted else None


def parts_text(unit: UnitParts | None) -> str:
    """Return an SBML unit as people write it, without asking pint; "" for none.

    Examples
    --------
    >>> parts_text((("item", -1.0, 0, 1.0), ("second", -1.0, 0, 1.0)))
    '1/(molecule·s)'
    """
    if unit is None:
        return ""
    powers: dict[str, float] = {}
    for kind, exponent, scale, multiplier in unit:
        if kind == "dimensionless" and multiplier * 10.0**scale == 1.0:
            continue
        known = _KNOWN_PARTS.get((kind, scale, multiplier))
        if known is None:
            factor = multiplier * 10.0**scale
            known = kind if factor == 1.0 else f"{factor:g} {kind}"
        powers[known] = powers.get(known, 0.0) + exponent
    return _fraction(powers)


_KNOWN_PARTS = {
    ("item", 0, 1.0): "molecule", ("second", 0, 1.0): "s", ("litre", -12, 1.0): "pL",
    ("litre", 0, 1e-12): "pL", ("litre", 0, 1.0): "l", ("mole", -9, 1.0): "nmol",
    ("mole", 0, 1e-9): "nmol", ("mole", 0, 1.0): "mol", ("second", 0, 60.0): "min",
    ("second", 0, 3600.0): "h", ("second", 0, 86400.0): "d", ("second", -3, 1.0): "ms",
    ("second", 0, 1e-3): "ms", ("mole", -3, 1.0): "mmol", ("mole", -6, 1.0): "µmol",
    ("mole", 0, 1e-3): "mmol", ("mole", 0, 1e-6): "µmol", ("mole", -12, 1.0): "pmol",
    ("mole", 0, 1e-12): "pmol", ("mole", -15, 1.0): "fmol", ("litre", -3, 1.0): "ml",
    ("litre", 0, 1e-3): "ml", ("litre", -15, 1.0): "fL", ("litre", 0, 1e-15): "fL",
    ("gram", 0, 1.0): "g", ("gram", -3, 1.0): "mg", ("metre", 0, 1.0): "m",
}  # fmt: skip


_NAMED_PARTS = {
    ("litre", -15): "femtoliter", ("litre", -12): "picoliter",
    ("litre", -9): "nanoliter", ("litre", -6): "microliter",
    ("litre", -3): "milliliter", ("mole", -12): "picomole", ("mole", -9): "nanomole",
    ("mole", -6): "micromole", ("mole", -3): "millimole",
}  # fmt: skip
_NAMED_TIMES = {60.0: "minute", 3600.0: "hour", 86400.0: "day"}


@cache
def pint_unit(unit: UnitParts) -> "pint.Unit":
    """Return an SBML unit as a pint unit; odd factors become named units."""
    ureg = registry()
    total = ureg.Unit("")
    left = 1.0
    for kind, exponent, scale, multiplier in unit:
        factor = multiplier * 10.0**scale
        name = _part_name(kind, factor)
        if name is None:
            name = _SBML_KINDS.get(kind, kind)
            left *= factor**exponent
        if name != "dimensionless":
            total = total * ureg.Unit(name) ** exponent
    return total if math.isclose(left, 1.0, rel_tol=1e-12) else _scaled(left, total)


def _part_name(kind: str, factor: float) -> str | None:
    """Return the name of a scaled unit, such as picoliter, None where it has none."""
    if kind == "second":
        return _NAMED_TIMES.get(factor)
    power = math.log10(factor) if factor > 0 else math.nan
    if math.isfinite(power) and math.isclose(power, round(power), abs_tol=1e-12):
        return _NAMED_PARTS.get((kind, round(power)))
    return None


def _scaled(factor: float, unit: "pint.Unit") -> "pint.Unit":
    """Return a unit that is `factor` times `unit`, under a name of its own."""
    ureg = registry()
    name = "x" + repr(factor).replace(".", "p").replace("-", "m").replace("+", "")
    if name not in ureg:
        ureg.define(f"{name} = {factor!r}")
    return ureg.Unit(name) * unit


def unit_text(unit: "pint.Unit") -> str:
    """Return a unit as people write it: ``1/(molecule·s)``.

    Examples
    --------
    >>> unit_text(registry().Unit("1/molecule/second"))
    '1/(molecule·s)'
    """
    short = {
        "particle": "molecule", "second": "s", "liter": "l", "picoliter": "pL",
        "hour": "h", "minute": "min", "day": "d", "nanomole": "nmol", "mole": "mol",
        "micromole": "µmol", "millimole": "mmol", "picomole": "pmol",
        "milliliter": "ml", "femtoliter": "fL", "nanoliter": "nL", "microliter": "µL",
    }  # fmt: skip
    names = ((short.get(k) or _readable(k), v) for k, v in unit._units.items())
    return _fraction({name: float(power) for name, power in names})


def _readable(name: str) -> str:
    """Return a unit's name, or the factor that ``_scaled`` made a name of."""
    if not re.match(r"x\d", name):
        return name
    return f"{float(name[1:].replace('p', '.').replace('m', '-')):g}"


def _fraction(powers: dict[str, float]) -> str:
    """Return ``a·b²/(c·d)`` from names and powers."""
    above: list[str] = []
    below: list[str] = []
    for name, power in sorted(powers.items()):
        digits = f"{abs(power):g}"
        if power == 0:
            continue
        raised = digits.translate(_SUPERSCRIPT) if "." not in digits else f"^{digits}"
        (above if power > 0 else below).append(name + (raised if digits != "1" else ""))
    top = "·".join(above) or "1"
    if not below:
        return top if above else "dimensionless"
    bottom = "·".join(below)
    return f"{top}/({bottom})" if len(below) > 1 else f"{top}/{bottom}"


_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
