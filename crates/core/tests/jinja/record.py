#!/usr/bin/env python3
"""Record the output of Jinja2 for the templates in forms.json, where null stands for an error.

Run this after `pip install jinja2==3.1.6`. Add a new template as ["TEMPLATE", null].
"""

import json
from pathlib import Path

from jinja2 import Environment, StrictUndefined

FOLDER = Path(__file__).resolve().parent


def rendered(template, context):
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    try:
        return environment.from_string(template).render(**context).strip()
    except Exception:
        return None


def main():
    context = json.loads((FOLDER / "context.json").read_text())
    forms = json.loads((FOLDER / "forms.json").read_text())
    lines = [json.dumps([template, rendered(template, context)], ensure_ascii=False) for template, _ in forms]
    (FOLDER / "forms.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


main()
