"""What identifies a workload, in SPIRE's vocabulary: the keys of each platform, and what people type. Pure."""
