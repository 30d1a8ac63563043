"""Where things lie for a function: at Lambda's paths under bubblewrap, at the host's otherwise."""

from dataclasses import dataclass, replace
from pathlib import Path

from serverless_mlperf.platforms.local import bubblewrap
from serverless_mlperf.platforms.local.artefacts import Code
from serverless_mlperf.platforms.local.bubblewrap import Bound
from serverless_mlperf.platforms.local.private_tmp import is_below
from serverless_mlperf.platforms.local.runtime import PYTHON, Runtime


@dataclass(frozen=True, slots=True)
class Places:
    """Paths as the function sees them."""

    task_root: Path
    opt: Path | None
    """None without layers."""
    runtime_dir: Path
    python: Path
    libraries: Path | None
    """Where the interpreter's shared library is, unless the loader finds it by itself."""
    folders: tuple[tuple[str, Path], ...] = ()
    """Variables that name private folders."""
    bound: Bound | None = None
    """What bubblewrap shows at these paths; None: they are the host's."""
    kept_in_tmp: tuple[str, ...] = ()
    """Of these paths, those of the host's /tmp that must be seen in a private one too."""

    def module_path(self) -> tuple[str, ...]:
        """Lambda's order: the task, the layers' site-packages, the layers' `python`."""
        layers = (self.opt / "python" / "lib" / PYTHON / "site-packages", self.opt / "python") if self.opt else ()
        return tuple(str(path) for path in (self.task_root, *layers))

    def library_path(self) -> tuple[str, ...]:
        """Lambda's LD_LIBRARY_PATH without the system's own folders."""
        code = (self.runtime_dir, self.task_root, self.task_root / "lib", *((self.opt / "lib",) if self.opt else ()))
        return tuple(str(path) for path in (self.libraries, *code) if path is not None)


def plain(code: Code, runtime: Runtime, private: Path) -> Places:
    """The host's paths; what a function should write to /tmp goes to a folder of its own."""
    return Places(
        task_root=code.task_root,
        opt=code.opt,
        runtime_dir=runtime.site_dir,
        python=runtime.python,
        libraries=runtime.libpython_dir,
        folders=(("HOME", private), ("TMPDIR", private / "tmp")),
    )


def with_private_tmp(code: Code, runtime: Runtime) -> Places:
    """The host's paths but for /tmp."""
    libraries, home = runtime.libpython_dir, runtime.python.resolve().parent.parent
    needed = (code.task_root, code.opt, runtime.site_dir, runtime.python.parent, home, libraries)
    kept = {str(path.resolve()) for path in needed if path is not None}
    return replace(
        plain(code, runtime, bubblewrap.TMP),
        folders=(("HOME", bubblewrap.TMP),),
        kept_in_tmp=tuple(sorted(path for path in kept if is_below(path))),
    )


def sandboxed(code: Code, runtime: Runtime, private: Path) -> Places:
    """Lambda's paths."""
    home = _home_of(runtime.python)
    bound = Bound(code.task_root, code.opt, runtime.site_dir, home, private / "tmp")
    return Places(
        task_root=bubblewrap.TASK_ROOT,
        opt=bubblewrap.OPT if code.opt else None,
        runtime_dir=bubblewrap.RUNTIME_DIR,
        python=bubblewrap.LANGUAGE_DIR / runtime.python.relative_to(home) if home else runtime.python,
        libraries=bubblewrap.LANGUAGE_DIR / "lib" if home else None,
        folders=(("HOME", bubblewrap.TMP),),
        bound=bound,
    )


def _home_of(python: Path) -> Path | None:
    """The folder that an interpreter must be shown with; None for one of the system, which is there anyway.

    An interpreter finds its library relative to itself (PEP 405, "sys.prefix").
    """
    real = python.resolve()
    return None if real.is_relative_to(bubblewrap.SYSTEM) else real.parent.parent
