"""Test a workload's token at a trusted issuer, step by step. Nothing of the token is stored."""
