"""Edits inside the model, their controls, and the figures of both."""
