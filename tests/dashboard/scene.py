"""A queue with jobs in every state, for screenshots and for tests of all pages."""

from __future__ import annotations

import random
import time

import redis

from conftest import Gateway, Site, provision, wait_for

PEOPLE = ["Ada", "Clive", "Edsger", "Grace", "Hedy", "Ida", "Jean", "Katherine", "Lise", "Mary", "Niklaus", "Olga"]


def past_hour(site: Site) -> None:
    """Invents the counters of an hour, so that the chart has bars."""
    chance = random.Random(7)
    with redis.Redis(unix_socket_path=str(site.folder / "redis.sock")) as connection:
        now = int(time.time()) // 60
        for ago in range(2, 60):
            key = f"{{mission}}:minute:{now - ago}"
            done = max(0, int(chance.gauss(9, 4)))
            connection.hincrby(key, "provision|done", done)
            connection.hincrby(key, "heartbeat-sync|done", int(done / 4))
            for _ in range(done):
                connection.hincrby(key, f"provision|wait|{chance.choice([0, 1, 1, 2, 4, 8])}", 1)
                connection.hincrby(key, f"provision|run|{chance.choice([8, 9, 9, 10, 11, 12])}", 1)
            if 20 < ago < 31:
                connection.hincrby(key, "provision|retrying", chance.randint(2, 9))
            if ago in (21, 22):
                connection.hincrby(key, "provision|dead", 2)


def fill(site: Site) -> dict[str, str]:
    """Starts everything, and returns the ids of the jobs that the pages show."""
    alder, birch = site.gateway("Alder"), site.gateway("Birch")
    cedar, dogwood = site.gateway("Cedar", token="the-right-token"), site.gateway("Dogwood")
    past_hour(site)
    site.start()
    done = site.enqueue(*(provision(alder.described(), name) for name in PEOPLE[:5]))
    done += site.enqueue(*(provision(birch.described(), name) for name in PEOPLE[5:9]))
    for job in done:
        site.settles(job, "done")
    changed = provision(alder.described(), "Ada", about={"identity_profile": {"role": "Release manager"}})
    update = site.enqueue(changed)[0]
    site.settles(update, "done")
    dogwood.stop()
    wrong = provision(birch.described(), "Olga", about={"soul_template": "{{ agent_name | nonsense }}"})
    dead = site.enqueue(wrong)[0]
    blocked = site.enqueue(*(provision(cedar.described("a-wrong-token"), name) for name in PEOPLE[:3]))
    away = site.enqueue(*(provision(dogwood.described(), name) for name in PEOPLE[4:6]))
    site.enqueue(provision(alder.described(), "Niklaus"), how=("--delay", "2h"))
    site.settles(dead, "dead")
    for job in blocked:
        site.settles(job, "blocked")
    wait_for("a job that waits for its gateway", lambda: any(site.state(job) == "retrying" for job in away))
    return {"blocked": blocked[0], "dead": dead, "done": update, "away": away[0], "cedar": cedar.id}


def gateway_of(site: Site, name: str) -> Gateway:
    """A gateway of the scene."""
    return next(gateway for gateway in site.gateways if gateway.name == name)
