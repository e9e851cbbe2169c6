"""SymPy system → text → cached kernels."""
