"""`python -m kerastune_recipes` is the command line."""

import sys

from kerastune_recipes.cli import main

sys.exit(main())
