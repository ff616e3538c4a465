"""Takes the results out of the notebooks, so that git keeps what people wrote: `python notebooks/strip.py`.

What stays is JSON as Jupyter itself lays it out, so that opening and saving a notebook changes nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

__all__ = ["NOTEBOOKS", "stripped"]

NOTEBOOKS: Final = sorted(Path(__file__).parent.glob("*.ipynb"))
_METADATA: Final = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def stripped(text: str) -> str:
    """The notebook without outputs, numbers of executions, and whatever else depends on who ran it."""
    notebook: dict[str, Any] = json.loads(text)
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    notebook["metadata"] = _METADATA
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    for path in NOTEBOOKS:
        path.write_text(stripped(path.read_text()))
