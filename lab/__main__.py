"""`python -m lab`: the embedded demo cluster on its own."""

import sys

from lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
