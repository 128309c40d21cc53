"""Test a workload's token at a trusted issuer, step by step. The token and its claims are not stored."""
