"""Version of the generated text, readable without SymPy. Layer 4."""

GENERATOR = 10
"""Raise by one whenever the text or the machine code for the same network changes."""
