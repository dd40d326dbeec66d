"""What the nodes of a deployment tell each other, and their leases."""
