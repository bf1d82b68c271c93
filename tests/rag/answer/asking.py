"""What the tests of grounded answers ask, as whom, and what the fake model says to it."""

from typing import Any

QUESTION = "法定休假日加班，工资报酬怎么支付？"
ASKED: list[Any] = [{"role": "user", "content": QUESTION}]
SAYS = (
    "法定休假日安排劳动者工作的，",
    "支付不低于工资的百分之三百",
    "的工资报酬[",
    "1",
    "]。",
    "建议咨询律师[9",
    "9]。",
    "是的。",
)
SHOWN = "法定休假日安排劳动者工作的，支付不低于工资的百分之三百的工资报酬[1]。建议咨询律师。是的。"
TRACE = {
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "tracestate": "congo=t61rcWkgMzE",
}
ASKER = {"x-praxis-tenant": "clinic", "x-praxis-key": "key_1", "x-praxis-asked": "labour", **TRACE}
TOOL: dict[str, Any] = {"type": "file_search", "vector_store_ids": ["vs_labour"]}
