"""Benches: figures about a focus, seen from outside, each with what it was measured on."""
