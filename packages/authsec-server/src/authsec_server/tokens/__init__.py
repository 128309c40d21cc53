"""What agents ask for and get: the request pipeline (decide, record, sign, answer) of delegation tokens.

Who the caller is, `attestation` says; what it may do, `delegations` and `roles` hold.
"""
