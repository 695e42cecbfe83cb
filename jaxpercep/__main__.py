"""`python -m jaxpercep` is `jaxpercep`."""

import sys

from jaxpercep.cli import main

sys.exit(main())
