"""`python -m minizf`: the same as the command `minizf`."""

from minizf.cli import main

raise SystemExit(main())
