"""The steps of `authsec demo --kubernetes`: an agent in a pod authenticates with the token of the pod.

A laptop can authenticate as the agent only after the laptop is enrolled. `authsec_demo.cluster` simulates the
Kubernetes cluster.
"""
