"""The search index of texts, and queries of it."""
