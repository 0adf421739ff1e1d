"""`python -m clvq`, for where the console script is not on the path."""

from clvq.cli.main import main

if __name__ == "__main__":
    main()
