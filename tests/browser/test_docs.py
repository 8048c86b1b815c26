"""The pages for people, used as a newcomer would."""

import json
import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Watched
from tests.support.service import Service

SUBMIT, STATUS = "#operations-Tasks-submit_task", "#operations-Tasks-get_task"


def open_operation(page: Page, operation: str) -> Locator:
    section = page.locator(operation)
    section.locator(".opblock-summary-control").click()
    expect(section.locator("button.execute")).to_be_visible()
    return section


def execute(section: Locator, path: str) -> tuple[int, str]:
    """Presses Execute; the status code and the body that the page then shows."""
    with section.page.expect_response(lambda response: path in response.url) as answered:
        section.locator("button.execute").click()
    shown = section.locator(".live-responses-table tbody tr.response").first
    expect(shown.locator(".response-col_status")).to_contain_text(str(answered.value.status))
    return answered.value.status, answered.value.text()


def authorize(page: Page, token: str) -> None:
    page.locator("button.authorize").first.click()
    page.locator(".auth-container input").fill(token)
    page.locator(".auth-container button[type=submit]").click()
    page.locator(".auth-container .btn-done").click()


def test_a_newcomer_authorizes_submits_the_example_and_follows_it_to_its_end(
    service: Service, watched: Watched
) -> None:
    page = watched.page
    page.goto(f"{service.url}/docs")
    expect(page.locator(".title").first).to_contain_text("Task Executor")
    authorize(page, service.token("alice"))

    submit = open_operation(page, SUBMIT)
    status, body = execute(submit, "/v1/tasks")
    assert status == 202, body
    sent = json.loads(submit.locator("textarea.body-param__text").input_value())
    assert sent["body"]["task_specification"]["parameters"]["input_source"] == "data_stream_1"
    assert sent["header"]["message_id"].startswith("task-123-")
    task_id = json.loads(body)["body"]["details"]["task_id"]
    assert execute(submit, "/v1/tasks")[0] == 200, "the same example again is the same task"
    submit.locator(".opblock-summary-control").click()

    follow = open_operation(page, STATUS)
    follow.locator("tr[data-param-name=task_id] input").fill(task_id)
    follow.locator("tr[data-param-name=Prefer] input").fill("wait=20")
    state = ""
    while state != "Completed":
        status, body = execute(follow, f"/v1/tasks/{task_id}")
        state = json.loads(body)["body"]["status"]
        assert state not in {"Failed", "Rejected"}, body
    expect(follow.locator(".live-responses-table .highlight-code").first).to_contain_text('"Completed"')
    follow.locator(".responses-wrapper").scroll_into_view_if_needed()
    assert watched.keep("docs").stat().st_size > 0

    assert watched.foreign(service.url) == []
    assert watched.complaints == []


def test_every_example_of_the_page_is_accepted(service: Service, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{service.url}/docs#/Tasks/submit_task")
    authorize(page, service.token("bob"))
    submit = page.locator(SUBMIT)
    choice = submit.locator("select.examples-select-element, .examples-select select").first
    document = page.request.get(f"{service.url}/openapi.json").json()["components"]["examples"]
    examples = {each["summary"]: each["value"] for name, each in document.items() if name.startswith("submit.")}
    assert choice.locator("option").all_text_contents() == list(examples)
    for summary, value in examples.items():
        choice.select_option(label=summary)
        # The page's own were made a moment earlier: all but the time in the message_id is the same.
        name = value["header"]["message_id"].rpartition("-")[0]
        expect(submit.locator("textarea.body-param__text")).to_have_value(re.compile(f'"{re.escape(name)}-2'))
        status, body = execute(submit, "/v1/tasks")
        assert status == 202, f"{summary}: {body}"
    assert watched.complaints == []


def test_without_a_token_the_page_shows_the_problem(service: Service, watched: Watched) -> None:
    watched.page.goto(f"{service.url}/docs")
    status, body = execute(open_operation(watched.page, STATUS.replace("get_task", "list_tasks")), "/v1/tasks")
    assert (status, json.loads(body)["title"]) == (401, "Authentication required")
    assert len(watched.complaints) == 1
    assert re.search("401", watched.complaints[0])


def test_the_reference_page_shows_every_operation_and_asks_nobody_else(service: Service, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{service.url}/redoc")
    for summary in ("Submit a task", "Message history of a task", "Resources", "Metrics"):
        expect(page.get_by_role("heading", name=summary, exact=False).first).to_be_attached()
    expect(page.get_by_role("searchbox").or_(page.get_by_placeholder("Search...")).first).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert watched.keep("redoc").stat().st_size > 0
    assert watched.foreign(service.url) == []
    assert watched.complaints == []
