"""What a token costs the server, and how many tokens it issues: the measures of `python -m benchmarks`."""
