"""Documents: what is accepted and refused, and what jobs become."""

from __future__ import annotations

import dataclasses
import json
import warnings
from datetime import datetime, timezone
from importlib import resources
from typing import Any
from uuid import UUID

import corpus
import pytest

from mission_worker import (
    Action,
    Agent,
    Board,
    Cleanup,
    Gateway,
    HeartbeatSync,
    InvalidJob,
    Nothing,
    Options,
    Provision,
    ProvisionMain,
    User,
    Wake,
    parse_job,
    to_document,
)
from mission_worker.document import masked

CASES = list(corpus.cases())


@pytest.mark.parametrize(("case", "text"), CASES, ids=[case["name"] for case, _ in CASES])
def test_documents_are_judged_as_the_corpus_says(case: dict[str, Any], text: bytes) -> None:
    if "accepted" in case:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            job = parse_job(text)
        assert job.kind == case["accepted"]
        assert isinstance(job, Nothing) == case.get("nothing", False)
        return
    with pytest.raises(InvalidJob) as refused:
        parse_job(text)
    problems = refused.value.problems
    assert [problem.path for problem in problems] == [path for path, _ in case["refused"]]
    for problem, (_, beginning) in zip(problems, case["refused"], strict=True):
        assert problem.problem.startswith(beginning)
        assert problem.remedy
    assert corpus.SECRET not in str(refused.value)


def test_a_text_for_a_number_is_told_the_type_to_use() -> None:
    text = next(text for case, text in CASES if case.get("accepted") == "provision" and not case.get("nothing"))
    document = json.loads(text)
    document["gateway"]["revision"] = "8"
    with pytest.raises(InvalidJob) as refused:
        parse_job(json.dumps(document))
    assert str(refused.value) == "gateway.revision: wrong type (string); use an integer"


@pytest.mark.parametrize("kind", ["provision", "provision-main", "cleanup", "heartbeat-sync"])
def test_a_job_becomes_the_document_that_it_came_from(kind: str) -> None:
    document = corpus.document(kind)
    if kind == "provision":
        del document["options"]
    job = parse_job(document)
    assert json.loads(json.dumps(to_document(job), default=str)) == document
    assert parse_job(to_document(job)) == job


def test_jobs_have_the_fields_of_the_schema_and_each_text_has_a_limit() -> None:
    schema = json.loads((resources.files("mission_worker") / "job.schema.json").read_bytes())
    jobs = {
        field.name for job in (Provision, ProvisionMain, Cleanup, HeartbeatSync) for field in dataclasses.fields(job)
    }
    assert jobs | {"version", "kind"} == set(schema["properties"])
    options = schema["properties"]["options"]["properties"]
    parts = [*((part, schema["properties"][part.__name__.lower()]) for part in (Gateway, Agent, Board, User, Options))]
    for part, described in [*parts, (Wake, options["wake"])]:
        assert {field.name for field in dataclasses.fields(part)} == set(described["properties"])
        for name, field in described["properties"].items():
            limits = {"maxLength", "maximum", "x-maxBytes", "x-maxValues", "enum"} & set(field)
            assert limits or "boolean" in field["type"] or "object" in field["type"], f"{part.__name__}.{name}"


def test_accepted_documents_survive_the_way_through_a_job() -> None:
    for case, text in CASES:
        if "accepted" in case:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                job = parse_job(text)
            assert parse_job(to_document(job)) == job, case["name"]


def test_blanks_around_tokens_are_left_away_and_told() -> None:
    document = corpus.document("provision")
    document["auth_token"] = f" {corpus.SECRET}\r\n"
    document["gateway"]["token"] = f"{corpus.SECRET}\n"
    with pytest.warns(UserWarning, match="blanks or line breaks around the token") as told:
        job = parse_job(document)
    assert isinstance(job, Provision)
    assert (job.auth_token, job.gateway.token) == (corpus.SECRET, corpus.SECRET)
    said = [str(warning.message) for warning in told]
    assert [text.split(":")[0] for text in said] == ["auth_token", "gateway.token"]
    assert corpus.SECRET not in "".join(said)
    # Who only looks at what waits in Redis is not warned.
    shown = masked(json.dumps(document).encode())
    assert shown is not None
    assert shown["auth_token"] == "***"


def test_a_job_is_built_of_parts() -> None:
    job = provision()
    document = json.loads(json.dumps(to_document(job), default=str))
    assert document["board"]["target_date"].startswith("2026-03-01")
    assert document["options"] == {"action": "update"}
    assert "board_type" not in document["board"], "defaults are left out"
    assert parse_job(to_document(job)).kind == "provision"


def test_an_update_can_leave_the_token_out_and_wake_the_agent() -> None:
    options = Options(action=Action.UPDATE, wake=Wake(verb="moved"))
    job = dataclasses.replace(provision(), auth_token=None, options=options)
    document = to_document(job)
    assert "auth_token" not in document
    assert document["options"] == {"action": "update", "wake": {"verb": "moved"}}
    read = parse_job(document)
    assert isinstance(read, Provision)
    assert (read.auth_token, read.options) == (None, options)
    assert to_document(dataclasses.replace(job, options=Options(wake=Wake())))["options"] == {"wake": {}}
    with pytest.raises(InvalidJob, match=r"^auth_token: missing"):
        parse_job(to_document(dataclasses.replace(job, options=Options())))


def test_a_certificate_is_pinned_or_any_is_accepted() -> None:
    pinned = dataclasses.replace(gateway(), url="wss://host", tls_fingerprint="sha256:" + "0" * 64)
    job = Cleanup(gateway=pinned, agent=agent())
    assert parse_job(to_document(job)) == job
    either = dataclasses.replace(pinned, allow_insecure_tls=True)
    with pytest.raises(InvalidJob, match=r"^gateway\.tls_fingerprint: .*allow_insecure_tls"):
        parse_job(to_document(dataclasses.replace(job, gateway=either)))


def test_secrets_are_not_in_the_repr() -> None:
    main = ProvisionMain(gateway=gateway(), agent=agent(), auth_token="hunter2")
    sync = HeartbeatSync(gateway=gateway(), agents=[agent()])
    for job in (provision(), main, sync, Cleanup(gateway=gateway(), agent=agent())):
        assert "hunter2" not in repr(job)
        assert "hunter2" not in str(job)
        assert "Acme" in repr(job)


def test_secrets_are_masked() -> None:
    document = corpus.document("provision")
    document["gateway"]["url"] = "ws://me:hunter2@host:1/x?token=hunter2"
    shown = masked(json.dumps(document).encode())
    assert shown is not None
    assert "hunter2" not in json.dumps(shown)
    assert shown["gateway"]["url"] == "ws://me:***@host:1/x?***"
    assert shown["auth_token"] == shown["gateway"]["token"] == "***"
    assert masked(b'{"version": 1, "tokken": "hunter2"}') is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://host:1/path", "ws://host:1/path"),
        ("ws://me:a@b:c@host", "ws://me:***@host"),
        ("ws:hunter2:hunter2@host", "***"),
        ("ws:\\\\me:hunter2@host", "***"),
        ("w\ts://me:hunter2@host", "ws://me:***@host"),
        ("", ""),
    ],
)
def test_urls_are_masked_however_they_are_written(url: str, shown: str) -> None:
    document = corpus.document("cleanup")
    document["gateway"]["url"] = url
    masked_document = masked(json.dumps(document).encode())
    assert masked_document is not None
    assert masked_document["gateway"]["url"] == shown


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}, "\ud800"])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(InvalidJob, match=r"^\$: not JSON"):
        parse_job({**corpus.document("provision"), "user": {"name": value}})


def test_what_is_no_job_is_refused() -> None:
    with pytest.raises(TypeError, match="a int is not a job"):
        parse_job(5)  # type: ignore[arg-type]


def gateway() -> Gateway:
    url = "ws://hunter2@host"
    return Gateway(id=UUID(int=1), name="Acme", url=url, token="hunter2", workspace_root="/srv")


def agent() -> Agent:
    return Agent(id=UUID(int=2), name="Alice", heartbeat_config={"every": "10m"})


def provision() -> Provision:
    date = datetime(2026, 3, 1, 9, tzinfo=timezone.utc)
    return Provision(
        gateway=gateway(),
        agent=agent(),
        board=Board(id=UUID(int=3), name="Launch", success_metrics={"open_bugs": 0}, target_date=date),
        user=User(name="Sam Rivera"),
        auth_token="hunter2",
        options=Options(action=Action.UPDATE),
    )
