//! The native data plane as a Python module.
