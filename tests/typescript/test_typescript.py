from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.contract import bindings, to_json_value
from cartsnitch_common.events import publish_sync
from cartsnitch_common.events.client import sync_redis
from tests.event_payloads import all_payloads, publisher_of
from tests.typescript import conftest, project

GOLDEN = project.ROOT / "tests/golden"
TEST = ("--test", "--test-reporter=tap")
MONEY = "cartsnitch.type.v1.Money"

# The first time, packages are installed.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def typescript() -> Path:
    """The folder of the compiled TypeScript."""
    require_node()
    project.build()
    return project.BUILD / "dist"


def require_node() -> None:
    reason = project.why_not()
    if reason is not None:  # else conftest.py has left the test out
        pytest.fail(f"CI is set, and there is {reason}")


def test_the_lock_names_no_registry() -> None:
    """Each machine installs from its own registry, exactly the packages that were locked."""
    text = (project.SOURCES / "package-lock.json").read_text()
    assert "resolved" not in text
    assert "://" not in text
    packages = json.loads(text)["packages"]
    assert len(packages) > 10
    assert all("integrity" in package for name, package in packages.items() if name)
    own = json.loads((project.SOURCES / "package.json").read_text())
    for version in [*own["dependencies"].values(), *own["devDependencies"].values()]:
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_typescript_agrees_with_the_vectors(typescript: Path) -> None:
    """Node decodes each vector, encodes it alike, prints its JSON and finds its broken rules."""
    said = project.run("node", *TEST, typescript / "vectors.test.js", CARTSNITCH_GOLDEN=str(GOLDEN))
    passed = re.search(r"^# pass (\d+)$", said, re.MULTILINE)
    assert passed
    assert int(passed[1]) == 4 * len(list(GOLDEN.iterdir())) + 1


@pytest.mark.parametrize(
    ("form", "wrong", "test"),
    [
        ("binary", "GAIQAw==", "the bytes are encoded again as they were"),
        ("json", {"units": "4"}, "the JSON form is the same"),
        ("breaks", ["units: money.sign"], "the same rules are broken"),
    ],
)
def test_typescript_refuses_a_wrong_vector(
    typescript: Path, tmp_path: Path, form: str, wrong: object, test: str
) -> None:
    """The check in Node can fail, and names the message and the case."""
    vector = json.loads((GOLDEN / MONEY / "full.json").read_bytes())
    (tmp_path / MONEY).mkdir()
    (tmp_path / MONEY / "full.json").write_text(json.dumps({**vector, form: wrong}))
    with pytest.raises(AssertionError) as caught:
        project.run("node", *TEST, typescript / "vectors.test.js", CARTSNITCH_GOLDEN=str(tmp_path))
    said = str(caught.value)
    assert re.search(rf"^not ok \d+ - {MONEY}: {test}", said, re.MULTILINE)
    assert f"{MONEY}/full" in said


def test_typescript_reads_the_channels(typescript: Path) -> None:
    """The option on each payload gives TypeScript the channels that it gives Python."""
    known = {one.channel: one.payload.DESCRIPTOR.full_name for one in bindings()}
    variables = {"CARTSNITCH_CHANNELS": json.dumps(known)}
    said = project.run("node", *TEST, typescript / "events.test.js", **variables)
    assert re.search(r"^# pass 4$", said, re.MULTILINE)


def test_typescript_hears_what_python_publishes(typescript: Path, redis_url: str) -> None:
    """Every event that Python publishes reaches Node over Redis, whole and valid."""
    payloads = all_payloads()
    listener = subprocess.Popen(
        ["node", typescript / "listen.js", str(len(payloads))],
        env=project.environment(CARTSNITCH_REDIS_URL=redis_url),
        stdout=subprocess.PIPE,
        text=True,
    )
    timer = Timer(60, listener.kill)
    timer.start()
    try:
        assert json.loads(listener.stdout.readline()) == {"ready": True}
        client = sync_redis(Settings.load(redis_url=redis_url))
        sent = [
            publish_sync(
                client, payload, service=publisher_of(payload), key="key-1", traceparent=None
            )
            for payload in payloads.values()
        ]
        client.close()
        heard = {}
        for _ in sent:
            report = json.loads(listener.stdout.readline())
            heard[report["channel"]] = report
        assert listener.wait(30) == 0
    finally:
        timer.cancel()
        listener.kill()
        listener.wait()
        listener.stdout.close()
    assert heard.keys() == payloads.keys()
    for envelope in sent:
        report = heard[envelope.event_type]
        assert report["json"] == to_json_value(envelope)
        assert report["channelOfPayload"] == envelope.event_type
        assert report["breaks"] == []
        assert report["sameBytes"] is True
    headline = heard["cartsnitch.alerts.shrinkflation"]["headline"]
    assert headline == "Oat Rings shrank to 15.4"


@pytest.fixture
def old_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH whose Node is older than what TypeScript needs."""
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v18.20.4\n")
    node.chmod(0o755)
    (tmp_path / "npm").symlink_to(node)
    monkeypatch.setenv("PATH", str(tmp_path))
    return node


def test_without_node_the_last_lines_say_so(
    old_node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without Node 20 is green, and ends with what was not checked and why."""
    monkeypatch.delenv("CI", raising=False)
    # With a worker, as in scripts/test: what it leaves out has to reach the controller's end.
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "-k", "agrees"]
    done = subprocess.run(
        [*command, "--numprocesses", "1", __file__],
        cwd=project.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = " ".join(done.stdout.strip().splitlines()[-3:])
    assert "TypeScript was NOT checked" in last
    assert f"{old_node} is v18.20.4; TypeScript needs Node 20 or newer" in last


@pytest.mark.parametrize("value", ["true", "1"])
def test_without_node_a_build_machine_fails(
    old_node: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, value: str
) -> None:
    """With CI=true nothing is left out, and what needs Node fails with the reason."""
    monkeypatch.setenv("CI", value)
    monkeypatch.setattr(request.node, "fixturenames", ["typescript"])
    conftest.pytest_collection_modifyitems([request.node])
    assert not list(request.node.iter_markers("skip"))
    with pytest.raises(pytest.fail.Exception, match=rf"{old_node} is v18.20.4; TypeScript needs"):
        require_node()


@pytest.mark.usefixtures("old_node")
def test_what_needs_no_node_is_never_left_out(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Only tests that compile TypeScript wait for Node."""
    monkeypatch.delenv("CI", raising=False)
    conftest.pytest_collection_modifyitems([request.node])
    assert not list(request.node.iter_markers("skip"))
    assert project.why_not()
