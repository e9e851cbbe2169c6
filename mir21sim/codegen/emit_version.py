"""Version of the generated text, readable without SymPy. Layer 4."""

GENERATOR = 11
"""Raise by one whenever the text or the machine code for the same network changes."""
