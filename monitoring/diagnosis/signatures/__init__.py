"""One module for each failure, or for failures that are told apart by the same reading. Each has ``SIGNATURES``.

Found by :mod:`monitoring.diagnosis.registry`; names that start with an underscore are helpers.
"""
