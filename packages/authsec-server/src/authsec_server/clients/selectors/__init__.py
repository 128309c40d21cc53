"""Selectors, which identify workloads in SPIRE's vocabulary: the keys of each platform, and a parser. Pure."""
