"""`python -m praxis` is the `praxis` command."""

from praxis.cli import main

if __name__ == "__main__":
    main()
