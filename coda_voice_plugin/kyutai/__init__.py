"""Kyutai's models in slots: one thread, one batch, many conversations.

Nothing here is imported before a strategy or an engine that needs it opens: torch and
moshi are heavy, and are an extra.
"""
