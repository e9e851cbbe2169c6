"""A model with a closed form, and data made from it."""

import numpy as np
import pandas as pd

import mir21sim as ms

TEXT = """
model decay
  compartment c = 1; species A in c, B in c; A = 10; B = 0;
  k1 = 0.5; k2 = 0.2; unused = 1;
  J1: A => B; k1*A;
  J2: B => ; k2*B;
end
"""


def load(folder, backend="numpy"):
    path = folder / "decay.ant"
    path.write_text(TEXT)
    return ms.load(path, backend=backend, unit_policy="ignore")


def amount_b(t, k1=0.5, k2=0.2, a=10.0):
    return a * k1 / (k2 - k1) * (np.exp(-k1 * t) - np.exp(-k2 * t))


def data(sd=0.05, seed=0, scale=1.0):
    t = np.linspace(0.5, 10, 12)
    noise = np.random.default_rng(seed).normal(size=len(t))
    return pd.DataFrame({"time": t, "signal": scale * amount_b(t) + sd * noise})
