"""What the pages do, without a browser."""

from streamlit.testing.v1 import AppTest

from tests.fakes import gateway as fake
from tests.fakes.gateway import QUOTE, FakeGateway, citation, uncited
from tests.ui.script import ASSISTANT, KEY, RAW, ask, choose_documents, conversation, press, shown, sign_in
from ui.library import Library


def test_a_wrong_key_an_empty_one_and_a_right_one(app: AppTest) -> None:
    assert [error.value for error in sign_in(app, "").error] == ["请先输入访问密钥。"]
    assert [error.value for error in sign_in(app, "sk-wrong").error] == [
        "密钥不正确或已失效，请检查后重新输入。"
    ]
    assert not sign_in(app, KEY).error
    assert app.chat_input


def test_signing_in_while_the_gateway_is_down_says_so_and_works_when_it_is_back(
    app: AppTest, gateway: FakeGateway
) -> None:
    gateway.stop()
    try:
        assert [error.value for error in sign_in(app, KEY).error] == [
            "无法连接网关，请确认服务已启动后重试。"
        ]
    finally:
        gateway.start()
    assert sign_in(app, KEY).chat_input


def test_assistants_are_offered_on_the_left_and_models_on_the_right(signed_in: AppTest) -> None:
    offered = {box.label: box.options for box in signed_in.selectbox}
    assert offered["有依据的回答"] == ["labour-law", "我的文档"]
    assert offered["模型直接回答"] == ["qwen2.5-0.5b", "medical · qwen2.5-0.5b"]


def test_a_question_is_answered_on_both_sides_with_its_sources(
    signed_in: AppTest, gateway: FakeGateway
) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(
        ["应当支付[1]。"],
        citations=[citation()],
        unverified=[{"law": "劳动法", "article": "第九百条", "nearest": "第九十条"}],
        meet=[RAW],
    )
    gateway.replies[RAW] = fake.Reply(["看情况。"], thinking=["先想一想"], meet=[ASSISTANT])
    page = shown(ask(signed_in, "加班费怎么算？"))
    for text in (
        "加班费怎么算？",
        "看情况。",
        "应当支付",
        "《中华人民共和国劳动法》第四十四条",
        "第九百条",
        "第九十条",
    ):
        assert text in page
    assert "<mark>安排劳动者延长工作时间的" in page
    assert [box.label for box in signed_in.expander] == ["思考过程"]
    assert "先想一想" in signed_in.expander[0].markdown[0].value


def test_each_side_keeps_its_own_history(signed_in: AppTest, gateway: FakeGateway) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["有依据[1]"], citations=[citation()])
    gateway.replies[RAW] = fake.Reply(["<think>想</think>没依据"])
    ask(ask(signed_in, "一？"), "二？")
    questions = {chat.model: [m["content"] for m in chat.body["messages"]] for chat in gateway.chats[-2:]}
    assert questions == {ASSISTANT: ["一？", "有依据[1]", "二？"], RAW: ["一？", "没依据", "二？"]}
    press(signed_in, "新对话")
    assert conversation(signed_in).turns == []
    ask(signed_in, "三？")
    assert [len(chat.body["messages"]) for chat in gateway.chats[-2:]] == [1, 1]


def test_one_side_failing_leaves_the_other(signed_in: AppTest, gateway: FakeGateway) -> None:
    error = {
        "message": "No replica of `local` is up.",
        "type": "overloaded_error",
        "param": None,
        "code": None,
    }
    gateway.replies[RAW] = fake.Reply(status=503, error=error)
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation()])
    ask(signed_in, "问？")
    assert [e.value for e in signed_in.error] == [
        '模型服务繁忙或未启动，请稍后重试。 No replica of "local" is up.'
    ]
    assert "应当支付" in shown(signed_in)


def test_an_answer_without_evidence_says_so(signed_in: AppTest) -> None:
    ask(signed_in, "今天天气如何？")
    (warning,) = signed_in.warning
    assert warning.value.startswith("所选文档中没有支持以上内容的依据")


def test_what_was_found_stands_below_an_answer_that_cites_none_of_it(
    signed_in: AppTest, gateway: FakeGateway
) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["1"], uncited=[uncited(), uncited(marker=2, page=3)])
    page = shown(ask(signed_in, "我主张最近一年的。"))
    (warning,) = signed_in.warning
    assert warning.value.startswith("所选文档中没有支持以上内容的依据")
    assert page.count("《中华人民共和国劳动法》第四十四条") == 2
    assert "供您自行查阅" in page
    assert QUOTE in page
    assert "已核对" not in page
    assert [button.label for button in signed_in.button if "原页" in button.label] == ["查看原页（第 3 页）"]


def test_an_interrupted_answer_keeps_its_text_and_says_so(signed_in: AppTest, gateway: FakeGateway) -> None:
    gateway.replies[RAW] = fake.Reply(["前半", "后半"], break_after=1)
    ask(signed_in, "问？")
    assert "前半" in shown(signed_in)
    assert [error.value for error in signed_in.error] == [
        "回答中断，以上内容不完整 · 回答中途断开，请重新提问。"
    ]


def test_a_question_before_any_document_says_to_upload(signed_in: AppTest, gateway: FakeGateway) -> None:
    ask(choose_documents(signed_in), "问？")
    assert [error.value for error in signed_in.error] == ["还没有可检索的文档，请先到“文档”页上传。"]
    assert [chat.model for chat in gateway.chats] == [RAW]


def test_uploaded_documents_can_be_asked_at_once(signed_in: AppTest, gateway: FakeGateway) -> None:
    client = signed_in.session_state["session"].gateway
    store = client.create_store("案卷")
    Library(client).attach(store.id, client.upload("案.txt", "第一条".encode()))
    ask(choose_documents(signed_in), "问？")
    tools = [chat.body.get("tools") for chat in gateway.chats]
    assert sorted(tools, key=bool) == [None, [{"type": "file_search", "vector_store_ids": [store.id]}]]


def test_documents_out_of_order_leave_the_raw_side_working(signed_in: AppTest, gateway: FakeGateway) -> None:
    gateway.broken["/v1/vector_stores"] = {
        "message": "rag is down.",
        "type": "upstream_error",
        "param": None,
        "code": None,
    }
    ask(choose_documents(signed_in), "问？")
    assert "rag is down." in shown(signed_in)
    assert "好的。" in shown(signed_in)
    assert [chat.model for chat in gateway.chats] == [RAW]


def test_a_key_that_is_revoked_leads_back_to_the_sign_in(signed_in: AppTest, gateway: FakeGateway) -> None:
    del gateway.keys[KEY]
    signed_in.run()
    assert [error.value for error in signed_in.error] == ["密钥已失效，请重新登录。"]
    assert signed_in.text_input[0].label == "访问密钥"


def test_signing_out_forgets_everything(signed_in: AppTest) -> None:
    ask(signed_in, "秘密的问题")
    press(signed_in, "退出登录")
    assert signed_in.text_input[0].label == "访问密钥"
    assert "秘密的问题" not in shown(signed_in)
    assert KEY not in str(signed_in.session_state)
    assert signed_in.session_state["session"].gateway is None


def test_the_language_switches_and_keeps_the_choice(signed_in: AppTest) -> None:
    choose_documents(signed_in)
    press(signed_in, "English")
    box = next(box for box in signed_in.selectbox if box.label == "Grounded answer")
    assert box.options[box.index or 0] == "My documents"
    assert signed_in.chat_input[0].placeholder.startswith("Ask a question")
