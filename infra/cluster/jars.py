"""The jars of the servers: fetched from Maven Central at first use, into a cache that all homes share."""

from __future__ import annotations

import os
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

from infra.host.java import find_java
from infra.host.program import run
from tallymark.errors import ProcessError

__all__ = ["BUNDLES", "jar_folder", "jars", "require_maven"]

BUNDLES: Final = ("kafka", "hbase", "s3proxy", "spark-kafka")
_POMS: Final = Path(__file__).parents[1] / "jars"
_FETCHED_WITHIN: Final = 1800.0


def jars(bundle: str) -> Path:
    """The folder with the jars of `bundle`, one of `BUNDLES`: at once when they are there, else after a download.

    Raises ProcessError that says what is missing when they cannot be fetched.
    """
    folder = jar_folder(bundle)
    if not folder.is_dir():
        _fetch(bundle, folder)
    return folder


def jar_folder(bundle: str) -> Path:
    """Where the jars of `bundle` are, or will be. The folder's name holds a hash of the pom: another pom is another
    folder, and nothing ever changes inside one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tallymark" / "jars"
    return cache / f"{bundle}-{sha256(_pom(bundle).read_bytes()).hexdigest()[:12]}"


def require_maven() -> None:
    """Raises ProcessError when there are jars to fetch, and no Maven."""
    missing = [bundle for bundle in BUNDLES if not jar_folder(bundle).is_dir()]
    if missing:
        _maven(", ".join(missing))


def _pom(bundle: str) -> Path:
    return _POMS / bundle / "pom.xml"


def _fetch(bundle: str, folder: Path) -> None:
    """Into a folder beside it first: who finds `folder` finds all of it, and of two who fetch at once one is kept."""
    from rich.console import Console

    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{bundle}-", dir=folder.parent))
    try:
        with Console(stderr=True).status(f"Fetching the jars of {bundle} (once on this machine) …"):
            _run_maven(bundle, scratch)
        scratch.chmod(0o755)
        scratch.rename(folder)
    except OSError as error:
        if not folder.is_dir():
            raise ProcessError(
                f"cannot write {folder}: {error.strerror}; set XDG_CACHE_HOME to another folder"
            ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _maven(what: str) -> str:
    """The program that fetches the jars of `what`. Raises ProcessError."""
    maven = shutil.which("mvn")
    if maven is None:
        raise ProcessError(
            f"the jars of {what} come by Maven, and there is no `mvn`; install it (sudo apt-get install maven, "
            "or brew install maven) and try again"
        )
    return maven


def _run_maven(bundle: str, folder: Path) -> None:
    command = (_maven(bundle), "-B", "-q", "-f", _pom(bundle), "dependency:copy-dependencies", "-DincludeScope=runtime")
    java = find_java(os.environ)
    environment = {**os.environ, "JAVA_HOME": str(java.home)} if java else os.environ
    done = run(
        (*command, f"-DoutputDirectory={folder}"), within=_FETCHED_WITHIN, environment=environment, folder=folder
    )
    if done.returncode or not any(folder.glob("*.jar")):
        told = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line][:6]
        raise ProcessError(
            f"Maven could not fetch the jars of {bundle}; it needs Maven Central, or a mirror of it in "
            "~/.m2/settings.xml. It said:\n" + "\n".join(f"    {line}" for line in told)
        )
