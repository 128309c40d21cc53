"""A stand-in for a Kubernetes cluster: a real HTTPS server that answers as a kube-apiserver does, shape for shape.

`running.running_cluster` starts one. `requests` reads what is asked of it, `authentication` and `rbac` say who asks and
whether they may, `objects` keeps what the cluster holds, and `issuer` makes the tokens of service accounts, claim for
claim. `kubelet` writes them into the files of pods. It schedules nothing and runs nothing: a pod that is created runs.
"""
