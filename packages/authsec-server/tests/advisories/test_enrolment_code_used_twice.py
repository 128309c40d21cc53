"""A code is used a second time: by whoever finds it in a shell's history, or by two who send it at the same moment.

Others deleted a one-time token without looking whether it was still there, and both came in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from databases import settings_for
from laptops import Laptop, code_for, pod_of


def test_of_those_who_use_it_at_once_one_is_enrolled(
    house: Callable[..., Any], database_url: str, tmp_path: Path
) -> None:
    its = house(local_operator=True, **settings_for(database_url, tmp_path))
    pod = pod_of(its)
    code, laptops = code_for(its, pod), [Laptop(its, address=f"198.51.100.{number}") for number in range(6)]
    barrier, statuses = threading.Barrier(len(laptops)), list[int]()

    def race(laptop: Laptop) -> None:
        barrier.wait(10)
        statuses.append(laptop.enrols(pod, code).status_code)

    threads = [threading.Thread(target=race, args=(laptop,)) for laptop in laptops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 403, 403, 403, 403, 403]
    assert sum(laptop.asks(pod).status_code == 200 for laptop in laptops) == 1
    assert Laptop(its).enrols(pod, code).json()["reason"] == "enrolment_refused"
    (enrolled,) = [each.event for each in its.events() if each.event.kind == "proof.enrolled"]
    assert enrolled.client.id == pod
