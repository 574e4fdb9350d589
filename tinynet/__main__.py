"""python -m tinynet: the command line where its script is not on the path."""

from tinynet.cli import main

main(prog_name="tinynet")
