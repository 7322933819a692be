"""Media servers side by side: those that a focus is compared with, and the focus, each with one call."""
