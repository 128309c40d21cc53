"""The audit log: who did what, and what the server decided. An event is recorded before the answer is sent.

This package owns the events; `sealing` seals them afterwards.
The package `revocations` owns the list of revocations.
"""
