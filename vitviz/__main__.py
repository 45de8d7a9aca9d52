"""`python -m vitviz`."""

import sys

from vitviz.commands.main import main

sys.exit(main())
