"""The journal: what happened, who did it, and what was decided, written before the answer goes out.

It owns the events; sealing them comes after. What has *ended* belongs to `revocations`.
"""
