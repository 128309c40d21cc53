"""A simulation of a Kubernetes cluster: a real HTTPS server that answers in the formats of a kube-apiserver.

`running.running_cluster` starts the server. The modules:

- `requests` parses each request.
- `authentication` identifies the user and `rbac` authorises the user.
- `objects` stores the objects of the cluster.
- `issuer` signs tokens of service accounts, with the same claims as a real cluster.
- `kubelet` writes these tokens into the files of pods.

The simulation schedules nothing and starts no containers: a new pod has the status `Running` at once.
"""
