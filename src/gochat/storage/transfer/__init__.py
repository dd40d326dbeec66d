"""Copy a whole store into another one."""
