"""The story of `authsec demo --kubernetes`: an agent in a pod authenticates; a laptop must be enrolled first.

The Kubernetes cluster is the stand-in of `authsec_demo.cluster`.
"""
