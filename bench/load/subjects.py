"""What a benchmark measures: the engines directly, and each gateway in front of them, in its fastest sound setting.

Praxis runs with everything on that an operator would have: keys, limits, two replicas, probes, metrics and its
request log. The peers run with what makes them fast: one worker, a plain policy, no log of requests, and of
LiteLLM no database. nginx only forwards; it is what a proxy that knows nothing costs.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.load import peers
from bench.load.engine import MODEL, PACED
from bench.load.loads import Load
from bench.load.processes import Server, free_port, inherited, start
from praxis.errors import PraxisError

START: Mapping[str, float] = {"direct": 1.0, "nginx": 1.0, "praxis": 5.0, "vllm-router": 2.0, "litellm": 45.0}
"""About how many seconds each takes to start and to answer its first requests."""

_READY_WITHIN = 60.0
_LITELLM_READY_WITHIN = 600.0
"""It imports for a minute on a core of its own, for many on a busy one."""

_SLOW = ("litellm",)
_SLOW_CLIENTS = 32
_SLOW_SECONDS = {"json": 4.0, "sse": 10.0}
"""How long a slow gateway needs for a few answers. With more clients than 32 each of them would take many seconds."""


class NotInstalled(PraxisError):
    """A peer is not on this machine."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the subjects stand on: the engines' URLs, the core for servers, a folder, and what ends them."""

    stack: ExitStack
    folder: Path
    engines: Sequence[str]
    core: int | None


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that answers. `server` is None for the engines themselves."""

    name: str
    version: str
    urls: Sequence[str]
    key: str
    server: Server | None = None


def seconds(subject: str, load: Load) -> float | None:
    """How long to measure that subject under `load`; None: not at all, because it is too slow for it."""
    if subject not in _SLOW:
        return load.seconds
    if load.clients > _SLOW_CLIENTS or load.name not in _SLOW_SECONDS:
        return None
    return max(load.seconds, _SLOW_SECONDS[load.name])


def direct(ground: Ground) -> Subject:
    """The engines, with nothing between."""
    return Subject("direct", "", ground.engines, "")


_PRAXIS = """\
server: {{auth: keys}}
state: sqlite:///state.db
backends:
  engines: {{kind: vllm, replicas: [{replicas}]}}
models:
  {model}: {{backend: engines, upstream: {model}}}
  {paced}: {{backend: engines, upstream: {paced}}}
"""

_FAR_LIMITS = ("--rpm", "1000000000", "--tpm", "1000000000000", "--concurrency", "100000")


def praxis(ground: Ground) -> Subject:
    """Praxis, one process, with a key whose limits are far off."""
    file = ground.folder / "models.yaml"
    file.write_text(_PRAXIS.format(replicas=", ".join(ground.engines), model=MODEL, paced=PACED))
    key = _praxis_key(file)
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gateway", "--config", str(file), *_listen(url, "--host", "--port")]
    server = start(
        ground.stack,
        "praxis",
        command,
        ground.core,
        log=ground.folder / "praxis.log",
        PRAXIS_HOME=str(ground.folder / "home"),
        PRAXIS_RAG_SECRET=secrets.token_hex(16),
    )
    server.wait_until_ready(f"{url}/readyz", _READY_WITHIN)
    return Subject("praxis", version("praxis"), [url], key, server)


def _praxis_key(file: Path) -> str:
    command = [sys.executable, "-m", "praxis", "keys", "create", "bench", "--config", str(file), *_FAR_LIMITS]
    done = subprocess.run(command, env=inherited(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PraxisError(f"The benchmark could not make a key: {done.stderr.strip()}")
    return done.stdout.strip()


_NGINX = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  client_max_body_size 32m;
  client_body_buffer_size 1m;
  keepalive_requests 1000000000;
  upstream engines {{
{engines}
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {listen} backlog=4096;
    location / {{
      proxy_pass http://engines;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


def nginx(ground: Ground) -> Subject:
    """nginx as a plain reverse proxy that keeps connections to the engines and buffers no reply."""
    program = peers.nginx()
    if program is None:
        raise NotInstalled("on Debian, install it with `apt-get install nginx-light`")
    listen = f"127.0.0.1:{free_port()}"
    engines = "\n".join(f"    server {url.removeprefix('http://')};" for url in ground.engines)
    file = ground.folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=ground.folder, engines=engines, listen=listen))
    command = [str(program), "-p", str(ground.folder), "-c", str(file)]
    server = start(ground.stack, "nginx", command, ground.core, log=ground.folder / "nginx.log")
    server.wait_until_ready(f"http://{listen}/health", _READY_WITHIN)
    told = subprocess.run([str(program), "-v"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"nginx/(\S+)", told)
    return Subject("nginx", found[1] if found else "", [f"http://{listen}"], "", server)


def vllm_router(ground: Ground) -> Subject:
    """vLLM's router, in Rust; the number of its threads is that of its cores."""
    program = _installed("vllm-router")
    url = f"http://127.0.0.1:{free_port()}"
    command = [str(program), *_listen(url, "--host", "--port"), "--worker-urls", *ground.engines]
    command += ["--policy", "round_robin", "--log-level", "warning", "--prometheus-port", str(free_port())]
    server = start(ground.stack, "vllm-router", command, ground.core, log=ground.folder / "vllm-router.log")
    server.wait_until_ready(f"{url}/health", _READY_WITHIN)
    return Subject("vllm-router", peers.version("vllm-router") or "", [url], "", server)


def litellm(ground: Ground) -> Subject:
    """LiteLLM's proxy, one worker."""
    program = _installed("litellm")
    key = "sk-" + secrets.token_hex(16)
    listed = [
        {
            "model_name": model,
            "litellm_params": {"model": f"openai/{model}", "api_base": f"{engine}/v1", "api_key": "none"},
        }
        for model in (MODEL, PACED)
        for engine in ground.engines
    ]
    file = ground.folder / "litellm.yaml"
    # JSON is YAML too.
    file.write_text(json.dumps({"model_list": listed, "general_settings": {"master_key": key}}))
    url = f"http://127.0.0.1:{free_port()}"
    command = [str(program), "--config", str(file), *_listen(url, "--host", "--port")]
    server = start(
        ground.stack,
        "litellm",
        [*command, "--num_workers", "1", "--telemetry", "False"],
        ground.core,
        log=ground.folder / "litellm.log",
        LITELLM_LOG="ERROR",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )
    server.wait_until_ready(f"{url}/health/readiness", _LITELLM_READY_WITHIN)
    return Subject("litellm", peers.version("litellm") or "", [url], key, server)


SUBJECTS: Mapping[str, Callable[[Ground], Subject]] = {
    "direct": direct,
    "nginx": nginx,
    "praxis": praxis,
    "vllm-router": vllm_router,
    "litellm": litellm,
}
"""How each subject is started, in the order of the tables. Raises NotInstalled, or PraxisError when it does not start."""

ALWAYS: Sequence[str] = ("direct", "praxis")
"""What is measured where no peers are asked for."""


def _installed(name: str) -> Path:
    program = peers.program(name)
    if program is None:
        raise NotInstalled("install it with `praxis bench gateway --install-peers`")
    return program


def _listen(url: str, host: str, port: str) -> list[str]:
    """The options that make a server listen at `url`."""
    name, _, number = url.removeprefix("http://").partition(":")
    return [host, name, port, number]
