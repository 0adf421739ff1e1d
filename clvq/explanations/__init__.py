"""Why the model gives one prediction: words and their concepts."""
