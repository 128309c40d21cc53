"""A token that somebody tries at a trust source: step by step, what would become of it. Nothing of it is kept."""
