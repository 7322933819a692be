"""Send-side bandwidth estimation: what the path to each subscriber carries, for all at once (PURE)."""
