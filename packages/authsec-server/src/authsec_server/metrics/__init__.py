"""Counters for Prometheus, in memory that all processes of a server share. This package knows no HTTP and no SQL.

| module | owns |
|---|---|
| `catalogue` | every metric: name, help, labels, and the largest number of series |
| `counters` | counts of this process: counters, gauges and histograms |
| `memory` | the memory of one process, which outlives the process |
| `collector` | the sums over all processes, for the library `prometheus_client` |
"""
