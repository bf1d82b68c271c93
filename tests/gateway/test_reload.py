"""A change of models.yaml is picked up without a restart, whole or not at all."""

import json
import signal

from tests.fakes.vllm import VLLM
from tests.gateway.asking import ask, house
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually


def renamed(engine: VLLM, name: str) -> str:
    """A models.yaml whose one model has this name."""
    config = json.loads(house(engine))
    config["models"] = {name: {"backend": "local", "upstream": "qwen"}}
    return json.dumps(config, indent=1)


def known(running: Gateway) -> set[str]:
    """The ids of /v1/models."""
    return set(running.models())


def test_by_the_admin_api(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    assert {"law", "default"} <= known(running)
    running.write(renamed(engine, "medicine"))
    reply = running.reload()
    assert reply.status_code == 200
    assert "medicine" in known(running)
    assert not {"law", "default"} & known(running)
    assert ask(running, model="medicine").status == 200
    assert ask(running, model="law").status == 404


def test_by_the_file_s_change_alone(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    running.write(renamed(engine, "pharmacy"))
    eventually(lambda: "pharmacy" in known(running), "the changed file is in force")
    running.file.write_text(renamed(engine, "surgery"))
    eventually(lambda: "surgery" in known(running), "the file changed in place is in force")


def test_by_sighup(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    running.write(renamed(engine, "dentistry"))
    running.process.send_signal(signal.SIGHUP)
    eventually(lambda: "dentistry" in known(running), "the changed file is in force")
    assert running.process.poll() is None


def broken(engine: VLLM) -> str:
    """A models.yaml with one mistake on its fifth line."""
    return (
        "backends:\n"
        f"  local: {{kind: vllm, replicas: ['{engine.url}']}}\n"
        "models:\n"
        "  law: {backend: local, upstream: qwen}\n"
        "  medicine: {backend: nowhere, upstream: qwen}\n"
    )


def test_a_broken_file_is_refused_whole_and_readiness_says_why(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    eventually(lambda: running.get("/readyz", key=None).status_code == 200, "the gateway is ready")
    running.write(broken(engine))
    reply = running.reload()
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert "line 5" in error["message"]
    assert "models.medicine.backend" in error["message"]
    assert "`nowhere`" in error["message"]
    assert {"law", "default"} <= known(running)
    assert "medicine" not in known(running)
    assert ask(running).status == 200
    ready = running.get("/readyz", key=None)
    assert ready.status_code == 200
    assert "models.medicine.backend" in ready.text
    running.configure(house(engine))
    assert "models.medicine.backend" not in running.get("/readyz", key=None).text


def test_a_broken_file_that_nobody_announces_harms_nothing(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    running.write(broken(engine))
    eventually(
        lambda: "models.medicine.backend" in running.get("/readyz", key=None).text, "readiness says why"
    )
    assert ask(running).status == 200
    running.write("models: [")
    running.process.send_signal(signal.SIGHUP)
    eventually(
        lambda: "models.medicine" not in running.get("/readyz", key=None).text,
        "readiness says the newer reason",
    )
    assert ask(running).status == 200


def test_a_file_that_is_gone_harms_nothing(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    running.file.unlink()
    reply = running.reload()
    assert reply.status_code == 400
    assert "no such file" in reply.json()["error"]["message"]
    assert ask(running).status == 200


def test_an_unchanged_reload_keeps_the_connections(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    for _ in range(3):
        assert ask(running).status == 200
        assert running.reload().status_code == 200
    assert len({request.connection for request in engine.asked}) == 1
