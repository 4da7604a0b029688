"""Builders of the objects that the operator makes: pure functions with deterministic names."""
