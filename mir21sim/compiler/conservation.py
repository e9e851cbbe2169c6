"""Conserved moieties: totals that no reaction changes, from N alone."""

from fractions import Fraction
from math import gcd, lcm
from typing import TypeAlias

MAX_POOLS = 500
"""More half-made totals than this are a sign of a network without readable pools."""

_Row: TypeAlias = tuple[dict[int, Fraction], dict[int, Fraction]]


def conserved_totals(
    n_state: int, stoichiometry: dict[tuple[int, int], float]
) -> list[dict[int, float]]:
    """Return a basis of the totals that no reaction changes.

    Exact elimination over fractions: a total is {state: coefficient}, reduced so that
    each has one state that no other has.

    Parameters
    ----------
    n_state : number of states
    stoichiometry : {(state, rate): coefficient}
    """
    rows: list[dict[int, Fraction]] = [{} for _ in range(n_state)]
    for (i, r), coefficient in stoichiometry.items():
        rows[i][r] = Fraction(coefficient)
    combos: list[dict[int, Fraction]] = [{i: Fraction(1)} for i in range(n_state)]
    pivots: list[int] = []
    totals = []
    for i in range(n_state):
        row, combo = rows[i], combos[i]
        for j in pivots:
            column = min(rows[j])
            if column in row:
                factor = row[column] / rows[j][column]
                _subtract(row, rows[j], factor)
                _subtract(combo, combos[j], factor)
        if row:
            pivots.append(i)
            pivots.sort(key=lambda k: min(rows[k]))
        else:
            totals.append({k: float(v) for k, v in sorted(combo.items())})
    return totals


def pools(
    n_state: int, stoichiometry: dict[tuple[int, int], float]
) -> list[dict[int, float]]:
    """Return the conserved totals without negative terms and with the fewest states.

    These read as pools (``AKT + pAKT``): every conserved total whose states are no
    superset of another's, in whole numbers. Where they would be more than
    ``MAX_POOLS``, the basis of ``conserved_totals`` is returned instead.

    References
    ----------
    Schuster S & Höfer T 1991, J Chem Soc Faraday Trans 87:2561 (the algorithm)
    """
    basis = conserved_totals(n_state, stoichiometry)
    kept = sorted({state for total in basis for state in total})
    columns: dict[int, dict[int, Fraction]] = {}
    for (i, r), coefficient in stoichiometry.items():
        if i in kept:
            columns.setdefault(r, {})[i] = Fraction(coefficient)
    rows: list[_Row] = [
        ({i: Fraction(1)}, {r: c[i] for r, c in columns.items() if i in c})
        for i in kept
    ]
    left = set(columns)
    while left:
        r = min(left, key=lambda r: (_pairs(rows, r), r))
        left.remove(r)
        rows = _without(rows, r)
        if len(rows) > MAX_POOLS:
            return basis
    return [_whole(combo) for combo, _ in rows]


def _pairs(rows: list[_Row], r: int) -> int:
    """Return how many combinations taking a reaction out will make."""
    signs = [rest[r] > 0 for _, rest in rows if r in rest]
    return sum(signs) * (len(signs) - sum(signs))


def _without(rows: list[_Row], r: int) -> list[_Row]:
    """Return the combinations of rows that a reaction does not change, minimal ones."""
    made = [row for row in rows if r not in row[1]]
    up = [row for row in rows if row[1].get(r, 0) > 0]
    down = [row for row in rows if row[1].get(r, 0) < 0]
    for first in up:
        for second in down:
            ratio = -first[1][r] / second[1][r]
            combo, rest = dict(first[0]), dict(first[1])
            _subtract(combo, second[0], -ratio)
            _subtract(rest, second[1], -ratio)
            made.append((combo, rest))
    made.sort(key=lambda row: len(row[0]))
    minimal: list[_Row] = []
    for row in made:
        if not any(other[0].keys() <= row[0].keys() for other in minimal):
            minimal.append(row)
    return minimal


def _whole(combo: dict[int, Fraction]) -> dict[int, float]:
    """Return a total in the smallest whole coefficients, states in order."""
    scale = lcm(*(v.denominator for v in combo.values()))
    common = gcd(*(int(v * scale) for v in combo.values()))
    return {k: float(v * scale / common) for k, v in sorted(combo.items())}


def _subtract(
    row: dict[int, Fraction], other: dict[int, Fraction], factor: Fraction
) -> None:
    """Take `factor` times another sparse row from a row, in place."""
    for key, value in other.items():
        new = row.get(key, Fraction(0)) - factor * value
        if new:
            row[key] = new
        else:
            row.pop(key, None)
