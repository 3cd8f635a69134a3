"""Phaseboard's embedded demo cluster: a small, honest Kubernetes API with controllers and the services around it.

It imports nothing of the product, and nothing of the product imports it: they meet over HTTPS only.
"""
