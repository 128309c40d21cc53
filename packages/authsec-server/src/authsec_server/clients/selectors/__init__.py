"""Selectors, which identify workloads by SPIRE's keys and values: the keys of each platform, and a parser.

All functions are pure.
"""
