"""The lab's controllers: clients of the Kubernetes API over HTTP, equal on the lab's own server and a real one.

They see API objects only, never a scenario's name. `lab.controllers.world.World` holds what they share.
"""
