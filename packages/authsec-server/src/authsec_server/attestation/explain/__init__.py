"""A token that somebody tries at a trusted issuer: step by step, what would become of it. Nothing of it is kept."""
