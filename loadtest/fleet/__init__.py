"""The native swarm from Python: getting it, feeding it, reading it, bringing its participants into a call."""
