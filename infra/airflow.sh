#!/usr/bin/env bash
# Makes .venv-airflow, where Airflow lives apart from Tallymark: the two want different versions of the same packages.
# Safe to run again. PYTHON names the interpreter to build on (default: that of .venv).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly venv=.venv-airflow
readonly airflow=3.3.2
readonly python=${PYTHON:-.venv/bin/python}
readonly versions=infra/airflow.txt # those that it was tested with
readonly packages=("apache-airflow==$airflow" --constraint "$versions")
readonly stamp=$venv/.set-up

wanted=$(cat infra/airflow.sh "$versions" | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && [ -x "$venv/bin/airflow" ]; then
    exit 0
fi
printf '==> installing Airflow %s into %s\n' "$airflow" "$venv"
if uv --version >/dev/null 2>&1; then
    uv venv --quiet --clear --python "$python" "$venv"
    uv pip install --quiet --python "$venv/bin/python" "${packages[@]}"
else
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}"
fi
echo "$wanted" >"$stamp"
