"""A story for judges: what happens in a workspace so that as many types of events as possible occur."""

from __future__ import annotations

import datetime
import time

from support import Bridge, Judge, Workspace, table

#: Sources and rules of a config that the story is told to.
SETTINGS = {
    "source": {"thread_calls_per_hour": 600},
    "rules": [
        table("rules.daily-budget", {"kind": "budget", "limit_usd": 200, "period": "day", "thresholds": [50, 80, 100]}),
        table("rules.per-person", {"kind": "budget", "limit_usd": 150, "period": "week", "per": "user"}),
        table("rules.spend-spike", {"kind": "spike", "per": "user"}),
        table("rules.dear-threads", {"kind": "thread_cost", "limits_usd": [5, 25, 100]}),
    ],
}
#: The least that must occur. A `budget.corrected` is not told before the day is settled.
EXPECTED = {
    "thread.created", "thread.updated", "thread.deleted", "thread.cost_exceeded",
    "member.added", "member.removed", "member.role_changed",
    "cost.spike", "budget.threshold_reached", "budget.exceeded",
    "source.failing", "source.recovered", "source.degraded", "source.change_held",
}
HOSTILE = "<!channel> \"q\" \\ 'a' \r\nBcc: eve@example.com & </script>{{ 7*7 }} \u202eרתל\u202c 🦀\u2028x"
#: Close to midnight a story would fall into two days.
MARGIN = datetime.timedelta(minutes=4)


def clear_of_midnight() -> None:
    """Waits until the day (UTC) is long enough for a story."""
    now = datetime.datetime.now(datetime.timezone.utc)
    tomorrow = datetime.datetime.combine(now.date() + datetime.timedelta(days=1), datetime.time(), now.tzinfo)
    if tomorrow - now < MARGIN:
        print("  …waiting for midnight to pass")
        time.sleep((tomorrow - now).total_seconds() + 1)


def tell(judge: Judge, bridge: Bridge, space: Workspace) -> None:
    """Lets things happen and `once` look after each; says where it ends otherwise than it should."""
    clear_of_midnight()
    today = space.do("summary")["today"]
    first, second, third = (f"member{n}@example.com" for n in (1, 2, 3))

    def look(what: str, code: int = 0) -> None:
        ran = bridge("once", "--drain", 60)
        judge.check(ran.code == code, f"once, {what}: exit {code}", ran)

    look("the baseline")

    new = space.do("add_thread", thread={"creator": first, "title": HOSTILE, "messages": 3, "usage": "31.50",
                                         "repositories": [{"url": "https://example.com/acme/web.git"}]})["id"]
    space.do("edit_thread", id=space.do("thread_ids")["ids"][3], edit={"title": "Ana's plan, as of today"})
    space.do("add_member", name=HOSTILE, email="dee@example.com", role="admin")
    space.do("set_role", who=third, role="admin")
    space.do("set_usage", date=today, who=second, usd="120.25",
             models={"gpt-5.1": {"requests": 40, "input": 900_000, "output": 80_000}})
    look("new thread, new member, new role, a spike")

    gone = space.do("thread_ids")["ids"][5]
    space.do("remove_thread", id=gone)
    space.do("remove_member", who="member4@example.com")
    space.do("set_usage", date=today, who=first, usd="95", models={"claude-opus-4-5": {"requests": 9, "output": 5_000}})
    space.do("set_thread_usage", id=new, usd="101.01")
    space.do("edit_thread", id=new, edit={"messages": 9})
    look("budget exceeded, first look without a thread and a member")
    look("second look without them")

    space.do("set_usage", date=today, who=second, usd="1.00")
    look("spend corrected down")

    space.do("set_scopes", scopes=[f"amp.api:workspace.{what}:view" for what in ("threads.meta", "members", "analytics")])
    space.do("revoke_tokens")
    look("a scope is lost")

    space.do("add_fault", rule={"prefix": "/api/v2", "fault": {"status": {"code": 503}}})
    for number in (1, 2, 3):
        look(f"the API is down, look {number}", 1)
    space.do("clear_faults")
    look("the API is back")

    space.do("add_fault", rule={"prefix": "/api/v2/workspace/members", "fault": "empty_list"})
    look("an empty list of members")
    look("an empty list again")
    space.do("clear_faults")
