"""Tableaus and their runs, for the tests of their orders."""

import pytest

from mir21sim.solvers.batch.rodas4 import RODAS4
from mir21sim.solvers.batch.rodas5p import RODAS5P

TABLEAUX = {t.name: t for t in (RODAS5P, RODAS4)}
METHODS = tuple(TABLEAUX)
each_method = pytest.mark.parametrize("name", METHODS)
