"""The events that the nodes of a deployment publish, and their leases."""
