#!/usr/bin/env python3
"""Writes the seeds for fuzzing, made from the data of the tests: `seeds.py FOLDER` writes FOLDER/TARGET/…"""

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "crates/core/tests/vectors"
TRACES = ROOT / "crates/gateway-sim/tests/traces"
SCENARIOS = ROOT / "tests/scenarios"
MAX_BYTES = 16_384


def load(path):
    return json.loads(path.read_text())


def dumps(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def corpus_documents():
    corpus = load(ROOT / "crates/core/tests/corpus/documents.json")
    for case in corpus["cases"]:
        if "text" in case:
            yield case["text"]
            continue
        document = json.loads(json.dumps(corpus["documents"][case["of"]]))
        for path, value in case.get("set", {}).items():
            *parents, name = path.split("/")[1:]
            place = document
            for parent in parents:
                place = place[int(parent)] if isinstance(place, list) else place[parent]
            place[name] = value
        yield dumps(document)


def scenario_steps():
    for path in sorted(SCENARIOS.glob("*.json")):
        yield from load(path)["steps"]


def documents():
    yield from corpus_documents()
    for step in scenario_steps():
        document = {"version": 1} | {name: value for name, value in step.items() if value is not None}
        yield dumps(document).replace("{GATEWAY_URL}", "ws://127.0.0.1:1")


def templates():
    forms = [form for form, text in load(ROOT / "crates/core/tests/jinja/forms.json") if text is not None]
    # Neighbouring forms are related, so each input has eight of them.
    yield from ("\n".join(forms[at : at + 8]) for at in range(0, len(forms), 8))
    yield "{{ 'x'|center(10**9) }}{{ 'x'.zfill(10**9) }}{{ '%1000000000d' % 1 }}{{ '{:1000000000}'.format(1) }}"
    yield "{{ 'a b'|wordwrap(1, true, 'x' * 9999) }}{{ '%*.*f' % (10**9, 10**9, 1.5) }}{{ 'x' * 10**9 }}"
    yield from (case["input"]["template"] for case in load(VECTORS / "render_overrides.json"))
    for path in sorted(SCENARIOS.glob("*.json")):
        yield from load(path)["templates"].get("files", {}).values()
    for step in scenario_steps():
        agent = step.get("agent") or {}
        yield from filter(None, (agent.get("identity_template"), agent.get("soul_template")))
    yield "{% extends 'base.md' %}{% block a %}{{ super() }}{% endblock %}"
    yield "{% from 'macros.md' import twice %}{{ twice(agent_name) }}{% include 'loop.md' %}"
    yield "{% for i in range(100000) %}{{ agent_name | upper | center(80) }}{% endfor %}"
    yield "{{ ('x' * 100000) ~ [1, 2] | join(', ') | replace('x', 'yy') }}"


def configs():
    agents = [{"id": "0a1b2c3d-0000-4000-8000-000000000001", "name": "Ada", "heartbeat_config": {"every": "5m"}}]
    answers = [case["input"]["payload"] for case in load(VECTORS / "config_agent_list.json")]
    answers += [
        {"config": {"agents": {"list": case["input"]["raw_list"]}}}
        for case in load(VECTORS / "updated_agent_list.json")
    ]
    for path in sorted(TRACES.glob("*/config.get.json")):
        for case in load(path):
            payload = case.get("response", {}).get("payload")
            if payload:
                answers.append({"hash": payload.get("hash"), "config": payload.get("config")})
    for answer in answers:
        yield dumps({"answer": answer, "agents": agents, "default": "main"})
    hours = {"every": None, "activeHours": {"start": "08:00", "end": None}, "lists": [{"a": 1}]}
    there = {"workspace": "/w", "heartbeat": {"activeHours": {"start": 8, "timezone": "UTC"}, "every": "1m"}}
    ada = [{**agents[0], "heartbeat_config": hours}]
    for section in ({"list": [{"id": "ada", **there}]}, {"entries": {"ada": there}}):
        yield dumps({"answer": {"config": {"agents": section}}, "agents": ada, "default": "main"})
    for path in sorted(TRACES.glob("*/config.patch.json")):
        for case in load(path):
            error = case.get("response", {}).get("error")
            if error:
                answer = {"config": {"agents": {"list": [{"id": "ada"}]}}}
                yield dumps({"answer": answer, "agents": agents, "default": "main", "error": error})


def members(response):
    return dumps({name: value for name, value in response.items() if name not in ("type", "id")})[1:-1]


def frames():
    """Yields a session for each recorded gateway and each flow, with the answers of that gateway."""
    for folder in sorted(TRACES.glob("*")):
        if not (folder / "connect.json").exists():
            continue
        connect = load(folder / "connect.json")
        hello = connect["response"]
        hello["payload"] = {key: hello["payload"].get(key) for key in ("protocol", "server", "policy", "auth")}
        head = [f"connect.challenge {dumps(connect['challenge'])}", f"connect {members(hello)}"]
        lines, errors = list(head), list(head)
        for path in sorted(folder.glob("*.json")):
            for case in load(path) if path.name != "connect.json" else ():
                response, method = case.get("response"), (case.get("request") or {}).get("method")
                if not response or not method or len(dumps(response)) > 4096:
                    continue
                (lines if response.get("ok") else errors).append(f"{method} {members(response)}")
        missing = '"ok":true,"payload":{"file":{"missing":true}}'
        empty = [*head, f"agents.files.get {missing}", 'config.get "ok":true,"payload":{"hash":"h","config":{}}']
        for choice in range(24):
            for script in (lines, errors, empty, [*empty, "close 1012", '! {"type":"event","event":"tick"}']):
                yield chr(choice) + "\n".join(script)


def searches():
    uuid = "7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01"
    yield f'quota  state:dead,blocked,dead gateway:{uuid} "disk full" kind:cleanup error:timeout/config.get'
    yield f'"ws://host:1" id:7C9D5C1E agent:""{uuid.replace("-", "")} board:urn:uuid:{uuid}'
    yield f"state:dead~1763859600000~{uuid}"
    yield '"open'


def sealed():
    yield from (path.read_text() for path in sorted((Path(__file__).parent / "sealed").glob("*.json")))
    yield from list(corpus_documents())[:5]


def main(folder):
    for target in (documents, templates, configs, frames, searches, sealed):
        place = Path(folder) / target.__name__
        place.mkdir(parents=True, exist_ok=True)
        for seed in target():
            data = seed.encode("utf-8", "surrogatepass")
            if 0 < len(data) <= MAX_BYTES:
                (place / hashlib.sha1(data).hexdigest()).write_bytes(data)


main(sys.argv[1])
