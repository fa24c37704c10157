"""Foreign model files into tinycnn model files: ``python -m tinycnn.convert MODEL.h5``.

Modules here import each other relatively: the folder lies outside of the package that it becomes
a part of, and type checkers see it under its own name only.
"""
