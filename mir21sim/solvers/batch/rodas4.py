"""Rodas4: order 4 with an embedded order 3, six stages.

References
----------
Hairer E, Wanner G 1996, Solving Ordinary Differential Equations II, section IV.7, and
their code RODAS, method 1
"""

from mir21sim.solvers.batch.rosenbrock import rosenbrock_method
from mir21sim.solvers.batch.tableau import Tableau, lower, table, vector

# Coefficients of METH = 1 in the code RODAS, in the transformed form of ``tableau``.
# Row 5 of A; row 6 is the same with 1 behind it (stiffly accurate).
_A5 = (
    1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950,
)  # fmt: skip

RODAS4 = Tableau(
    name="Rodas4",
    order=4,
    gamma=0.25,
    A=lower(
        (1.544,),
        (0.9466785280815826, 0.2557011698983284),
        (3.314825187068521, 2.896124015972201, 0.9986419139977817),
        _A5,
        (*_A5, 1.0),
    ),
    C=lower(
        (-5.6688,),
        (-2.430093356833875, -0.2063599157091915),
        (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
        (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
        (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136,
         -6.058818238834054),
    ),
    # α_i; D_i = Σ_j Γ_ij, 0 for the last two stages.
    alpha=vector(0.0, 0.386, 0.21, 0.63, 1.0, 1.0),
    D=vector(0.25, -0.1043, 0.1035, -0.0362000000000002, 0.0, 0.0),
    H=table(
        (10.12623508344586, -7.487995877610167, -34.80091861555747, -7.992771707568823,
         1.025137723295662, 0.0),
        (-0.6762803392801253, 6.087714651680015, 16.43084320892478, 24.76722511418386,
         -6.594389125716872, 0.0),
        # The dense output is a cubic in θ, with k1 and k2 alone: k3 = 0.
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    ),
)  # fmt: skip

METHOD = rosenbrock_method(RODAS4)
