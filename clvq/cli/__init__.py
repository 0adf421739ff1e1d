"""The command line. `main` is the table of contents; importing it costs neither torch nor transformers."""
