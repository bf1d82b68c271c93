"""Pictures in a question by `langchain_openai`, unchanged."""

from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_a_picture_is_looked_at(base_url: str, key: str, model: str) -> None:
    chat = ChatOpenAI(base_url=base_url, api_key=SecretStr(key), model=model, max_retries=0)
    content = [
        {"type": "text", "text": "What is on it?"},
        {"type": "image", "base64": PICTURE, "mime_type": "image/png"},
    ]
    assert chat.invoke([HumanMessage(content_blocks=content)]).text
