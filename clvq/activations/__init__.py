"""Stored hidden states of words."""
