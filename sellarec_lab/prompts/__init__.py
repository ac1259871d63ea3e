"""The prompt: text and typed slots, templates as data, and the one writer from a row to a prompt."""

from sellarec_lab.prompts.prompt import KINDS, PROMPT_TOKENS, Kind, Prompt, Row, Segment, Slot, Text, without_slot
from sellarec_lab.prompts.templates import TEMPLATES, Template, template
from sellarec_lab.prompts.writer import CodeWords, PromptRows, Writer, shared_histories

__all__ = [
    "KINDS", "PROMPT_TOKENS", "TEMPLATES", "CodeWords", "Kind", "Prompt", "PromptRows", "Row", "Segment", "Slot",
    "Template", "Text", "Writer", "shared_histories", "template", "without_slot",
]  # fmt: skip
