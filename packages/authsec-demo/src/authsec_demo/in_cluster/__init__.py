"""The story of `authsec demo --kubernetes`: an agent proves that it runs in its pod; a laptop cannot, until enrolled.

The cluster is the stand-in of `authsec_demo.cluster`.
"""
