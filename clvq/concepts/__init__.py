"""What the codes of a checkpoint mean."""
