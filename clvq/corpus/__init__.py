"""Texts, labels and splits: from a data set's name to sentences."""
