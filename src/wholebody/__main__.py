"""`python -m wholebody`: the command line."""

from wholebody.cli import main

main()
