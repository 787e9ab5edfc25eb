"""Coda managers as guests of the voice."""
