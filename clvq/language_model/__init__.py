"""A Hugging Face model: tokens, rows, states in and out, and what it predicts."""
