"""What this person sees, and how it is put into words. Pure."""
