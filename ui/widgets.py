"""The words of Streamlit's own widgets, which knows English only, in the language of the page.

A script in the page turns them as they come and when the language is changed: what is shown, tooltips, and what screen readers
say. What people and models wrote is left alone: of texts only those within the widgets that widgets.js names are turned.
"""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

from praxis.i18n import Locale
from ui.pictures import EACH

_SCRIPT = Path(__file__).parent / "widgets.js"

WORDS = {
    "Help for (.+)": "widget.help",
    "Show password": "widget.show",
    "Hide password": "widget.hide",
    "Open": "widget.open",
    "(?:Close|Dismiss)": "widget.close",
    "Choose (?:an option|options)": "widget.choose",
    "Click to retry upload": "widget.again",
    "Error: ?": "widget.error",
    "Clear (?:value|entry)": "widget.clear",
    "Clear all": "widget.clear_all",
    "Selected values": "widget.selected",
    "Select all": "widget.select_all",
    "No (?:results|options)": "widget.none",
    "Increment": "widget.more",
    "Decrement": "widget.less",
    "Send message": "widget.send",
    "Pagination": "widget.pages",
    "Page (\\d+)": "widget.page",
    "Previous page": "widget.previous",
    "Next page": "widget.next",
    "App pages": "widget.app_pages",
    "Navigate to home page": "widget.home",
    "Notifications": "widget.notifications",
    "Button action menu": "widget.menu",
    "Remove (.+)": "widget.remove",
    "Upload failed": "widget.failed",
    "Upload": "widget.browse",
    "(?:.+ )?per file.*": "widget.drop",
    "Upload or drag and drop .+": "widget.attach",
    "Upload .+": "widget.browse",
    "file upload": "widget.browse",
    "Add files": "widget.attach",
    "Uploading\\.\\.\\.": "widget.uploading",
    "Only one file is allowed\\.": "widget.one_file",
    "Press Enter to apply": "widget.enter",
    "Press Enter to submit form": "widget.submit",
    "Press (.+\\+Enter) to (?:apply|submit form)": "widget.submit_many",
    "File must be (.+) or smaller\\.": "widget.too_large",
    ".* files are not allowed\\.": "widget.kind",
}
"""What Streamlit 1.67 says on these pages, as regular expressions of JavaScript for the whole of it, and the key of what is
said in its place; the first that fits counts. `{what}` there is what stands in parentheses here."""


def speak(locale: Locale) -> None:
    """Have the widgets of the page speak its language."""
    words = [[said, locale.t(key, what="$1", limit=EACH)] for said, key in WORDS.items()]
    script = _SCRIPT.read_text("utf-8").replace("WORDS", json.dumps(words, ensure_ascii=False))
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)
