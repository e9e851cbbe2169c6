"""Arrays in, arrays out: integrators without names or units."""
