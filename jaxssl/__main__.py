"""`python -m jaxssl` is `jaxssl`."""

import sys

from jaxssl.cli import main

sys.exit(main())
