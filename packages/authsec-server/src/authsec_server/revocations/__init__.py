"""What has ended: an ordered feed, written in the transaction that ends it.

Who may end what is the business of the rooms above.
"""
