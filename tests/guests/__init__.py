"""Builders of real guests for the tests and benchmarks: built once, cached by their recipe."""
