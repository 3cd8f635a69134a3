"""Measurements of the numbers in design §9. Each prints its figures; none is a test."""
