"""How an environment's process is set up: user, command line, Lambda's variables, private folders."""

from dataclasses import dataclass
import os
from pathlib import Path
import shutil
import tempfile
import time

from serverless_mlperf.cache import cache_section
from serverless_mlperf.owner import is_leftover, this_process
from serverless_mlperf.platforms.local.artefacts import Code
from serverless_mlperf.platforms.local.bubblewrap import arguments
from serverless_mlperf.platforms.local.controller_client import Launch, environment_nice
from serverless_mlperf.platforms.local.isolation import PLAIN, Isolation
from serverless_mlperf.platforms.local.model import REGION, FunctionSpec, cpu_share, visible_cores
from serverless_mlperf.platforms.local.places import Places, plain, sandboxed, with_private_tmp
from serverless_mlperf.platforms.local.runtime import PYTHON, Runtime
from serverless_mlperf.platforms.local.storehouse import reachable_by
from serverless_mlperf.platforms.local.tmp_disk import IMAGE


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Makes the launches of one server's environments."""

    endpoint_url: str
    scratch_dir: Path
    """Reachable for the sandbox's user."""
    uid: int
    host_cores: tuple[int, ...]
    isolation: Isolation = PLAIN
    access_key: str = "local"
    """Of no account; a server that asks for a token knows its functions by it."""

    def make_folder(self, environment_id: str) -> Path:
        """Make an environment's private folder, where its TMPDIR and HOME are; blocking, but short."""
        private = self.scratch_dir / f"env-{environment_id}"
        (private / "tmp").mkdir(parents=True)
        for folder in (private, private / "tmp"):
            folder.chmod(0o700)
            os.chown(folder, self.uid, -1)
        return private

    def cores(self, memory_mib: int, turn: int) -> tuple[int, ...]:
        """Cores an environment of this size sees; on a larger host successive ones get different cores."""
        count = min(visible_cores(memory_mib), len(self.host_cores))
        return tuple(sorted(self.host_cores[(turn * count + n) % len(self.host_cores)] for n in range(count)))

    def launch(
        self,
        spec: FunctionSpec,
        code: Code,
        runtime: Runtime,
        name: str,
        private: Path,
        port: int,
        turn: int,
        *,
        throttled: bool,
    ) -> Launch:
        """Everything the controller needs to start one environment."""
        bwrap = self.isolation.bwrap
        places = self._places(code, runtime, private)
        variables = self._variables(spec, places, name, port)
        # -S: no site-packages of the host; -m so that ps and /proc name Amazon's runtime client.
        command: tuple[str, ...] = (str(places.python), "-S", "-m", "awslambdaric", spec.handler)
        if bwrap and places.bound:
            # The loader's variables are meant for the function: bubblewrap itself would look on the host.
            inside = {key: variables.pop(key) for key in list(variables) if key.startswith("LD_")}
            command = (str(bwrap), *arguments(places.bound, inside), "--", *command)
        return Launch(
            argv=command,
            env=variables,
            cwd="/" if bwrap else str(places.task_root),
            uid=self.uid,
            cores=self.cores(spec.memory_mib, turn),
            share=cpu_share(spec.memory_mib),
            memory_bytes=spec.memory_mib * 2**20,
            throttled=throttled,
            nice=environment_nice(),
            wrapped=bwrap is not None,
            tmp=str(private / "tmp") if self.isolation.private_tmp else "",
            kept_in_tmp=places.kept_in_tmp,
            disk=(str(private / IMAGE), str(private / "tmp")) if self.isolation.storage == "enforced" else None,
        )

    def _places(self, code: Code, runtime: Runtime, private: Path) -> Places:
        if self.isolation.bwrap:
            return sandboxed(code, runtime, private)
        return with_private_tmp(code, runtime) if self.isolation.private_tmp else plain(code, runtime, private)

    def _variables(self, spec: FunctionSpec, places: Places, name: str, port: int) -> dict[str, str]:
        """Lambda's variables (AWS, lambda/latest/dg/configuration-envvars) and nothing of the host's."""
        given = spec.environment
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin" + (f":{places.opt}/bin" if places.opt else ""),
            "PYTHONDONTWRITEBYTECODE": "1",  # code is read-only, as on Lambda
            "LANG": "en_US.UTF-8",
            "PYTHONUTF8": "1",  # the locale above need not exist on this host
            "TZ": ":UTC",
            **{name: str(folder) for name, folder in places.folders},
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            **given,
            # A function may add to these; what the platform itself stands on stays.
            "LD_LIBRARY_PATH": _joined(*places.library_path(), given.get("LD_LIBRARY_PATH")),
            "PYTHONPATH": _joined(*places.module_path(), given.get("PYTHONPATH"), str(places.runtime_dir)),
            # Reserved: Lambda refuses them in a configuration.
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_SESSION_TOKEN": "local",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{PYTHON}",
            "AWS_LAMBDA_FUNCTION_NAME": spec.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mib),
            "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
            **spec.log_variables,
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{spec.version}]{name}",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "LAMBDA_TASK_ROOT": str(places.task_root),
            "LAMBDA_RUNTIME_DIR": str(places.runtime_dir),
            "_HANDLER": spec.handler,
        }


def _joined(*paths: str | None) -> str:
    return ":".join(path for path in paths if path)


def scratch_folder(work_dir: Path, uid: int) -> Path:
    """A folder for the environments' private folders that their user can reach; ours to remove.

    Below the server's working folder if possible, else below the cache: root's temporary folders are often closed.
    """
    if os.access(work_dir, os.W_OK) and reachable_by(work_dir / "environment", uid):
        parent = work_dir
    else:
        parent = cache_section("environments")
        _remove_leftovers(parent)
    scratch = Path(tempfile.mkdtemp(prefix=f"{this_process().mark}-", dir=parent))
    scratch.chmod(0o711)
    return scratch


def _remove_leftovers(parent: Path) -> None:
    """Remove folders of servers that were killed and could not do it themselves."""
    for folder in parent.iterdir():
        if is_leftover(folder):
            shutil.rmtree(folder, ignore_errors=True)
