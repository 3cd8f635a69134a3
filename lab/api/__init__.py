"""The Kubernetes API of the lab over HTTPS, in memory.

It knows API objects and the API's rules, never a scenario's name. Controllers are clients like any other.
`lab.api.server.serve` starts it; every refusal is a Kubernetes Status body (`lab.api.errors`).
"""
