"""`loadtest bench cascade`: what a call over several foci costs, and how it takes faults, from outside."""
