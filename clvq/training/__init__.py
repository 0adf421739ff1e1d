"""From stored rows to a checkpoint with its figures and yardsticks."""
