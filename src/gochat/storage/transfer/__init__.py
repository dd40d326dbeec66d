"""A whole store carried into another one."""
