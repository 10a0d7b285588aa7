"""``make run`` a second time: Ctrl-C stops everything, and the data is found again."""

import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.platform.demo import Client, Demo
from tests.platform.make_run import ON_A_TERMINAL, SERVING, none_left

pytestmark = pytest.mark.timeout(500)

STAYS = "stopped; the data stays in the folder above, `make run` finds it again"
ALWAYS_THE_SAME = ("a product: ", "sales of the next eight weeks", "points redeemed", "a campaign")


def test_an_interrupt_stops_everything_and_the_next_start_finds_the_data(demo: Demo) -> None:
    with demo.serving() as client:
        before = _kept(client)
    assert demo.run
    assert demo.run.interrupt() == 0
    assert demo.run.said.rstrip().endswith(STAYS)
    assert none_left(demo.folder, demo.ports)

    again = demo.start()
    assert "loading" not in again.said
    assert "to profiles" not in again.said
    with demo.serving() as client:
        assert _kept(client) == before
    for title in ALWAYS_THE_SAME:
        assert _told(again.said, title) == _told(demo.first, title)
    assert _told(again.said, "one customer")


def test_what_was_killed_starts_again_with_everything_it_had(demo: Demo) -> None:
    with demo.serving() as client:
        before = _kept(client)
    assert demo.run
    demo.run.process.kill()  # not even the command itself may end in order
    for name in ("profiles", "loyalty", "segmentation"):
        os.kill(demo.run.pid(name), signal.SIGKILL)
    demo.stop()

    assert "loading" not in demo.start().said
    with demo.serving() as client:
        assert _kept(client) == before
        assert list(client.call("loyalty", "CheckLedger").violations) == []


def test_the_death_of_a_process_ends_the_command_and_names_it(demo: Demo) -> None:
    with demo.serving():
        pass
    assert demo.run
    os.kill(demo.run.pid("crm"), signal.SIGKILL)
    assert demo.run.status() == 1
    last = demo.run.said.splitlines()[-1]
    assert re.fullmatch(r"make run: crm was ended by SIGKILL \(the log is .*platform\.log\)", last)
    assert none_left(demo.folder, demo.ports)


def test_ctrl_c_in_a_terminal_stops_everything_and_make_is_content(demo: Demo) -> None:
    make, environment = shutil.which("make"), Path(sys.prefix)
    if make is None:
        pytest.skip("make is not installed")
    if not demo.first:
        demo.start()
    demo.stop()
    installed = [f"VENV={environment}", "-o", f"{environment}/.installed-local", "-o", f"{environment}/bin/python"]
    run = demo.start(command=(*ON_A_TERMINAL, make, "--no-print-directory", *installed, "run"))
    assert run.press_ctrl_c() == 0
    assert STAYS in run.said
    assert "Error" not in run.said.rpartition(SERVING)[2]
    assert none_left(demo.folder, demo.ports)


def _kept(client: Client) -> dict[str, object]:
    """How much there is of everything that only a load, a redemption or a campaign would add to."""
    profiles, loyalty = client.call("profiles", "GetStatistics"), client.call("loyalty", "GetStatus")
    recommendation, sales = client.call("recommendation", "GetStatus"), client.call("forecasting", "GetStatus")
    (reward,) = client.pages("loyalty", "ListRewards", "rewards", program_id="rewards")
    (campaign,) = client.pages("crm", "ListCampaigns", "campaigns")
    (segment,) = client.pages("segmentation", "ListSegments", "segments")
    return {
        "customers": profiles.customer_count,
        "events": profiles.event_count,
        "lifetimes": {number: str(customer.lifetime) for number, customer in client.customers.items()},
        "orders that earned": loyalty.earned_order_count,
        "redeemed": reward.redeemed_count,
        "lines": (recommendation.interaction_count, sales.line_count),
        "model": recommendation.live_model.model_version,
        "mails": campaign.counts.sent_count,
        "segment": (segment.segment_id, segment.version),
        "events that segments know": client.call("segmentation", "GetStatus").event_count,
    }


def _told(said: str, title: str) -> str:
    """What the tour shows under a title."""
    (found,) = re.findall(
        rf"^\d\. {title}[^\n]* ─+\n(.*?)(?=^\d\. [^\n]* ─+$|^from the start)", said, re.MULTILINE | re.DOTALL
    )
    return str(found)
