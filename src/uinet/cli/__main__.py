"""``python -m uinet.cli``: the command line where the ``uinet`` script is not installed."""

import sys

from uinet.cli import main

sys.exit(main())
