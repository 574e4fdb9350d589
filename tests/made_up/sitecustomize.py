"""Python starts here where this folder is in PYTHONPATH: rung 0 is the one that is made up for tests."""

import sys

import made_up_rung

sys.modules["tinynet.learn.rungs.rung00"] = made_up_rung
