"""`python -m pytest_calico_ipip.lab`, and the console script `calico-ipip-lab`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
