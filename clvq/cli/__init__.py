"""The command line. `main` lists the commands; importing it loads neither torch nor transformers."""
