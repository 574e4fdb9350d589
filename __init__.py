"""For programs in the folder above a checkout that is called `tinynet`: there, that name finds this folder.

The package itself, `tinynet/` in here or wherever it was installed, then takes this folder's place.
"""

import sys
from importlib.util import module_from_spec
from pathlib import Path

if __name__ == "tinynet":
    here = Path(__file__).resolve()
    elsewhere = [entry for entry in sys.path if Path(entry, "tinynet", "__init__.py").resolve() != here]
    specs = (finder.find_spec("tinynet", elsewhere) for finder in sys.meta_path)
    spec = next((spec for spec in specs if spec and spec.has_location), None)
    if spec is None:
        raise ImportError(
            f"the folder {Path(__file__).parent} is a checkout of tinynet, and tinynet is not installed\n"
            f"  fix: pip install -e '{Path(__file__).parent}'"
        )
    sys.modules["tinynet"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["tinynet"])
